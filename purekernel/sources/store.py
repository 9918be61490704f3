"""The store of downloads: files by what they hold, in the user's cache folder.

Below the folder, ``v1/`` has

====================  =========================================================================
``blobs/ab/…``        files, read-only, named by their SHA-256
``md5/ab/…``          for an MD5, the SHA-256 of the file that has it
``urls/ab/…``         for an address (by SHA-256), what it gave (:mod:`~.records`)
``partials/…``        what came of files until they were cut off (:mod:`~.partial`)
``locks/…``           whose turn it is with an address (:mod:`~.turns`)
``tmp/…``             what is about to get its name; :mod:`~.clearing` takes the rest away
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
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from purekernel.errors import InputError, StoreError
from purekernel.host.cache_folder import clear_away, default_folder
from purekernel.host.no_follow import touch
from purekernel.host.write import remove, replace_file, storing, temporary_name
from purekernel.sources.faults import Cause, Fault
from purekernel.sources.inspection import PIECE_BYTES, Inspection
from purekernel.sources.partial import Partial
from purekernel.sources.records import Record, parse_record
from purekernel.sources.urls import is_local, local_path, parse_address, redact
from purekernel.sources.wanted import Fetched, Kind, Wanted

# Another layout gets another folder; the old one is left to those who know it.
_LAYOUT = "v1"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


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
