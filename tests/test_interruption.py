from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import DEFAULT_SIGNALS, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")


def run(script: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, env=environment(), text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_an_interruption_once(name: str, tmp_path: Path) -> None:
    done = run(
        "import os, signal\n"
        f"{DEFAULT_SIGNALS}"
        "from purekernel.interruption import Interruption, end_on_signals\n"
        "end_on_signals()\n"
        "try:\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "    signal.pause()\n"
        "except Interruption:\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('cleaned up')\n",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "cleaned up\n", "")


def test_what_the_caller_ignores_stays_ignored(tmp_path: Path) -> None:
    done = run(
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from purekernel.interruption import end_on_signals\n"
        "end_on_signals()\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)\n",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "True\n")


def test_a_signal_while_starting_up_is_no_traceback(tmp_path: Path) -> None:
    done = run(
        "import os, signal, sys\n"
        f"{DEFAULT_SIGNALS}"
        "import purekernel.__main__ as main\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.exit(main.main())\n",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr == "purekernel: interrupted\n  nothing was begun yet\n"
