"""Store downloads in the user's cache folder, addressed by their digests.

The folder ``v1/`` in it contains:

====================  =========================================================================
``blobs/ab/…``        downloaded files, read-only, named by their SHA-256
``urls/ab/…``         for a URL (by its SHA-256), its entry (:mod:`purekernel.fetch.records`)
``partials/…``        partial downloads (:class:`Partial`)
``locks/…``           a lock per URL (:func:`taking_turns`)
``tmp/…``             temporary files; old ones are deleted (:mod:`purekernel.host.cache_folder`)
====================  =========================================================================

Any number of processes can use one store. A file is renamed to its final name when it is
complete and checked. It is checked again on every read, so damage by a crash, a bad disk or a
user costs one download. An invalid file is treated as missing. The modification time of a blob
is the time of its last use.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from purekernel.errors import InputError, StoreError
from purekernel.fetch.inspection import PIECE_BYTES, Inspection
from purekernel.fetch.model import Cause, Download, DownloadedFile, Fault, Stopped
from purekernel.fetch.records import CacheEntry, parse_record
from purekernel.fetch.urls import is_local, local_path, parse_web_url, redact
from purekernel.host.cache_folder import clear_away, default_folder
from purekernel.host.hints import reason, storing
from purekernel.host.no_follow import touch
from purekernel.host.staging import (
    create,
    make_read_only,
    remove,
    rename,
    replace_file,
    temporary_name,
)
from purekernel.records import frozen

# A new layout gets a new folder; the old one stays for the versions that use it.
_LAYOUT = "v1"
_SHA256 = re.compile(r"[0-9a-f]{64}")

# How often a waiting thread checks a lock: rarely enough to cost nothing, often enough that no
# user notices the delay.
POLL_SECONDS = 0.05


@frozen(kw_only=True)
class Blob:
    """A file in the store whose content was checked against its name.

    Attributes:
        path: the path of the file.
        size_bytes: the size.
        sha256: the digest in hexadecimal.
        md5: the digest in hexadecimal.
    """

    path: Path
    size_bytes: int
    sha256: str
    md5: str


class Partial:
    """A partial download: the bytes received so far, and a record of the file they belong to.

    The record is written before the first byte and deleted after the last. Bytes without a
    record are never resumed.

    Args:
        path: the file with the bytes; the caller holds its lock, or uses a private name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._record = path.with_name(f"{path.name}.json")

    def record(self) -> CacheEntry | None:
        """Return the record of the file, or ``None`` if the download cannot be resumed."""
        return _load_record(self._record)

    def size_bytes(self) -> int:
        """Return the number of bytes received so far."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def begin(self, record: CacheEntry | None) -> None:
        """Start a new download of ``record``; ``None``: it cannot be resumed."""
        remove(self.path)
        if record is None:
            remove(self._record)
        else:
            # If the process is killed here, the next one reuses the same name.
            temporary = self.path.with_name(f"{self.path.name}.new")
            replace_file(self._record, record.to_bytes(), by_way_of=temporary)

    def extend(self) -> BinaryIO:
        """Open the file to append to it, unbuffered."""
        return create(self.path, "ab")

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes received so far, in pieces."""
        with self.path.open("rb", buffering=0) as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece

    def become(self, path: Path) -> None:
        """Rename the complete and checked file to ``path``."""
        make_read_only(self.path)
        rename(self.path, path)
        remove(self._record)

    def discard(self) -> None:
        """Delete the bytes and the record."""
        remove(self.path)
        remove(self._record)


class Store:
    """The folder of downloaded files; it is created on the first write.

    Args:
        folder: the folder; ``None`` for the value of ``PUREKERNEL_CACHE``, or else the user's
            cache folder.

    Raises:
        StoreError: the name of the folder is invalid.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (default_folder() if folder is None else folder).absolute()
        if "\0" in str(self.folder):
            raise StoreError(f"{str(self.folder)!a} is not a valid folder name: it contains a NUL")
        self._top = self.folder / _LAYOUT
        self._is_clear = False

    def find(self, *, sha256: str | None, download: Download | None = None) -> Blob | None:
        """Return the file with this digest, or ``None``; read and check its content.

        Args:
            sha256: the digest in hexadecimal; ``None`` finds nothing.
            download: a request that the file must also match.
        """
        if sha256 is None or not _SHA256.fullmatch(sha256.lower()):
            return None
        path = self._blob(sha256.lower())
        blob = self._read(path, download)
        if blob is None:
            return None
        with suppress(OSError):  # the store may be read-only
            touch(path)
        return blob

    def record(self, url: str) -> CacheEntry | None:
        """Return the cache entry of ``url``, or ``None``."""
        return _load_record(self._record_path(url))

    def record_time(self, url: str) -> int | None:
        """Return the time of the cache entry of ``url`` in nanoseconds since 1970, or ``None``."""
        try:
            return self._record_path(url).stat().st_mtime_ns
        except OSError:
            return None

    def remember(self, url: str, record: CacheEntry) -> None:
        """Write the cache entry of ``url``; ignore errors, which only cost another request."""
        with suppress(OSError):
            replace_file(self._record_path(url), record.to_bytes(), by_way_of=self._temporary())

    def partial(self, url: str, *, private: bool = False) -> Partial:
        """Return the partial download of ``url``.

        Args:
            url: the URL.
            private: use a unique name. Otherwise the caller must hold the lock of
                :meth:`lock_path`.
        """
        self._clear_away()
        if private:
            return Partial(self._temporary())
        return Partial(self._top / "partials" / _key(url))

    def lock_path(self, url: str) -> Path:
        """Return the lock file of ``url``, which is locked while the URL is being downloaded.

        On Windows filelock deletes the file on release, unless another process has it open.
        Elsewhere the file stays: if it were deleted, a process that opened it before and one
        that creates it again could both hold the lock.
        """
        return self._top / "locks" / _key(url)

    def add(self, partial: Partial, inspection: Inspection) -> Blob:
        """Add a complete and checked download to the store.

        Raises:
            Fault: the download was deleted. This happens if the process was suspended for so
                long that another process took the file for a leftover of a killed one.
            StoreError: the store cannot be written to.
        """
        path = self._blob(inspection.sha256)
        with storing(self.folder):
            # Keep an existing file: it may be open elsewhere, and Windows cannot replace it then.
            blob = self._read(path, None)
            if blob is not None:
                partial.discard()
            else:
                try:
                    partial.become(path)
                except FileNotFoundError:
                    words = "the temporary file was deleted during the download"
                    raise Fault(words, Cause.PASSING) from None
                blob = Blob(
                    path=path,
                    size_bytes=inspection.size_bytes,
                    sha256=inspection.sha256,
                    md5=inspection.md5,
                )
        return blob

    def _clear_away(self) -> None:
        """Delete the leftovers of killed processes, once per store object."""
        if not self._is_clear:
            self._is_clear = True
            clear_away(self._top / "tmp", self._top / "partials", self._top / "locks")

    def _read(self, path: Path, download: Download | None) -> Blob | None:
        """Read and check the file at ``path``; delete it if it is damaged."""
        inspection = Inspection(download)
        try:
            with path.open("rb", buffering=0) as stream:
                opened = os.fstat(stream.fileno())
                while piece := stream.read(PIECE_BYTES):
                    inspection.feed(piece)
        except OSError:
            return None
        if inspection.sha256 != path.name:
            _remove_if_same(path, opened)
            return None
        if download is not None:
            try:
                inspection.check(download)
            except Fault:
                return None
        return Blob(
            path=path,
            size_bytes=inspection.size_bytes,
            sha256=inspection.sha256,
            md5=inspection.md5,
        )

    def _blob(self, sha256: str) -> Path:
        return self._top / "blobs" / sha256[:2] / sha256

    def _record_path(self, url: str) -> Path:
        key = _key(url)
        return self._top / "urls" / key[:2] / key

    def _temporary(self) -> Path:
        return self._top / "tmp" / temporary_name()


def load_fetched(fetched: DownloadedFile) -> bytes:
    """Read and check the content of ``fetched``.

    Raises:
        StoreError: the file is missing or has changed since it was fetched. The next run
            fetches it again; :meth:`Downloads.load` does so immediately.
    """
    try:
        content = fetched.path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{fetched.name} cannot be read from the store: {reason(error)}",
            hint="run again to fetch the file again",
        ) from None
    if hashlib.sha256(content, usedforsecurity=False).hexdigest() != fetched.sha256:
        remove(fetched.path)
        raise StoreError(
            f"{fetched.name} has changed in the store: {fetched.path}",
            hint="run again to fetch the file again; let no other program write to the store",
        )
    return content


def _load_record(path: Path) -> CacheEntry | None:
    try:
        return parse_record(path.read_bytes())
    except OSError:
        return None


def _key(url: str) -> str:
    """Return the key of a URL in the store; it does not depend on user and password."""
    try:
        name = str(local_path(url)) if is_local(url) else parse_web_url(url).url
    except (ValueError, InputError):
        name = redact(url)
    return hashlib.sha256(name.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()


def _remove_if_same(path: Path, opened: os.stat_result) -> None:
    """Delete a damaged file, unless it has been replaced since."""
    with suppress(OSError):
        if os.path.samestat(path.stat(), opened):
            remove(path)


# Lock a URL, so that only one thread of all processes that use a store downloads it.


@frozen(kw_only=True)
class Turn:
    """The result of waiting for the lock of a URL.

    Attributes:
        ours: whether the lock was acquired, so that the shared partial download may be
            written. If not, its holder hangs or the file system does not support locks, and
            the caller must use a private name.
    """

    ours: bool


@contextmanager
def taking_turns(
    path: Path,
    *,
    patience_seconds: float,
    progress: Callable[[], object],
    stopped: threading.Event,
) -> Iterator[Turn]:
    """Hold the lock at ``path``; wait for it as long as its holder makes progress.

    The operating system releases the locks of a process that ends for any reason.

    Args:
        path: the lock file; it is created together with its folder.
        patience_seconds: how long ``progress`` may stay the same before the wait ends.
        progress: returns a value that changes while the holder makes progress.
        stopped: an event that cancels the wait.

    Raises:
        Stopped: ``stopped`` was set.
    """
    import filelock  # noqa: PLC0415  # 30 ms, which a file in the store does not need

    lock = filelock.FileLock(path)
    last_progress = progress()
    idle_seconds = 0.0
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except filelock.Timeout:
            pass
        except (OSError, NotImplementedError):  # locks are not supported, or no permission
            break
        else:
            try:
                yield Turn(ours=True)
            finally:
                lock.release()
            return
        if stopped.wait(POLL_SECONDS):
            raise Stopped
        idle_seconds += POLL_SECONDS
        if (now := progress()) != last_progress:
            last_progress, idle_seconds = now, 0.0
        if idle_seconds >= patience_seconds:
            break
    yield Turn(ours=False)
