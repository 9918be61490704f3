from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.cli import main
from purekernel.recipe.schema import schema_text
from tests.processes import purekernel


def test_schema_is_printed_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr() == (schema_text(), "")


@pytest.mark.slow
def test_help_and_schema_do_not_import_the_validator(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from purekernel.cli import main\n"
        "main(['--help'])\n"
        "slow = {'attrs', 'tomllib', 'json', 'purekernel.recipe.schema'}\n"
        "print('HELP', sorted(slow & set(sys.modules)))\n"
        "main(['schema'])\n"
        "print('SCHEMA', sorted({'tomllib', 'pycdlib'} & set(sys.modules)))\n"
    )
    out = purekernel(cwd=tmp_path, script=script).stdout
    assert "HELP []" in out
    assert "SCHEMA []" in out
