from __future__ import annotations

import gzip
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from purekernel.interruption import interruptibly, result_of
from tests.processes import DEFAULT_SIGNALS, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")


def run(script: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, env=environment(), text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signal_raises_one_interruption(name: str, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_ctrl_break_of_windows_ends_a_command_with_status_130(tmp_path: Path) -> None:
    done = run(
        "import os, signal, sys\n"
        f"{DEFAULT_SIGNALS}"
        "signal.SIGBREAK = signal.SIGUSR1\n"  # another signal that no one handles stands for it
        "from purekernel.cli import main\n"
        "from purekernel.host import write\n"
        "publish = write._Outputs.commit\n"
        "def press(self):\n"
        "    os.kill(os.getpid(), signal.SIGBREAK)\n"
        "    return publish(self)\n"
        "write._Outputs.commit = press\n"
        "status = main(['build', '--sample', '-q'])\n"
        "print(signal.getsignal(signal.SIGBREAK) == signal.SIG_DFL)\n"
        "sys.exit(status)\n",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (130, "True\n")
    assert done.stderr.startswith("purekernel: interrupted\n  every output is complete")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_break_waits_until_outputs_have_their_names(tmp_path: Path) -> None:
    done = run(
        "import os, signal\n"
        f"{DEFAULT_SIGNALS}"
        "signal.SIGBREAK = signal.SIGUSR1\n"
        "from purekernel.interruption import Interruption, end_on_signals, undisturbed\n"
        "end_on_signals()\n"
        "try:\n"
        "    with undisturbed():\n"
        "        os.kill(os.getpid(), signal.SIGBREAK)\n"
        "        print('complete')\n"
        "except Interruption:\n"
        "    print('ended')\n",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "complete\nended\n", "")


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
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


def test_signal_during_startup_prints_no_traceback(tmp_path: Path) -> None:
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
    assert done.returncode == 130
    assert done.stderr == "purekernel: interrupted\n  nothing has been written\n"


def test_call_in_a_thread_returns_and_raises_as_usual() -> None:
    main = threading.main_thread()
    assert interruptibly(lambda: threading.current_thread() is main) is False
    with pytest.raises(ValueError, match="invalid literal"):
        interruptibly(lambda: int("x"))
    # In other threads, Python handles no signals, so the call runs in the thread itself.
    found: list[bool] = []
    thread = threading.Thread(
        target=lambda: found.append(
            interruptibly(threading.current_thread) is threading.current_thread()
        )
    )
    thread.start()
    thread.join()
    assert found == [True]


FOR_HOURS = (
    "import os, sys\n"
    f"{DEFAULT_SIGNALS}"
    "from zopfli import zlib\n"
    "compress = zlib.compress\n"
    "def for_hours(data, **settings):\n"
    "    if len(data) < 100:\n"  # the library is first checked with a few bytes
    "        return compress(data, **settings)\n"
    "    os.write(2, b'now\\n')\n"
    "    return compress(data, **{**settings, 'numiterations': 100_000_000})\n"
    "zlib.compress = for_hours\n"
    "from purekernel.cli import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [["advdef", "-z4", "a.gz"], ["gzip", "--zopfli", "a"]])
def test_tools_do_not_wait_for_zopfli(
    command: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    content = b" ".join(str(number).encode() for number in range(9000))
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    if "gzip" in command:
        del before[tmp_path / "a.gz"]
        (tmp_path / "a.gz").unlink()
    process = subprocess.Popen(
        [sys.executable, "-c", FOR_HOURS, "tool", *command],
        cwd=tmp_path, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "now\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=180)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.startswith("purekernel: interrupted\n  ")
    assert err.count("\n") == 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_signal_in_another_thread_ends_the_wait_for_a_result(tmp_path: Path) -> None:
    done = run(
        "import signal, threading, time\n"
        f"{DEFAULT_SIGNALS}"
        "from concurrent.futures import Future\n"
        "from purekernel.interruption import Interruption, end_on_signals, result_of\n"
        "end_on_signals()\n"
        "def kill():\n"
        "    time.sleep(0.2)\n"  # the main thread waits by now
        "    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
        "threading.Thread(target=kill, daemon=True).start()\n"
        "try:\n"
        "    result_of(Future())\n"
        "except Interruption:\n"
        "    print('ended')\n",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


def test_result_or_exception_of_a_future_is_passed_on() -> None:
    future: Future[int] = Future()
    threading.Timer(0.1, future.set_result, (3,)).start()
    assert result_of(future) == 3
    failed: Future[int] = Future()
    failed.set_exception(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        result_of(failed)
