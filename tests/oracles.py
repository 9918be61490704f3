"""Find independent checkers, or skip; in CI a missing checker is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# Folders where Debian keeps programs, and which are not in an ordinary user's PATH.
SBIN = "/usr/sbin:/sbin:/usr/local/sbin"


def skip_or_fail(reason: str, *, program: bool = False) -> None:
    """Skip the test, or fail it if PUREKERNEL_REQUIRE_ORACLES forbids the skip.

    With the value ``programs``, the variable forbids skips for missing programs. With any other
    value, it forbids all skips.
    """
    required = os.environ.get("PUREKERNEL_REQUIRE_ORACLES")
    if required and (program or required != "programs"):
        pytest.fail(f"required here: {reason}")
    pytest.skip(reason)


def require(program: str) -> str:
    """Return the path of ``program``; skip or fail the test if it is missing."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SBIN}")
    if found is None:
        skip_or_fail(f"{program} is not installed", program=True)
    return str(found)


def run(*command: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> bytes:
    """Run a checker in the C locale and UTC; return its output, or fail with its messages."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC0"},
    )
    assert done.returncode == 0, (
        f"{command[0]} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')}"
    )
    return done.stdout
