"""Test that a host which does not answer is one message, however many files are on it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from purekernel.errors import CombinedError, DownloadError, InputError, Outage, raise_all
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.model import Download
from purekernel.fetch.store import Store
from tests.fetch.answers import status
from tests.fetch.fetching import IMPATIENT, QUICK, closed_port
from tests.fetch.server import Server

REFUSED = "cannot connect: Connection refused"
NAMES = ("a", "b", "c")


def failing(names: Sequence[str], *hosts: tuple[str, str]) -> DownloadError:
    return DownloadError(
        f"{names[0]} cannot be fetched", is_network=True, outage=Outage(tuple(names), hosts)
    )


def errors_of(store: Store, *folders: str, names: Sequence[str] = NAMES) -> list[str]:
    policy = evolve(IMPATIENT if "silent" in folders[0] else QUICK, attempts=2)
    downloads = [
        Download(name=name, urls=tuple(f"{folder}/{name}" for folder in folders)) for name in names
    ]
    with (
        Downloads(store, policy=policy) as fetching,
        pytest.raises((DownloadError, CombinedError)) as caught,
    ):
        fetching.fetch_all(downloads)
    error = caught.value
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    assert all(isinstance(each, DownloadError) and each.is_network for each in errors)
    return [str(each) for each in errors]


@pytest.mark.usefixtures("plain_surroundings")
def test_files_of_a_host_that_refuses_are_one_error(store: Store) -> None:
    with closed_port() as port:
        host = f"http://127.0.0.1:{port}"
        assert errors_of(store, f"{host}/x") == [
            f"3 files cannot be fetched: {host}: {REFUSED} (a, b, c)"
        ]
        (error,) = errors_of(store, f"{host}/x", names=["a"])
        assert error == f"a cannot be fetched: {host}/x/a: {REFUSED}"


@pytest.mark.usefixtures("plain_surroundings")
def test_files_of_a_host_that_never_answers_are_one_error(store: Store, unanswering: int) -> None:
    host = f"http://127.0.0.1:{unanswering}"
    assert errors_of(store, f"{host}/silent") == [
        f"3 files cannot be fetched: {host}: no answer within 0.5 seconds (a, b, c)"
    ]


@pytest.mark.usefixtures("plain_surroundings")
def test_files_of_an_unknown_host_are_one_error(store: Store) -> None:
    assert errors_of(store, "http://mirror.invalid/x") == [
        "3 files cannot be fetched: http://mirror.invalid: unknown host name (a, b, c)"
    ]


def test_mirrors_that_lack_the_files_or_do_not_answer_are_one_error(
    store: Store, server: Server
) -> None:
    with closed_port() as port:
        down = f"http://127.0.0.1:{port}"
        up = server.url
        assert errors_of(store, down, up) == [
            f"3 files cannot be fetched: {down}: {REFUSED}; {up}: not found (a, b, c)"
        ]


def test_faults_of_single_files_stay_apart(store: Store, server: Server) -> None:
    server.script("/a", *[status(503)] * 2)
    server.script("/b", *[status(503)] * 2)
    first, second = errors_of(store, server.url, names=["a", "b"])
    assert first.startswith(f"a cannot be fetched: {server.url}/a: status 503")
    assert second.startswith(f"b cannot be fetched: {server.url}/b: status 503")


def test_errors_are_joined_by_their_hosts_and_keep_their_order() -> None:
    first, second = ("http://a", "down"), ("http://b", "down")
    other = InputError("x")
    with pytest.raises(CombinedError) as caught:
        raise_all(
            [
                failing(["1"], first),
                other,
                CombinedError([failing(["2"], second), failing(["3", "4"], first)]),
                failing(["4", "5", "6"], first),
                failing(["7"], first, second),
            ]
        )
    errors = caught.value.errors
    assert [str(error) for error in errors] == [
        "5 files cannot be fetched: http://a: down (1, 3, 4, 5, 6)",
        "x",
        "2 cannot be fetched",
        "7 cannot be fetched",
    ]
    assert errors[1] is other


def test_joined_error_names_few_files_and_keeps_a_common_place() -> None:
    host = ("http://a", "down")
    many = [failing([str(number)], host).within("recipe") for number in range(9)]
    with pytest.raises(DownloadError) as caught:
        raise_all(many)
    assert str(caught.value) == (
        "recipe: 9 files cannot be fetched: http://a: down (0, 1, 2, 3, 4, …)"
    )
    with pytest.raises(DownloadError) as caught:
        raise_all([failing(["1"], host).within("here"), failing(["2"], host).within("there")])
    assert str(caught.value) == "2 files cannot be fetched: http://a: down (1, 2)"
    with pytest.raises(DownloadError) as caught:
        raise_all([failing(["1"], host), failing(["1"], host)])
    assert str(caught.value) == "1 cannot be fetched"
