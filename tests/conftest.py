"""Hold CI to its word: where oracles are required, none of their tests may be skipped."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    judged = item.get_closest_marker("oracle") or item.get_closest_marker("boot")
    if report.skipped and judged and os.environ.get("PUREKERNEL_REQUIRE_ORACLES"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} must run here, and was skipped: {report.longrepr}"
    return report
