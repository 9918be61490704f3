"""Test writes of the store on full disks, under limits, and in read-only folders."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from purekernel.errors import StoreError
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.store import Partial, Store
from purekernel.host.staging import (
    create,
    make_read_only,
    remove,
    rename,
    replace_file,
    write_piece,
)
from tests.fetch.answers import chunks
from tests.fetch.fetching import (
    ELSEWHERE_HINT,
    extension,
    fetch,
    files,
    md5,
    want,
    why_not,
)
from tests.fetch.server import Server
from tests.ordinary import ordinary_user
from tests.processes import environment, purekernel

CONTENT = extension(300_000)

# Fetches files into a store with a limit on the size of files, and prints the error.
UNDER_A_LIMIT = """
import json, resource, sys
from pathlib import Path
from purekernel.errors import PurekernelError
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.store import Store
from purekernel.fetch.model import Download
folder, limit, *urls = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
with Downloads(Store(Path(folder))) as downloads:
    try:
        downloads.fetch_all([Download(name=url[-1], urls=(url,)) for url in urls])
    except PurekernelError as error:
        print(json.dumps([type(error).__name__, str(error), error.hint]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("announced", [True, False])
def test_file_size_limit_is_reported(
    announced: bool, server: Server, store: Store, tmp_path: Path
) -> None:
    urls = [server.put("/a", CONTENT), server.put("/b", CONTENT), server.put("/c", extension())]
    if not announced:
        server.script("/a", chunks([CONTENT], ETag='"a"'))
    done = purekernel(
        store.folder, "100000", *urls, cwd=tmp_path, script=UNDER_A_LIMIT, env=environment()
    )
    assert (done.returncode, done.stderr) == (0, "")
    # Two files fail with one error.
    assert json.loads(done.stdout) == [
        "StoreError",
        f"the store of downloads, {store.folder}, cannot be written: File too large",
        f"raise the limit on file sizes, or {ELSEWHERE_HINT}",
    ]
    # Partial files that do not fit are deleted, to leave space for others.
    assert files(store) == ["blobs", "urls"]


def test_full_disk_is_reported(tiny: Path, server: Server) -> None:
    store = Store(tiny / "store")
    small = server.put("/small", extension())
    assert why_not(store, server.put("/a", CONTENT)) == (
        StoreError,
        f"the store of downloads, {store.folder}, cannot be written: No space left on device",
        f"free some space, or {ELSEWHERE_HINT}",
    )
    assert files(store) == []
    # The partial file was deleted, so a small file fits.
    assert fetch(store, small) == extension()
    # A full disk is not the mirror's fault, so the download is not retried.
    assert server.statuses("/a") == [200]


def test_completely_full_disk_is_reported(tiny: Path, server: Server) -> None:
    store = Store(tiny / "store")
    with (tiny / "filling").open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    kind, message, hint = why_not(store, server.put("/a", extension()))
    assert (kind, hint) == (StoreError, f"free some space, or {ELSEWHERE_HINT}")
    assert message.endswith("cannot be written: No space left on device")


@pytest.mark.skipif(os.name == "nt", reason="rights are another matter on Windows")
def test_read_only_store_is_reported(server: Server, open_folder: Path) -> None:
    store = Store(open_folder / "store")
    store.folder.mkdir()
    url, other = server.put("/a", CONTENT), server.put("/b", extension())
    assert fetch(store, url) == CONTENT
    for path in (store.folder, *store.folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o555)
    with ordinary_user():
        # Files in the store are found and verified, but the time of use cannot be set.
        assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
        assert fetch(store, url, offline=True) == CONTENT
        assert why_not(store, other) == (
            StoreError,
            f"the store of downloads, {store.folder}, cannot be written: Permission denied",
            f"change the permissions of the folder, or {ELSEWHERE_HINT}",
        )


def test_file_at_store_path_is_reported(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    kind, message, _hint = why_not(Store(tmp_path / "file"), server.put("/a", CONTENT))
    assert kind is StoreError
    assert message == (
        f"the store of downloads, {tmp_path / 'file'}, cannot be written: Not a directory"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_store_folder_that_cannot_be_created_is_reported(server: Server) -> None:
    kind, message, hint = why_not(Store(Path("/proc/purekernel")), server.put("/a", CONTENT))
    assert (kind, hint) == (StoreError, ELSEWHERE_HINT)
    assert message == (
        "the store of downloads, /proc/purekernel, cannot be written: No such file or directory"
    )


def test_store_deleted_during_download_is_recreated(server: Server, store: Store) -> None:
    """Deleting the store during downloads loses the stored files only."""
    wanted = [want(server.put(f"/{number}", extension(seed=number))) for number in range(5)]
    with Downloads(store, report=lambda *_: shutil.rmtree(store.folder / "v1")) as downloads:
        for one in wanted:
            assert downloads.fetch(one)


class ShortWrites:
    """A file that accepts three bytes per write."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, piece: memoryview) -> int:
        self.written += bytes(piece[:3])
        return min(3, len(piece))


def test_write_piece_completes_short_writes() -> None:
    stream = ShortWrites()
    write_piece(stream, b"0123456789")  # type: ignore[arg-type]
    assert stream.written == b"0123456789"


def test_replace_file_creates_and_replaces_file(tmp_path: Path) -> None:
    path, way = tmp_path / "a" / "b" / "c", tmp_path / "tmp" / "x"
    for content in (b"one", b"two"):
        replace_file(path, content, by_way_of=way)
        assert path.read_bytes() == content
    assert not way.exists()


def test_failed_replace_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "path" / "full").mkdir(parents=True)
    with pytest.raises(OSError):  # noqa: PT011  # the error number depends on the operating system
        replace_file(tmp_path / "path", b"x", by_way_of=tmp_path / "way")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["path"]


def test_rename_of_missing_source_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rename(tmp_path / "missing", tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        rename(tmp_path / "missing", tmp_path / "b" / "a")


def test_remove_deletes_files_and_keeps_folders(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert not remove(tmp_path / "folder")
    assert remove(tmp_path / "missing")
    remove(tmp_path / "folder" / "below" / "nothing")
    with create(tmp_path / "file") as stream:
        stream.write(b"x")
    (tmp_path / "file").chmod(0o444)
    assert remove(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(os.name == "nt", reason="rights are another matter on Windows")
def test_failed_remove_returns_false(open_folder: Path) -> None:
    folder, elsewhere = open_folder / "folder", open_folder / "elsewhere"
    with ordinary_user():
        folder.mkdir()
        (folder / "file").write_bytes(b"x")
        elsewhere.write_bytes(b"y")
        (folder / "link").symlink_to(elsewhere)
        folder.chmod(0o555)
        assert not remove(folder / "file")
        assert not remove(folder / "link")
        assert (folder / "file").read_bytes() == b"x"
        assert elsewhere.read_bytes() == b"y"
        folder.chmod(0o777)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return the target of a link that another user created."""
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    path.chmod(0o640)
    os.utime(path, (5, 5))
    return path


def check_untouched(secret: Path) -> None:
    status = secret.stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o640, 5)
    assert secret.read_bytes() == b"secret"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_planted_link_is_not_followed(secret: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(secret)
    for act in (make_read_only, create, Partial(link).become):
        with pytest.raises(OSError, match="symbolic links"):
            act(link)
    with pytest.raises(OSError, match="symbolic links"), Partial(link).extend():
        pass
    check_untouched(secret)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_make_read_only_removes_write_permission(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    path.chmod(0o664)
    make_read_only(path)
    assert path.stat().st_mode & 0o7777 == 0o444


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_use_of_linked_blob_keeps_target_time(store: Store, secret: Path) -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    blob = store.folder / "v1" / "blobs" / digest[:2] / digest
    blob.parent.mkdir(parents=True)
    blob.symlink_to(secret)
    found = store.find(sha256=digest)
    assert found is not None
    assert found.path == blob
    check_untouched(secret)
