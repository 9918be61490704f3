"""Test the store: blobs and records, also damaged or deleted ones."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from purekernel.errors import StoreError
from purekernel.fetch.inspection import Inspection
from purekernel.fetch.model import Download
from purekernel.fetch.records import CacheEntry, Validators
from purekernel.fetch.store import Blob, Store
from purekernel.formats.detect import FileKind
from tests.fetch.fetching import blobs, extension, fetch, files, md5, sha256, want
from tests.fetch.server import Server

CONTENT = extension()
SHA256, MD5 = sha256(CONTENT), md5(CONTENT)


def add(store: Store, content: bytes = CONTENT) -> Blob:
    partial = store.partial("", private=True)
    inspection = Inspection()
    inspection.feed(content)
    with partial.extend() as stream:
        stream.write(content)
    return store.add(partial, inspection)


def test_find_by_sha256(store: Store) -> None:
    blob = add(store)
    assert (blob.sha256, blob.md5, blob.size_bytes) == (SHA256, MD5, 3000)
    assert blob.path == store.folder / "v1" / "blobs" / SHA256[:2] / SHA256
    assert store.find(sha256=SHA256) == store.find(sha256=SHA256.upper()) == blob
    assert store.find(sha256=None) is None
    assert store.find(sha256="0" * 64) is None


@pytest.mark.parametrize("digest", ["", "x", "../../../etc/passwd", "\0", "\ud800" * 64, "a" * 65])
def test_find_invalid_digest_returns_none(digest: str, store: Store) -> None:
    assert store.find(sha256=digest) is None


def test_find_ignores_blob_that_does_not_match_request(store: Store) -> None:
    add(store)
    for fields, fits in (
        ({"kind": FileKind.SQUASHFS, "size_bytes": 3000}, True),
        ({"kind": FileKind.GZIP}, False),
        ({"size_bytes": 2999}, False),
        ({"most_bytes": 2999}, False),
    ):
        found = store.find(sha256=SHA256, download=Download(name="a", urls=(), **fields))  # type: ignore[arg-type]
        assert (found is not None) == fits
    # A valid blob that does not match the request is not deleted.
    assert blobs(store) != []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_blobs_are_read_only(store: Store) -> None:
    umask = os.umask(0o027)
    try:
        blob = add(store)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(blob.path.stat().st_mode) == 0o440


def test_find_updates_blob_time(store: Store) -> None:
    blob = add(store)
    os.utime(blob.path, (1, 1))
    store.find(sha256=SHA256)
    assert blob.path.stat().st_mtime > 1


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
def test_damaged_blob_is_deleted_and_refetched(
    content: bytes, server: Server, store: Store
) -> None:
    url = server.put("/a.tcz", CONTENT)
    assert fetch(store, url) == CONTENT
    (path,) = blobs(store)
    path.chmod(0o644)
    path.write_bytes(content)
    assert store.find(sha256=SHA256) is None
    assert blobs(store) == []
    assert fetch(store, url) == CONTENT
    assert server.statuses() == [200, 200]
    assert fetch(store, url, md5=MD5) == CONTENT
    assert len(server.asked) == 2


def test_folder_at_blob_path_is_ignored(server: Server, store: Store) -> None:
    place = store.folder / "v1" / "blobs" / SHA256[:2] / SHA256
    place.mkdir(parents=True)
    assert store.find(sha256=SHA256) is None


def test_add_replaces_damaged_blob(store: Store) -> None:
    path = add(store).path
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    add(store)
    assert path.read_bytes() == CONTENT


def test_add_keeps_existing_blob(store: Store) -> None:
    number = add(store).path.stat().st_ino
    assert add(store).path.stat().st_ino == number
    assert files(store) == ["blobs"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000, b"null"])
def test_damaged_record_is_refetched(content: bytes, server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    fetch(store, url)
    (record,) = (path for path in (store.folder / "v1" / "urls").rglob("*") if path.is_file())
    record.write_bytes(content)
    assert store.record(url) is None
    assert fetch(store, url) == CONTENT
    assert store.record(url) is not None


def test_record_is_found_by_url_without_credentials_and_fragment(store: Store) -> None:
    url = "http://user:secret@Mirror.example/a.tcz?x=1#part"
    assert (store.record(url), store.record_time(url)) == (None, None)
    record = CacheEntry(url="http://x/", sha256=SHA256, validators=Validators(etag='"a"'))
    store.remember(url, record)
    assert store.record(url) == record
    assert store.record_time(url) is not None
    for other in ("http://Mirror.example/a.tcz?x=1", "http://other@Mirror.example/a.tcz?x=1#y"):
        assert store.record(other) == record
    for other in ("http://Mirror.example/a.tcz", "https://Mirror.example/a.tcz?x=1"):
        assert store.record(other) is None


def test_path_and_file_url_share_record(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.remember("a.tcz", CacheEntry(url="x"))
    for url in (str(tmp_path / "a.tcz"), (tmp_path / "a.tcz").as_uri(), "./a.tcz"):
        assert store.record(url) == CacheEntry(url="x")


@pytest.mark.parametrize("url", ["http://[::1", "http://\ud800/", "\0", "\udcff", "file://x/y", ""])
def test_url_of_record_may_be_any_text(url: str, store: Store) -> None:
    assert store.record(url) is None
    store.remember(url, CacheEntry(url="x"))
    assert store.record(url) == CacheEntry(url="x")


def test_reading_does_not_create_store_folder(store: Store) -> None:
    assert store.find(sha256=SHA256) is None
    assert store.partial("http://x/").size_bytes() == 0
    assert not store.folder.exists()


def test_default_folder_is_user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "mine"))
    assert Store().folder == tmp_path / "mine"
    monkeypatch.setenv("PUREKERNEL_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "theirs"))
    folder = Store().folder
    assert "purekernel" in (folder.name, folder.parent.name)  # Windows: ...\\purekernel\\Cache
    monkeypatch.chdir(tmp_path)
    assert Store(Path("here")).folder == tmp_path / "here"
    with pytest.raises(StoreError) as caught:
        Store(Path("/a\0b"))
    folder = Path("/a\0b").absolute()  # with a drive on Windows
    assert str(caught.value) == f"{str(folder)!r} is not a valid folder name: it contains a NUL"


def test_fetch_succeeds_after_files_of_store_are_deleted(server: Server, store: Store) -> None:
    """Another program may delete any file of the store between two runs."""
    url = server.put("/a.tcz", CONTENT)
    for folder in ("urls", "blobs"):
        fetch(store, url, md5=MD5)
        for path in (store.folder / "v1" / folder).rglob("*"):
            if path.is_file():
                path.unlink()
        assert fetch(store, url, md5=MD5) == CONTENT
    assert want(url).name == "a.tcz"
