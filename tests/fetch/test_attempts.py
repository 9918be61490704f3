"""Test attempts: the order of mirrors, pauses, Retry-After and unreachable hosts."""

from __future__ import annotations

from typing import Any

import pytest
from urllib3.util import connection

from purekernel.errors import ChecksumError, DownloadError
from purekernel.fetch.attempts import Reachability, Rounds
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.model import Cause, Download, Fault
from purekernel.fetch.store import Store
from tests.fetch.answers import cut, status
from tests.fetch.fetching import (
    NETWORK_HINT,
    QUICK,
    closed_port,
    extension,
    fetch,
    md5,
    want,
    why_not,
)
from tests.fetch.server import Server

CONTENT = extension()
PAUSING = DownloadPolicy(attempts=4, first_pause_seconds=1, most_pause_seconds=30)


def test_mirrors_are_tried_in_order(server: Server, second: Server, store: Store) -> None:
    urls = server.put("/a.tcz", CONTENT), second.put("/a.tcz", CONTENT)
    assert fetch(store, *urls) == CONTENT
    assert (len(server.asked), len(second.asked)) == (1, 0)


def test_each_url_is_tried_once_per_attempt(server: Server, second: Server, store: Store) -> None:
    first = server.script("/a.tcz", *[status(500)] * 9)
    other = second.script("/a.tcz", *[status(503)] * 9)
    assert why_not(store, first, other, first) == (
        DownloadError,
        (
            f"a.tcz cannot be fetched: {first}: status 500, Internal Server Error; "
            f"{other}: status 503, Service Unavailable"
        ),
        NETWORK_HINT,
    )
    assert (server.statuses(), second.statuses()) == ([500] * 3, [503] * 3)


def test_mirror_with_permanent_fault_is_tried_once(
    server: Server, second: Server, store: Store
) -> None:
    first = server.script("/a.tcz", *[status(403)] * 9)
    other = second.put("/a.tcz", CONTENT)
    second.script("/a.tcz", status(500), status(500))
    assert fetch(store, first, other) == CONTENT
    assert (server.statuses(), second.statuses()) == ([403], [500, 500, 200])


def test_file_is_not_missing_if_other_mirror_fails(
    server: Server, second: Server, store: Store
) -> None:
    first = f"{server.url}/a.tcz"
    other = second.script("/a.tcz", *[status(500)] * 3)
    assert why_not(store, first, other)[:2] == (
        DownloadError,
        (
            f"a.tcz cannot be fetched: {first}: not found; "
            f"{other}: status 500, Internal Server Error"
        ),
    )


def test_second_mirror_is_tried_after_wrong_digest(
    server: Server, second: Server, store: Store
) -> None:
    wrong = server.put("/a.tcz", extension(seed=1))
    assert fetch(store, wrong, second.put("/a.tcz", CONTENT), md5=md5(CONTENT)) == CONTENT
    assert len(server.asked) == 1


def test_wrong_digest_outweighs_other_faults(server: Server, second: Server, store: Store) -> None:
    wrong = server.put("/a.tcz", extension(seed=1))
    other = second.script("/a.tcz", status(403))
    kind, message, hint = why_not(store, other, wrong, md5=md5(CONTENT))
    assert kind is ChecksumError
    assert message == (
        f"a.tcz failed verification: {other}: status 403, Forbidden; {wrong}: MD5 must be "
        f"{md5(CONTENT)}, got {md5(extension(seed=1))}"
    )
    assert hint == "check that your user may download the file"


def test_pauses_double_up_to_the_maximum(server: Server, store: Store) -> None:
    pauses: list[float] = []
    server.script("/a.tcz", *[status(500)] * 9)
    why_not(store, f"{server.url}/a.tcz", policy=PAUSING, sleep=pauses.append)
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "86400"}, 30),
        ({"Retry-After": "soon"}, 1),
        ({"Retry-After": "-5"}, 1),
    ],
)
def test_pause_follows_retry_after(
    code: int, headers: dict[str, str], pause: float, server: Server, store: Store
) -> None:
    pauses: list[float] = []
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", lambda exchange: exchange.say(code, b"", headers))
    assert fetch(store, url, policy=PAUSING, sleep=pauses.append) == CONTENT
    assert pauses == [pause]


def test_retry_after_date_is_relative_to_server_date(server: Server, store: Store) -> None:
    """Date is years behind the local clock. Retry-After is nine seconds after Date."""

    def answer(exchange: Any) -> None:
        exchange.send_response_only(503)
        for name, value in (
            ("Date", "Thu, 14 Nov 2013 10:00:00 GMT"),
            ("Retry-After", "Thu, 14 Nov 2013 10:00:09 GMT"),
            ("Content-Length", "0"),
        ):
            exchange.send_header(name, value)
        exchange.end_headers()

    pauses: list[float] = []
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", answer)
    assert fetch(store, url, policy=PAUSING, sleep=pauses.append) == CONTENT
    assert pauses == [9]


def test_pause_beyond_time_limit_ends_attempts(server: Server, store: Store) -> None:
    pauses: list[float] = []
    server.script("/a.tcz", *[status(500)] * 9)
    policy = DownloadPolicy(most_seconds=20, first_pause_seconds=20, most_pause_seconds=20)
    why_not(store, f"{server.url}/a.tcz", policy=policy, sleep=pauses.append)
    assert (pauses, server.statuses()) == ([], [500])


def test_pauses_restart_after_progress(server: Server, store: Store) -> None:
    pauses: list[float] = []
    content = extension(200_000)
    url = server.put("/a.tcz", content)
    server.script("/a.tcz", status(500), status(500), cut(70_000), cut(70_000), status(500))
    assert fetch(store, url, policy=PAUSING, sleep=pauses.append) == content
    assert pauses == [1, 2, 1, 1, 1]


def test_no_pause_after_last_attempt() -> None:
    pauses: list[float] = []
    rounds = Rounds(
        Download(name="a", urls=("http://a/a",)),
        refused={},
        policy=PAUSING,
        reachability=Reachability(),
        sleep=pauses.append,
    )

    def attempt(url: str, seconds: float) -> None:
        raise Fault("no", Cause.PASSING)

    with pytest.raises(DownloadError):
        rounds.run(attempt, decisive=None)
    assert len(pauses) == PAUSING.attempts - 1


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list of ports that the test tries to connect to."""
    ports: list[int] = []
    dial = connection.create_connection

    def noting(address: tuple[str, int], *arguments: Any, **named: Any) -> Any:
        ports.append(address[1])
        return dial(address, *arguments, **named)

    monkeypatch.setattr(connection, "create_connection", noting)
    return ports


ONE_BY_ONE = DownloadPolicy(parallel=1, attempts=3, first_pause_seconds=1, most_pause_seconds=9)


def test_unreachable_host_is_retried_for_first_file_only(
    plain_surroundings: None, store: Store, dialled: list[int]
) -> None:
    pauses: list[float] = []
    with closed_port() as port:
        wanted = [want(f"http://127.0.0.1:{port}/{number}.tcz") for number in range(20)]
        with (
            Downloads(store, policy=ONE_BY_ONE, sleep=pauses.append) as downloads,
            pytest.raises(DownloadError) as caught,
        ):
            downloads.fetch_all(wanted)
    assert str(caught.value) == (
        f"20 files cannot be fetched: http://127.0.0.1:{port}: cannot connect: Connection refused "
        "(0.tcz, 1.tcz, 2.tcz, 3.tcz, 4.tcz, …)"
    )
    assert pauses == [1, 2]
    assert dialled == [port] * 3


@pytest.mark.slow
def test_unreachable_mirror_is_tried_last_from_fourth_file(
    server: Server, store: Store, dialled: list[int]
) -> None:
    pauses: list[float] = []
    with closed_port() as port:
        wanted = [
            want(f"http://127.0.0.1:{port}/{number}.tcz", server.put(f"/{number}.tcz", CONTENT))
            for number in range(20)
        ]
        with Downloads(store, policy=ONE_BY_ONE, sleep=pauses.append) as downloads:
            fetched = downloads.fetch_all(wanted)
    assert {one.url.partition("/0.tcz")[0] for one in fetched[:1] if one} == {server.url}
    assert pauses == []
    assert dialled == [port, server.port, port, port]


def test_unreachable_host_is_tried_as_often_as_policy_allows(
    plain_surroundings: None, store: Store, dialled: list[int]
) -> None:
    with closed_port() as port:
        url = f"http://127.0.0.1:{port}/a.tcz"
        assert why_not(store, url, policy=QUICK) == (
            DownloadError,
            f"a.tcz cannot be fetched: {url}: cannot connect: Connection refused",
            NETWORK_HINT,
        )
    assert dialled == [port] * QUICK.attempts


def test_request_without_url_raises(store: Store) -> None:
    with Downloads(store) as downloads, pytest.raises(DownloadError) as caught:
        downloads.fetch(Download(name="a.tcz", urls=()))
    assert (str(caught.value), caught.value.hint) == (
        "a.tcz cannot be fetched: it has no URL",
        "give a mirror",
    )
