from __future__ import annotations

import threading
import time

import pytest

from purekernel.fetch.http import web as module
from purekernel.fetch.http.faults import Bounds
from purekernel.fetch.http.web import Connection
from purekernel.fetch.model import Cause, Fault, Stopped
from purekernel.fetch.urls import parse_web_url
from tests.fetch.answers import silence
from tests.fetch.server import Server

BOUNDS = Bounds(connect_seconds=20, stall_seconds=20)


@pytest.fixture
def connection() -> Connection:
    return Connection(BOUNDS)


def test_overdue_request_is_aborted_by_other_thread(connection: Connection, server: Server) -> None:
    server.script("/a", silence)
    connection.begin(0)

    def look() -> None:
        while not server.asked:
            time.sleep(0.001)
        connection.end_if_overdue()

    looking = threading.Thread(target=look)
    looking.start()
    with pytest.raises(Fault) as caught:
        connection.request("GET", parse_web_url(f"{server.url}/a"), {})
    looking.join()
    connection.session.close()
    assert (caught.value.reason, caught.value.cause) == (
        "not completed within 0 seconds",
        Cause.PASSING,
    )


def test_request_ending_during_time_check_is_not_overdue(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread checks the time while the other thread ends the request."""
    connection.begin(1)

    def later() -> float:
        connection.end()
        return 1e12

    monkeypatch.setattr(module.time, "monotonic", later)
    connection.end_if_overdue()
    with connection.turning_faults():
        pass


def test_idle_connection_is_not_aborted(connection: Connection) -> None:
    connection.hang_up(Stopped())
    connection.begin(60)
    with connection.turning_faults():
        pass


def test_first_abort_reason_is_raised(connection: Connection) -> None:
    connection.begin(60)
    connection.hang_up(Stopped())
    connection.hang_up(Fault("too late", Cause.PASSING))
    with pytest.raises(Stopped), connection.turning_faults():
        pass
    # The next request does not raise it again.
    connection.begin(60)
    with connection.turning_faults():
        pass
