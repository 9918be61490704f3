"""The store of downloads: files by what they hold, in the user's cache folder.

Below the folder, ``v1/`` has

====================  =========================================================================
``blobs/ab/…``        files, read-only, named by their SHA-256
``md5/ab/…``          for an MD5, the SHA-256 of the file that has it
``urls/ab/…``         for an address (by SHA-256), what it gave (:mod:`purekernel.fetch.records`)
``partials/…``        what came of files until they were cut off
``locks/…``           whose turn it is with an address
``tmp/…``             what is about to get its name; see :mod:`purekernel.host.cache_folder`
====================  =========================================================================

Any number of processes may use one store. A file gets its name by a rename, when it is whole
and checked; and it is checked again whenever it is read, so what a crash, a bad disk or a
person did to it costs a download and nothing else. What is not valid is as good as missing.
The time of a blob is that of its last use.
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

from attrs import frozen

from purekernel.errors import InputError, StoreError
from purekernel.fetch.inspection import PIECE_BYTES, Inspection
from purekernel.fetch.records import Record, parse_record
from purekernel.fetch.urls import is_local, local_path, parse_address, redact
from purekernel.fetch.wanted import Cause, Fault, Fetched, Kind, Stopped, Wanted
from purekernel.host.cache_folder import clear_away, default_folder
from purekernel.host.no_follow import touch
from purekernel.host.write import (
    create,
    make_read_only,
    open_itself,
    put,
    remove,
    replace_file,
    storing,
    temporary_name,
)

# Another layout gets another folder; the old one is left to those who know it.
_LAYOUT = "v1"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


# Long enough to cost nothing, short enough for nobody to notice.
POLL_SECONDS = 0.05


@frozen(kw_only=True)
class Blob:
    """A file in the store, read and found to be what its name says.

    Attributes:
        path: its place.
        size_bytes: its size.
        sha256: in hexadecimal.
        md5: in hexadecimal.
    """

    path: Path
    size_bytes: int
    sha256: str
    md5: str


# The part of a file that came before the connection, or the process, was cut.


class Partial:
    """One file on its way into the store, and beside it the record of what it is a part of.

    The record is written before the first byte and taken away after the last, so bytes
    without one belong to nothing, and are never gone on from.

    Args:
        path: where the bytes are; whoever uses it holds its lock, or has a name of his own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._record = path.with_name(f"{path.name}.json")

    def record(self) -> Record | None:
        """Return what the bytes are a part of; ``None`` where they cannot be gone on from."""
        try:
            return parse_record(self._record.read_bytes())
        except OSError:
            return None

    def size_bytes(self) -> int:
        """Return how many bytes are there."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def begin(self, record: Record | None) -> None:
        """Start over, with bytes of what ``record`` describes; ``None``: nothing to go on from."""
        remove(self.path)
        if record is None:
            remove(self._record)
        else:
            # Whoever is killed here leaves it, and whoever comes next takes the same name.
            temporary = self.path.with_name(f"{self.path.name}.new")
            replace_file(self._record, record.to_bytes(), by_way_of=temporary)

    @contextmanager
    def extend(self) -> Iterator[BinaryIO]:
        """Open the file to write what comes next; every piece is there when it is written."""
        try:
            stream: BinaryIO = open_itself(self.path, "ab")
        except FileNotFoundError:
            stream = create(self.path)
        with stream:
            yield stream

    def pieces(self) -> Iterator[bytes]:
        """Give what is there, in pieces."""
        with self.path.open("rb", buffering=0) as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece

    def become(self, path: Path) -> None:
        """Take the name ``path``: the file is whole, and was checked."""
        make_read_only(self.path)
        put(self.path, path)
        remove(self._record)

    def discard(self) -> None:
        """Take it all away."""
        remove(self.path)
        remove(self._record)


class Store:
    """Where downloads are kept; made when something is first put into it.

    Args:
        folder: where; ``None`` is what ``PUREKERNEL_CACHE`` says, or the user's cache folder.

    Raises:
        StoreError: no folder can have that name.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (default_folder() if folder is None else folder).absolute()
        if "\0" in str(self.folder):
            raise StoreError(f"{str(self.folder)!a} is no folder: it holds a NUL")
        self._top = self.folder / _LAYOUT
        self._is_clear = False

    def find(
        self, *, sha256: str | None = None, md5: str | None = None, wanted: Wanted | None = None
    ) -> Blob | None:
        """Return the file with these digests, or ``None``; it is read and checked for that.

        Args:
            sha256: in hexadecimal; or
            md5: in hexadecimal.
            wanted: what it must be besides.
        """
        if sha256 is None and md5 is not None:
            sha256 = self._sha256_of(md5.lower())
        if sha256 is None or not _SHA256.fullmatch(sha256.lower()):
            return None
        path = self._blob(sha256.lower())
        blob = self._read(path, wanted)
        if blob is None or (md5 is not None and blob.md5 != md5.lower()):
            return None
        with suppress(OSError):  # a store that we may only read serves as well
            touch(path)
        return blob

    def record(self, url: str) -> Record | None:
        """Return what ``url`` gave when it was last asked, or ``None``."""
        return self._record(self._record_path(url))

    def record_time(self, url: str) -> int | None:
        """Return when ``url`` was last asked, in nanoseconds, or ``None``: never."""
        try:
            return self._record_path(url).stat().st_mtime_ns
        except OSError:
            return None

    def remember(self, url: str, record: Record) -> None:
        """Keep what ``url`` gave; where that cannot be written, it will be asked once more."""
        with suppress(OSError):
            replace_file(self._record_path(url), record.to_bytes(), by_way_of=self._temporary())

    def partial(self, url: str, *, private: bool = False) -> Partial:
        """Return the file on its way from ``url``; ``private``: under a name of its own.

        Whoever has it without ``private`` holds the lock of :meth:`lock_path`.
        """
        self._clear_away()
        if private:
            return Partial(self._temporary())
        return Partial(self._top / "partials" / _key(url))

    def lock_path(self, url: str) -> Path:
        """Return the file whose lock is held by whoever is at work on ``url``.

        On Windows filelock removes it with the lock, where nobody else has it open. Elsewhere
        it stays when the work is done: whoever opened it before it was removed would have the
        lock beside whoever makes it anew.
        """
        return self._top / "locks" / _key(url)

    def add(self, partial: Partial, inspection: Inspection) -> Blob:
        """Make what has come a file of the store: it is whole, and was checked.

        Raises:
            Fault: it was taken away: this process slept for so long that another took what it
                wrote for what a killed one left.
            StoreError: the host does not let us.
        """
        path = self._blob(inspection.sha256)
        with storing(self.folder):
            # What is there already may be open elsewhere, which Windows renames nothing over.
            blob = self._read(path, None)
            if blob is not None:
                partial.discard()
            else:
                try:
                    partial.become(path)
                except FileNotFoundError:
                    raise Fault("what came was taken away", Cause.PASSING) from None
                blob = Blob(
                    path=path,
                    size_bytes=inspection.size_bytes,
                    sha256=inspection.sha256,
                    md5=inspection.md5,
                )
            replace_file(
                self._md5_path(blob.md5), blob.sha256.encode(), by_way_of=self._temporary()
            )
        return blob

    def _clear_away(self) -> None:
        """Take away what runs that were killed have left, once a run."""
        if not self._is_clear:
            self._is_clear = True
            clear_away(self._top / "tmp", self._top / "partials", self._top / "locks")

    def _read(self, path: Path, wanted: Wanted | None) -> Blob | None:
        """Return the file at ``path``, read and checked; one that is damaged is taken away."""
        inspection = Inspection(wanted.kind if wanted is not None else Kind.ANY)
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
        if wanted is not None:
            try:
                inspection.check(wanted)
            except Fault:
                return None
        return Blob(
            path=path,
            size_bytes=inspection.size_bytes,
            sha256=inspection.sha256,
            md5=inspection.md5,
        )

    def _sha256_of(self, md5: str) -> str | None:
        if not _MD5.fullmatch(md5):
            return None
        try:
            return self._md5_path(md5).read_text("ascii")
        except (OSError, ValueError):
            return None

    def _record(self, path: Path) -> Record | None:
        try:
            return parse_record(path.read_bytes())
        except OSError:
            return None

    def _blob(self, sha256: str) -> Path:
        return self._top / "blobs" / sha256[:2] / sha256

    def _md5_path(self, md5: str) -> Path:
        return self._top / "md5" / md5[:2] / md5

    def _record_path(self, url: str) -> Path:
        key = _key(url)
        return self._top / "urls" / key[:2] / key

    def _temporary(self) -> Path:
        return self._top / "tmp" / temporary_name()


def load_fetched(fetched: Fetched) -> bytes:
    """Return what ``fetched`` holds, checked as it is read.

    Raises:
        StoreError: it is gone, or no longer what it was when it was fetched. The next fetch
            will bring it anew; :meth:`Downloads.load` does that by itself.
    """
    try:
        content = fetched.path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{fetched.name} cannot be read from the store: {error.strerror or error}",
            hint="run again: it is fetched anew",
        ) from None
    if hashlib.sha256(content, usedforsecurity=False).hexdigest() != fetched.sha256:
        remove(fetched.path)
        raise StoreError(
            f"{fetched.name} has changed in the store: {fetched.path}",
            hint="run again: it is fetched anew; let nothing else write there",
        )
    return content


def _key(url: str) -> str:
    """Return the name under which the store knows an address; user and password are no part."""
    try:
        name = str(local_path(url)) if is_local(url) else parse_address(url).url
    except (ValueError, InputError):
        name = redact(url)
    return hashlib.sha256(name.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()


def _remove_if_same(path: Path, opened: os.stat_result) -> None:
    """Take away what was found to be damaged, unless it has been replaced since."""
    with suppress(OSError):
        if os.path.samestat(path.stat(), opened):
            remove(path)


# Let one at a time fetch from an address, over all threads and processes that use a store.


@frozen(kw_only=True)
class Turn:
    """Whose turn it is.

    Attributes:
        ours: whether what is shared may be written to; otherwise the other one hangs, or the
            file system has no locks, and the work is done under a name of its own.
        waited: whether another was at work, and may have left what is wanted.
    """

    ours: bool
    waited: bool


@contextmanager
def taking_turns(
    path: Path,
    *,
    patience_seconds: float,
    progress: Callable[[], object],
    stopped: threading.Event,
) -> Iterator[Turn]:
    """Hold the lock at ``path``, waiting for it as long as its holder gets on.

    The system frees the lock of a process that ends, however it ends.

    Args:
        path: the lock's file; it is made, and its folder.
        patience_seconds: how long ``progress`` may stay the same before we go our own way.
        progress: what changes while the holder gets on.
        stopped: set when the wait is to end.

    Raises:
        Stopped: ``stopped`` was set.
    """
    import filelock  # noqa: PLC0415  # 30 ms, which what is in the store need not take

    lock = filelock.FileLock(path)
    waited = False
    seen = progress()
    idle_seconds = 0.0
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except filelock.Timeout:
            pass
        except (OSError, NotImplementedError):  # no locks there, or we may not write
            break
        else:
            try:
                yield Turn(ours=True, waited=waited)
            finally:
                lock.release()
            return
        waited = True
        if stopped.wait(POLL_SECONDS):
            raise Stopped
        idle_seconds += POLL_SECONDS
        if (now := progress()) != seen:
            seen, idle_seconds = now, 0.0
        if idle_seconds >= patience_seconds:
            break
    yield Turn(ours=False, waited=waited)
