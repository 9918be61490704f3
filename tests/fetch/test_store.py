"""What the store gives back: what it was given, or nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from purekernel.errors import StoreError
from purekernel.fetch.inspection import Inspection
from purekernel.fetch.records import Record, Validators
from purekernel.fetch.store import Blob, Store
from purekernel.fetch.wanted import Kind, Wanted
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


def test_a_file_is_found_by_either_digest(store: Store) -> None:
    blob = add(store)
    assert (blob.sha256, blob.md5, blob.size_bytes) == (SHA256, MD5, 3000)
    assert blob.path == store.folder / "v1" / "blobs" / SHA256[:2] / SHA256
    for found in (
        store.find(sha256=SHA256),
        store.find(sha256=SHA256.upper()),
        store.find(md5=MD5),
        store.find(md5=MD5.upper()),
        store.find(sha256=SHA256, md5=MD5),
    ):
        assert found == blob
    assert store.find() is None
    assert store.find(sha256="0" * 64) is None
    assert store.find(md5="0" * 32) is None
    assert store.find(sha256=SHA256, md5="0" * 32) is None


@pytest.mark.parametrize("digest", ["", "x", "../../../etc/passwd", "\0", "\ud800" * 64, "a" * 65])
def test_what_is_no_digest_is_not_looked_for(digest: str, store: Store) -> None:
    assert store.find(sha256=digest) is None
    assert store.find(md5=digest) is None


def test_a_file_must_be_what_is_wanted_too(store: Store) -> None:
    add(store)
    for fields, fits in (
        ({"kind": Kind.SQUASHFS, "size_bytes": 3000}, True),
        ({"kind": Kind.GZIP}, False),
        ({"size_bytes": 2999}, False),
        ({"most_bytes": 2999}, False),
    ):
        found = store.find(sha256=SHA256, wanted=Wanted(name="a", urls=(), **fields))  # type: ignore[arg-type]
        assert (found is not None) == fits
    # That it is not wanted does not make it wrong.
    assert blobs(store) != []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_files_are_nobodys_to_write(store: Store) -> None:
    umask = os.umask(0o027)
    try:
        blob = add(store)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(blob.path.stat().st_mode) == 0o440


def test_the_time_of_a_file_is_that_of_its_last_use(store: Store) -> None:
    blob = add(store)
    os.utime(blob.path, (1, 1))
    store.find(md5=MD5)
    assert blob.path.stat().st_mtime > 1


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
def test_a_damaged_file_is_as_good_as_missing_and_fetched_anew(
    content: bytes, server: Server, store: Store
) -> None:
    url = server.put("/a.tcz", CONTENT)
    assert fetch(store, url) == CONTENT
    (path,) = blobs(store)
    path.chmod(0o644)
    path.write_bytes(content)
    assert store.find(sha256=SHA256) is None
    assert blobs(store) == []
    # Nor is the server told that we have it.
    assert fetch(store, url) == CONTENT
    assert server.statuses() == [200, 200]
    assert "if-none-match" not in server.asked[1].headers
    assert fetch(store, url, md5=MD5) == CONTENT
    assert len(server.asked) == 2


def test_a_folder_in_the_place_of_a_file_is_no_file(server: Server, store: Store) -> None:
    place = store.folder / "v1" / "blobs" / SHA256[:2] / SHA256
    place.mkdir(parents=True)
    assert store.find(sha256=SHA256) is None


@pytest.mark.parametrize(
    "text", [b"", b"x", b"\xff" * 64, b"0" * 64, b"../" * 20, SHA256.encode() + b"\n"]
)
def test_a_wrong_note_of_an_md5_costs_a_request(text: bytes, server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    fetch(store, url)
    (store.folder / "v1" / "md5" / MD5[:2] / MD5).write_bytes(text)
    assert store.find(md5=MD5) is None
    assert fetch(store, url, md5=MD5) == CONTENT
    assert server.statuses() == [200, 304]


def test_a_note_of_an_md5_that_leads_to_another_file_is_not_believed(store: Store) -> None:
    add(store)
    other = add(store, b"other")
    (store.folder / "v1" / "md5" / MD5[:2] / MD5).write_text(other.sha256)
    assert store.find(md5=MD5) is None
    assert store.find(sha256=other.sha256) == other


def test_what_is_added_over_a_damaged_file_takes_its_place(store: Store) -> None:
    path = add(store).path
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    add(store)
    assert path.read_bytes() == CONTENT


def test_what_is_there_already_is_let_be(store: Store) -> None:
    number = add(store).path.stat().st_ino
    assert add(store).path.stat().st_ino == number
    assert files(store) == ["blobs", "md5"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000, b"null"])
def test_a_damaged_record_costs_a_request(content: bytes, server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    fetch(store, url)
    (record,) = (path for path in (store.folder / "v1" / "urls").rglob("*") if path.is_file())
    record.write_bytes(content)
    assert store.record(url) is None
    assert fetch(store, url) == CONTENT
    assert store.record(url) is not None


def test_what_an_address_gave_is_remembered(store: Store) -> None:
    url = "http://user:secret@Mirror.example/a.tcz?x=1#part"
    assert (store.record(url), store.record_time(url)) == (None, None)
    record = Record(url="http://x/", sha256=SHA256, validators=Validators(etag='"a"'))
    store.remember(url, record)
    assert store.record(url) == record
    assert store.record_time(url) is not None
    for other in ("http://Mirror.example/a.tcz?x=1", "http://other@Mirror.example/a.tcz?x=1#y"):
        assert store.record(other) == record
    for other in ("http://Mirror.example/a.tcz", "https://Mirror.example/a.tcz?x=1"):
        assert store.record(other) is None


def test_a_path_is_one_place_however_it_is_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.remember("a.tcz", Record(url="x"))
    for url in (str(tmp_path / "a.tcz"), (tmp_path / "a.tcz").as_uri(), "./a.tcz"):
        assert store.record(url) == Record(url="x")


@pytest.mark.parametrize("url", ["http://[::1", "http://\ud800/", "\0", "\udcff", "file://x/y", ""])
def test_any_text_may_be_asked_for(url: str, store: Store) -> None:
    assert store.record(url) is None
    store.remember(url, Record(url="x"))
    assert store.record(url) == Record(url="x")


def test_nothing_is_made_before_something_is_kept(store: Store) -> None:
    assert store.find(sha256=SHA256) is None
    assert store.partial("http://x/").size_bytes() == 0
    assert not store.folder.exists()


def test_the_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "mine"))
    assert Store().folder == tmp_path / "mine"
    monkeypatch.setenv("PUREKERNEL_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "theirs"))
    assert Store().folder.name == "purekernel"
    monkeypatch.chdir(tmp_path)
    assert Store(Path("here")).folder == tmp_path / "here"
    with pytest.raises(StoreError) as caught:
        Store(Path("/a\0b"))
    assert str(caught.value) == "'/a\\x00b' is no folder: it holds a NUL"


def test_a_store_without_its_mark_of_use_serves_too(server: Server, store: Store) -> None:
    """Whoever else empties the store, file by file, harms nobody."""
    url = server.put("/a.tcz", CONTENT)
    for folder in ("md5", "urls", "blobs"):
        fetch(store, url, md5=MD5)
        for path in (store.folder / "v1" / folder).rglob("*"):
            if path.is_file():
                path.unlink()
        assert fetch(store, url, md5=MD5) == CONTENT
    assert want(url).name == "a.tcz"
