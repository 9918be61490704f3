"""Run Ruby and its gem command, to compare with them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.oracles import require, run


def ruby(script: str, *arguments: str | Path, stdin: bytes = b"") -> bytes:
    """Run a script with RubyGems loaded, and return its output."""
    return run(
        require("ruby"), "-W0", "-rjson", "-rzlib", "-rrubygems", "-e", script, *arguments,
        stdin=stdin,
    )  # fmt: skip


def ask(script: str, cases: object) -> object:
    """Run a script that reads ``cases`` from ``$cases`` and sets its answer in ``$answer``."""
    program = f"$cases = JSON.parse(STDIN.read); {script}; puts JSON.generate($answer)"
    return json.loads(ruby(program, stdin=json.dumps(cases).encode()))


def gem(home: Path, *arguments: str | Path) -> str:
    """Run ``gem`` with an empty home folder, which it also installs to."""
    program = require("gem")
    done = subprocess.run(
        [program, *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        env={
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC0",
            "HOME": str(home),
            "GEM_HOME": str(home / "gems"),
            "GEM_PATH": str(home / "gems"),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
