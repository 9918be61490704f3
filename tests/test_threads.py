"""Test threads for encoders: an executor whose threads may still run when the process exits."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from purekernel.threads import Crew, Threads, running_executor
from tests.processes import environment


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "purekernel-encoder"]


def test_results_and_errors_reach_the_caller() -> None:
    with Threads(3) as threads:
        futures = [threads.submit(pow, number, 2) for number in range(20)]
        broken = threads.submit(int, "x", base=10)
        assert [future.result() for future in futures] == [number**2 for number in range(20)]
        with pytest.raises(ValueError, match="invalid literal"):
            broken.result()
        assert list(threads.map(abs, [-1, 2])) == [1, 2]
        assert len(alive()) <= 3
    assert alive() == []
    with pytest.raises(RuntimeError):
        threads.submit(pow, 2, 2)


def test_threads_run_at_the_same_time_and_are_waited_for() -> None:
    threads, together = Threads(2), threading.Barrier(2)
    futures = [threads.submit(together.wait, 20) for _ in range(2)]
    threads.shutdown()
    assert sorted(future.result(0) for future in futures) == [0, 1]


def test_cancelled_call_is_not_started() -> None:
    threads, begun, hold = Threads(1), threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        hold.wait()
        return "done"

    first, second, third = (threads.submit(work) for _ in range(3))
    begun.wait()
    assert second.cancel()
    threads.shutdown(wait=False, cancel_futures=True)
    begun.clear()
    hold.set()
    assert first.result() == "done"
    for future in (second, third):
        with pytest.raises(CancelledError):
            future.result()
    threads.shutdown()
    assert not begun.is_set()
    assert alive() == []


def test_interrupted_executor_does_not_wait_for_its_threads() -> None:
    hold = threading.Event()
    with pytest.raises(KeyboardInterrupt), running_executor(jobs=2) as threads:  # noqa: PT012
        futures = [threads.submit(hold.wait) for _ in range(5)]
        raise KeyboardInterrupt
    hold.set()
    for thread in alive():
        thread.join()
    assert sum(not future.cancelled() for future in futures) <= 2


def test_process_exits_while_threads_run(tmp_path: Path) -> None:
    """If the process waited for its threads, it would not end before the test's time limit."""
    script = (
        "import threading\n"
        "from purekernel.threads import running_executor\n"
        "begun, never = threading.Event(), threading.Event()\n"
        "try:\n"
        "    with running_executor(jobs=1) as threads:\n"
        "        threads.submit(begun.set)\n"
        "        threads.submit(never.wait)\n"
        "        begun.wait()\n"
        "        raise KeyboardInterrupt\n"
        "except KeyboardInterrupt:\n"
        "    print('ended')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


def test_call_has_its_arguments_and_a_named_daemon_thread() -> None:
    def call(*arguments: int, **named: int) -> tuple[object, ...]:
        thread = threading.current_thread()
        return arguments, named, thread.name, thread.daemon

    with running_executor(jobs=1) as threads:
        future = threads.submit(call, 1, two=2)
    assert future.result() == ((1,), {"two": 2}, "purekernel-encoder", True)


def test_executor_that_is_shut_down_takes_no_more_calls_and_finishes_those_it_has() -> None:
    go = threading.Event()
    threads = Threads(1)
    futures = [threads.submit(go.wait), threads.submit(int, "7")]
    threads.shutdown(wait=False)
    with pytest.raises(RuntimeError, match=r"^the executor is shut down$"):
        threads.submit(int)
    go.set()
    assert [future.result() for future in futures] == [True, 7]


def test_threads_of_a_crew_have_its_name_and_do_not_keep_the_process() -> None:
    seen: list[tuple[str, bool]] = []
    crew = Crew(1)

    def look() -> None:
        thread = threading.current_thread()
        seen.append((thread.name, thread.daemon))

    crew.submit(look)
    crew.dismiss(patience_seconds=60)
    assert seen == [("purekernel-download", True)]
