"""What need not be fetched: known by its digest, unchanged, or not to be asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.errors import DownloadError, MissingFileError, OfflineError
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.store import Store
from purekernel.fetch.wanted import Kind, Wanted
from tests.fetch.answers import status
from tests.fetch.fetching import (
    QUICK,
    blobs,
    closed_port,
    extension,
    fetch,
    md5,
    sha256,
    want,
    why_not,
)
from tests.fetch.server import MODIFIED, Server

CONTENT = extension()
OTHER = extension(seed=1)
OFFLINE_HINT = "run once without --offline"


@pytest.mark.parametrize("digest", [md5, sha256])
def test_what_is_known_by_its_digest_is_not_asked_for(
    digest: object, server: Server, store: Store
) -> None:
    promised = {digest.__name__: digest(CONTENT)}  # type: ignore[attr-defined, operator]
    url = server.put("/a.tcz", CONTENT)
    for _ in range(3):
        assert fetch(store, url, **promised) == CONTENT
    # Nor does it matter where it was to come from.
    assert fetch(store, "http://elsewhere.invalid/a.tcz", **promised) == CONTENT
    with Downloads(store) as downloads:
        assert downloads.exists(Wanted(name="x", urls=(), **promised))
    assert len(server.asked) == 1


def test_what_has_not_changed_is_not_sent_again(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    for _ in range(3):
        assert fetch(store, url) == CONTENT
    assert [(asked.status, asked.sent_bytes) for asked in server.asked] == [
        (200, 3000),
        (304, 0),
        (304, 0),
    ]
    headers = server.asked[1].headers
    assert headers["if-none-match"].strip('"') == sha256(CONTENT)[:12]
    assert headers["if-modified-since"] == MODIFIED


@pytest.mark.parametrize("headers", [{"ETag": None}, {"Last_Modified": None}, {"ETag": 'W/"a"'}])
def test_one_validator_is_enough(
    headers: dict[str, str | None], server: Server, store: Store
) -> None:
    url = server.put("/a.tcz", CONTENT, **headers)
    for _ in range(2):
        assert fetch(store, url) == CONTENT
    assert server.statuses() == [200, 304]


def test_what_has_changed_comes_anew(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    assert fetch(store, url) == CONTENT
    server.put("/a.tcz", OTHER)
    assert fetch(store, url) == OTHER
    assert server.statuses() == [200, 200]


def test_without_validators_it_comes_anew_every_time(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT, ETag=None, Last_Modified=None)
    for _ in range(2):
        assert fetch(store, url) == CONTENT
    assert server.statuses() == [200, 200]


def test_validators_that_could_not_be_sent_back_are_not_kept(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT, ETag=f'"{"x" * 600}"', Last_Modified=None)
    for _ in range(2):
        assert fetch(store, url) == CONTENT
    assert server.statuses() == [200, 200]


def test_what_is_there_and_is_not_what_is_wanted_now_is_asked_for_in_full(
    server: Server, store: Store
) -> None:
    url = server.put("/a.tcz", OTHER)
    fetch(store, url)
    server.put("/a.tcz", CONTENT)
    assert fetch(store, url, sha256=sha256(CONTENT)) == CONTENT
    assert "if-none-match" not in server.asked[1].headers


def test_what_was_not_there_is_asked_for_again(server: Server, store: Store) -> None:
    url = f"{server.url}/a.tcz.dep"
    assert fetch(store, url, optional=True) is None
    server.put("/a.tcz.dep", b"b.tcz\n")
    assert fetch(store, url, optional=True) == b"b.tcz\n"


def test_reuse_asks_nobody_for_what_is_there(server: Server, store: Store) -> None:
    url, missing = server.put("/a.tcz", CONTENT), f"{server.url}/a.tcz.dep"
    for _ in range(3):
        assert fetch(store, url, reuse=True) == CONTENT
        assert fetch(store, missing, optional=True, reuse=True) is None
    server.put("/a.tcz", OTHER)
    assert fetch(store, url, reuse=True) == CONTENT
    assert server.statuses() == [200, 404]
    # What is not as it is wanted is asked for all the same.
    assert fetch(store, url, reuse=True, md5=md5(OTHER)) == OTHER
    assert fetch(store, server.put("/b.tcz", CONTENT), reuse=True) == CONTENT
    assert server.statuses() == [200, 404, 200, 200]


def test_offline_has_what_the_store_has(server: Server, store: Store) -> None:
    url, missing = server.put("/a.tcz", CONTENT), f"{server.url}/a.tcz.dep"
    fetch(store, url)
    fetch(store, missing, optional=True)
    assert fetch(store, url, offline=True, kind=Kind.SQUASHFS) == CONTENT
    assert fetch(store, missing, optional=True, offline=True) is None
    assert len(server.asked) == 2


def test_offline_names_what_it_lacks_and_where_it_would_be(
    server: Server, second: Server, store: Store
) -> None:
    places = server.put("/a.tcz", CONTENT), second.put("/a.tcz", CONTENT)
    assert why_not(store, *places, offline=True) == (
        OfflineError,
        (
            f"a.tcz cannot be had offline: {places[0]}: it is not in the store; "
            f"{places[1]}: it is not in the store"
        ),
        OFFLINE_HINT,
    )
    fetch(store, places[0])
    assert why_not(store, places[0], offline=True, sha256=sha256(OTHER))[0] is OfflineError
    blobs(store)[0].unlink()
    assert why_not(store, places[0], offline=True)[1] == (
        f"a.tcz cannot be had offline: {places[0]}: it is not in the store"
    )
    assert (len(server.asked), second.asked) == (1, [])


def test_offline_folders_are_read_all_the_same(
    server: Server, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "a.tcz").write_bytes(CONTENT)
    url = server.put("/a.tcz", OTHER)
    assert fetch(store, url, str(tmp_path / "a.tcz"), offline=True) == CONTENT
    assert why_not(store, url, str(tmp_path / "b.tcz"), offline=True) == (
        OfflineError,
        (
            f"a.tcz cannot be had offline: {url}: it is not in the store; "
            f"{tmp_path}/b.tcz: it is not there"
        ),
        OFFLINE_HINT,
    )
    assert server.asked == []


@pytest.mark.usefixtures("plain_surroundings")
def test_offline_nobody_is_dialled(store: Store) -> None:
    with closed_port() as port:
        url = f"http://127.0.0.1:{port}/a.tcz"
        assert why_not(store, url, offline=True)[0] is OfflineError
        assert why_not(store, url)[0] is DownloadError


def test_offline_it_is_known_whether_a_file_is_there(
    server: Server, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "local").write_bytes(CONTENT)
    url, missing = server.put("/a.tcz", CONTENT), f"{server.url}/b.tcz"
    fetch(store, url)
    fetch(store, missing, optional=True)
    with Downloads(store, policy=QUICK, offline=True) as downloads:
        assert downloads.exists(want(url))
        assert downloads.exists(want(url, sha256=sha256(CONTENT)))
        assert not downloads.exists(want(missing))
        assert downloads.exists(want(str(tmp_path / "local")))
        assert not downloads.exists(want(str(tmp_path / "missing")))
        for wanted in (want(f"{server.url}/c.tcz"), want(url, sha256=sha256(OTHER))):
            with pytest.raises(OfflineError) as caught:
                downloads.exists(wanted)
            assert str(caught.value) == (
                f"{wanted.name} cannot be had offline: {wanted.urls[0]}: it is not in the store"
            )
        # It is remembered, though the file itself is gone.
        blobs(store)[0].unlink()
        assert downloads.exists(want(url, sha256=sha256(CONTENT).upper()))
    assert len(server.asked) == 2


def test_a_server_that_fails_does_not_make_us_forget(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    fetch(store, url)
    server.script("/a.tcz", *[status(500)] * 3)
    assert why_not(store, url)[0] is DownloadError
    assert fetch(store, url, offline=True) == CONTENT


def test_reuse_asks_again_for_what_was_not_there(server: Server, store: Store) -> None:
    url = f"{server.url}/a.tcz"
    assert why_not(store, url, reuse=True)[0] is MissingFileError
    server.put("/a.tcz", CONTENT)
    assert fetch(store, url, reuse=True) == CONTENT
    assert server.statuses() == [404, 200]
    # Offline that is the last word.
    assert why_not(store, f"{server.url}/b.tcz", reuse=True)[0] is MissingFileError
    assert why_not(store, f"{server.url}/b.tcz", offline=True, reuse=True)[0] is MissingFileError


def test_to_look_takes_nothing_away_from_what_is_known(server: Server, store: Store) -> None:
    """Some servers answer no HEAD, and some files are gone for a moment."""
    url = server.put("/a.tcz", CONTENT)
    fetch(store, url)
    server.script("/a.tcz", status(404), status(404))
    with Downloads(store, policy=QUICK) as downloads:
        assert downloads.sizes([want(url)]) == {want(url): None}
        assert not downloads.exists(want(url))
    assert [asked.method for asked in server.asked] == ["GET", "HEAD", "HEAD"]
    assert fetch(store, url, offline=True) == CONTENT


def test_to_look_is_not_to_know_that_nothing_is_there(server: Server, store: Store) -> None:
    url = server.script("/a.tcz", status(404))
    with Downloads(store, policy=QUICK) as downloads:
        assert not downloads.exists(want(url))
    assert store.record(url) is None


@pytest.mark.parametrize("digest", [md5, sha256])
def test_what_is_known_by_its_digest_is_from_where_it_came(
    digest: object, server: Server, second: Server, store: Store
) -> None:
    promised = {digest.__name__: digest(CONTENT)}  # type: ignore[attr-defined, operator]
    places = f"{server.url}/a.tcz", second.put("/a.tcz", CONTENT)
    told = []
    for _ in range(2):
        with Downloads(store, policy=QUICK) as downloads:
            fetched = downloads.fetch(want(*places, **promised))
        assert fetched is not None
        told.append(fetched.url)
    assert told == [places[1], places[1]]
    assert len(second.asked) == 1


def test_what_came_from_nowhere_that_is_named_is_from_the_first_place(
    server: Server, store: Store
) -> None:
    fetch(store, server.put("/a.tcz", CONTENT))
    elsewhere = "http://user:hunter2@a.invalid/a.tcz", "http://b.invalid/a.tcz"
    with Downloads(store, policy=QUICK) as downloads:
        fetched = downloads.fetch(want(*elsewhere, sha256=sha256(CONTENT)))
    assert fetched is not None
    assert fetched.url == "http://a.invalid/a.tcz"
