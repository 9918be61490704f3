from __future__ import annotations

import threading

from purekernel.threads import Crew


def alive(name: str = "purekernel-download") -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_tasks_run_in_order_on_at_most_the_given_number_of_threads() -> None:
    crew, done, ended = Crew(1), [], threading.Event()
    assert alive() == []
    for number in range(50):
        crew.submit(lambda number=number: done.append(number))
    crew.submit(ended.set)
    ended.wait()
    assert done == list(range(50))
    assert len(alive()) == 1
    crew.dismiss(patience_seconds=20)
    assert alive() == []


def test_threads_run_at_the_same_time() -> None:
    crew, together = Crew(3), threading.Barrier(4)
    for _ in range(3):
        crew.submit(lambda: together.wait(20) and None)
    together.wait(20)
    crew.dismiss(patience_seconds=20)
    assert alive() == []


def test_stuck_thread_is_not_waited_for_and_ends_later() -> None:
    crew, hold = Crew(1), threading.Event()
    crew.submit(lambda: hold.wait() and None)
    crew.dismiss(patience_seconds=0)
    (stuck,) = alive()
    assert stuck.daemon
    hold.set()
    stuck.join()


def test_several_threads_can_submit() -> None:
    crew, start = Crew(2), threading.Barrier(8)
    done: list[int] = []

    def submit() -> None:
        start.wait()
        for _ in range(20):
            crew.submit(lambda: done.append(1))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(alive()) <= 2
    crew.dismiss(patience_seconds=20)
    assert len(done) == 160


def test_thread_that_was_not_started_is_ignored() -> None:
    """Ctrl-C can arrive after a thread is made and before it is started."""

    class Interrupted(threading.Thread):
        def start(self) -> None:
            raise KeyboardInterrupt

    crew = Crew(1)
    made = threading.Thread
    threading.Thread = Interrupted  # type: ignore[misc]
    try:
        crew.submit(lambda: None)
    except KeyboardInterrupt:
        pass
    finally:
        threading.Thread = made  # type: ignore[misc]
    crew.dismiss(patience_seconds=0)
