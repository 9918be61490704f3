from __future__ import annotations

import threading
import time

import pytest
from attrs import evolve

from purekernel.fetch.http import web as module
from purekernel.fetch.http.web import Connection
from purekernel.fetch.model import Cause, Fault, Stopped
from purekernel.fetch.urls import parse_web_url
from tests.fetch.answers import silence
from tests.fetch.fetching import BOUNDS
from tests.fetch.server import Server


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


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def reason_after(connection: Connection) -> str | None:
    """Return why the connection was aborted."""
    connection.end_if_overdue()
    try:
        with connection.turning_faults():
            return None
    except Fault as fault:
        return fault.reason if fault.cause is Cause.PASSING else f"not temporary: {fault.reason}"


def test_rate_is_measured_over_each_period(connection: Connection, clock: Clock) -> None:
    connection.begin(3600)
    clock.now += 100  # the wait for the response does not count
    connection.begin_body()
    for _period in range(3):
        for _second in range(19):
            clock.now += 1
            connection.receive(1000)
            assert reason_after(connection) is None
        clock.now += 1
        connection.receive(1000)
        assert reason_after(connection) is None
    clock.now += 10
    connection.receive(19_999)
    assert reason_after(connection) is None
    clock.now += 10
    assert reason_after(connection) == "less than 1000 bytes per second for 20 seconds"


def test_minimum_rate_of_zero_never_aborts(clock: Clock) -> None:
    connection = Connection(evolve(BOUNDS, min_bytes_per_second=0))
    connection.begin(3600)
    connection.begin_body()
    clock.now += 3599
    assert reason_after(connection) is None


def test_rate_of_earlier_request_does_not_count(connection: Connection, clock: Clock) -> None:
    connection.begin(3600)
    connection.begin_body()
    connection.end()
    connection.begin(3600)
    clock.now += 100
    assert reason_after(connection) is None


def test_headers_that_take_too_long_are_aborted(
    connection: Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile server sends headers byte by byte, so that no timeout of the socket expires."""

    def request(*_arguments: object, **_named: object) -> None:
        clock.now += 60
        connection.end_if_overdue()
        clock.now += 1
        connection.end_if_overdue()

    monkeypatch.setattr(connection.session, "request", request)
    connection.begin(3600)
    with pytest.raises(Fault) as caught:
        connection.request("GET", parse_web_url("http://mirror.example/a"), {})
    assert caught.value.reason == "no complete response headers within 60 seconds"
