from __future__ import annotations

import pytest

from tests.processes import ROOT


def test_every_test_file_is_collected(request: pytest.FixtureRequest) -> None:
    """pytest passes over folders of some names, "build" among them, unless told not to."""
    passed_over = request.config.getini("norecursedirs")
    for path in (ROOT / "tests").rglob("test_*.py"):
        for folder in path.relative_to(ROOT / "tests").parts[:-1]:
            assert folder not in passed_over
        assert (path.parent / "__init__.py").is_file()
