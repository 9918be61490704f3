from __future__ import annotations

import threading
import time

import pytest

from purekernel.fetch.http import web as module
from purekernel.fetch.http.faults import Bounds
from purekernel.fetch.http.web import Line
from purekernel.fetch.urls import parse_address
from purekernel.fetch.wanted import Cause, Fault, Stopped
from tests.fetch.answers import silence
from tests.fetch.server import Server

BOUNDS = Bounds(connect_seconds=20, stall_seconds=20)


@pytest.fixture
def line() -> Line:
    return Line(BOUNDS)


def test_overdue_request_is_aborted_by_other_thread(line: Line, server: Server) -> None:
    server.script("/a", silence)
    line.begin(0)

    def look() -> None:
        while not server.asked:
            time.sleep(0.001)
        line.end_if_overdue()

    looking = threading.Thread(target=look)
    looking.start()
    with pytest.raises(Fault) as caught:
        line.request("GET", parse_address(f"{server.url}/a"), {})
    looking.join()
    line.session.close()
    assert (caught.value.reason, caught.value.cause) == (
        "not completed within 0 seconds",
        Cause.PASSING,
    )


def test_request_ending_during_time_check_is_not_overdue(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads: one looks at the time, the other is done just then."""
    line.begin(1)

    def later() -> float:
        line.end()
        return 1e12

    monkeypatch.setattr(module.time, "monotonic", later)
    line.end_if_overdue()
    with line.turning_faults():
        pass


def test_idle_line_is_not_aborted(line: Line) -> None:
    line.hang_up(Stopped())
    line.begin(60)
    with line.turning_faults():
        pass


def test_first_abort_reason_is_raised(line: Line) -> None:
    line.begin(60)
    line.hang_up(Stopped())
    line.hang_up(Fault("too late", Cause.PASSING))
    with pytest.raises(Stopped), line.turning_faults():
        pass
    # The next request has nothing to do with it.
    line.begin(60)
    with line.turning_faults():
        pass
