"""Test files that are not downloaded again: found by digest, unchanged, reused or offline."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.errors import DownloadError, MissingFileError, OfflineError
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.model import Download
from purekernel.fetch.store import Store
from purekernel.formats.detect import FileKind
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
from tests.fetch.server import Server

CONTENT = extension()
OTHER = extension(seed=1)
OFFLINE_HINT = "run once without --offline"


def test_file_found_by_sha256_is_not_requested(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    for _ in range(3):
        assert fetch(store, url, sha256=sha256(CONTENT)) == CONTENT
    # The URL does not matter.
    assert fetch(store, "http://elsewhere.invalid/a.tcz", sha256=sha256(CONTENT)) == CONTENT
    with Downloads(store) as downloads:
        assert downloads.exists(Download(name="x", urls=(), sha256=sha256(CONTENT)))
    assert len(server.asked) == 1


def test_file_found_by_md5_is_used_only_for_its_url(
    server: Server, second: Server, store: Store
) -> None:
    """Two files with one MD5 can be made, so another mirror's file proves nothing."""
    url, other = server.put("/a.tcz", CONTENT), second.put("/a.tcz", CONTENT)
    for _ in range(3):
        assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
    assert (len(server.asked), len(second.asked)) == (1, 0)
    for _ in range(3):
        assert fetch(store, other, url, md5=md5(CONTENT).upper()) == CONTENT
    assert (len(server.asked), len(second.asked)) == (1, 1)
    assert fetch(store, server.put("/b.tcz", CONTENT), md5=md5(CONTENT)) == CONTENT
    assert len(server.asked) == 2


def test_size_of_file_found_by_md5_is_not_requested(server: Server, store: Store) -> None:
    request = want(server.put("/a.tcz", CONTENT), md5=md5(CONTENT))
    with Downloads(store, policy=QUICK) as downloads:
        downloads.fetch(request)
        assert downloads.sizes([request]) == {request: len(CONTENT)}
        assert downloads.exists(request)
    assert len(server.asked) == 1


def test_stored_file_with_other_md5_is_downloaded_again(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", OTHER)
    assert fetch(store, url, md5=md5(OTHER)) == OTHER
    server.put("/a.tcz", CONTENT)
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
    assert server.statuses() == [200, 200]


@pytest.mark.parametrize(
    "headers", [{"ETag": '"a"'}, {"ETag": None}, {"ETag": '"a"', "Last_Modified": None}]
)
def test_request_is_never_conditional(
    headers: dict[str, str | None], server: Server, store: Store
) -> None:
    """A hostile mirror can give its file the validators of the right one."""
    url = server.put("/a.tcz", OTHER, **headers)
    assert fetch(store, url) == OTHER
    server.put("/a.tcz", CONTENT, **headers)
    assert fetch(store, url) == CONTENT
    assert server.statuses() == [200, 200]
    assert {name for asked in server.asked for name in asked.headers if name.startswith("if-")} == (
        set()
    )


def test_missing_file_is_requested_again(server: Server, store: Store) -> None:
    url = f"{server.url}/a.tcz.dep"
    assert fetch(store, url, optional=True) is None
    server.put("/a.tcz.dep", b"b.tcz\n")
    assert fetch(store, url, optional=True) == b"b.tcz\n"


def test_reuse_requests_only_files_not_in_store(server: Server, store: Store) -> None:
    url, missing = server.put("/a.tcz", CONTENT), f"{server.url}/a.tcz.dep"
    for _ in range(3):
        assert fetch(store, url, reuse=True) == CONTENT
        assert fetch(store, missing, optional=True, reuse=True) is None
    server.put("/a.tcz", OTHER)
    assert fetch(store, url, reuse=True) == CONTENT
    assert server.statuses() == [200, 404]
    # A file with another digest, or at another URL, is requested.
    assert fetch(store, url, reuse=True, md5=md5(OTHER)) == OTHER
    assert fetch(store, server.put("/b.tcz", CONTENT), reuse=True) == CONTENT
    assert server.statuses() == [200, 404, 200, 200]


def test_offline_returns_stored_files(server: Server, store: Store) -> None:
    url, missing = server.put("/a.tcz", CONTENT), f"{server.url}/a.tcz.dep"
    fetch(store, url)
    fetch(store, missing, optional=True)
    assert fetch(store, url, offline=True, kind=FileKind.SQUASHFS) == CONTENT
    assert fetch(store, missing, optional=True, offline=True) is None
    assert len(server.asked) == 2


def test_offline_error_names_file_and_urls(server: Server, second: Server, store: Store) -> None:
    places = server.put("/a.tcz", CONTENT), second.put("/a.tcz", CONTENT)
    assert why_not(store, *places, offline=True) == (
        OfflineError,
        (
            f"a.tcz is not available offline: {places[0]}: not in the store; "
            f"{places[1]}: not in the store"
        ),
        OFFLINE_HINT,
    )
    fetch(store, places[0])
    assert why_not(store, places[0], offline=True, sha256=sha256(OTHER))[0] is OfflineError
    blobs(store)[0].unlink()
    assert why_not(store, places[0], offline=True)[1] == (
        f"a.tcz is not available offline: {places[0]}: not in the store"
    )
    assert (len(server.asked), second.asked) == (1, [])


def test_offline_reads_folder_mirrors(server: Server, store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.tcz").write_bytes(CONTENT)
    url = server.put("/a.tcz", OTHER)
    assert fetch(store, url, str(tmp_path / "a.tcz"), offline=True) == CONTENT
    assert why_not(store, url, str(tmp_path / "b.tcz"), offline=True) == (
        OfflineError,
        (f"a.tcz is not available offline: {url}: not in the store; {tmp_path}/b.tcz: not found"),
        OFFLINE_HINT,
    )
    assert server.asked == []


@pytest.mark.usefixtures("plain_surroundings")
def test_offline_opens_no_connection(store: Store) -> None:
    with closed_port() as port:
        url = f"http://127.0.0.1:{port}/a.tcz"
        assert why_not(store, url, offline=True)[0] is OfflineError
        assert why_not(store, url)[0] is DownloadError


def test_offline_exists_uses_store_and_local_files(
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
                f"{wanted.name} is not available offline: {wanted.urls[0]}: not in the store"
            )
        # The record still has the digest after the blob is deleted.
        blobs(store)[0].unlink()
        assert downloads.exists(want(url, sha256=sha256(CONTENT).upper()))
    assert len(server.asked) == 2


def test_server_error_keeps_record(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    fetch(store, url)
    server.script("/a.tcz", *[status(500)] * 3)
    assert why_not(store, url)[0] is DownloadError
    assert fetch(store, url, offline=True) == CONTENT


def test_reuse_requests_missing_file_again(server: Server, store: Store) -> None:
    url = f"{server.url}/a.tcz"
    assert why_not(store, url, reuse=True)[0] is MissingFileError
    server.put("/a.tcz", CONTENT)
    assert fetch(store, url, reuse=True) == CONTENT
    assert server.statuses() == [404, 200]
    # Offline, the recorded 404 is final.
    assert why_not(store, f"{server.url}/b.tcz", reuse=True)[0] is MissingFileError
    assert why_not(store, f"{server.url}/b.tcz", offline=True, reuse=True)[0] is MissingFileError


def test_head_with_status_404_keeps_record(server: Server, store: Store) -> None:
    """Some servers do not support HEAD, and a file may be missing temporarily."""
    url = server.put("/a.tcz", CONTENT)
    fetch(store, url)
    server.script("/a.tcz", status(404), status(404))
    with Downloads(store, policy=QUICK) as downloads:
        assert downloads.sizes([want(url)]) == {want(url): None}
        assert not downloads.exists(want(url))
    assert [asked.method for asked in server.asked] == ["GET", "HEAD", "HEAD"]
    assert fetch(store, url, offline=True) == CONTENT


def test_head_does_not_record_missing_file(server: Server, store: Store) -> None:
    url = server.script("/a.tcz", status(404))
    with Downloads(store, policy=QUICK) as downloads:
        assert not downloads.exists(want(url))
    assert store.record(url) is None


@pytest.mark.parametrize("digest", [md5, sha256])
def test_url_of_stored_file_is_where_it_was_fetched(
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


def test_url_of_file_from_other_source_is_first_url(server: Server, store: Store) -> None:
    fetch(store, server.put("/a.tcz", CONTENT))
    elsewhere = "http://user:hunter2@a.invalid/a.tcz", "http://b.invalid/a.tcz"
    with Downloads(store, policy=QUICK) as downloads:
        fetched = downloads.fetch(want(*elsewhere, sha256=sha256(CONTENT)))
    assert fetched is not None
    assert fetched.url == "http://a.invalid/a.tcz"
