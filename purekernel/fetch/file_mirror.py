"""Copy files from mirrors that are folders of this host into the store, and list the folders."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from purekernel.errors import InputError
from purekernel.fetch.inspection import (
    BROWSER_HINT,
    PIECE_BYTES,
    Inspection,
    check_bound,
    check_size,
)
from purekernel.fetch.model import Cause, Download, Fault, Stopped
from purekernel.fetch.records import CacheEntry, Validators
from purekernel.fetch.store import Blob, Store
from purekernel.fetch.urls import local_path, redact
from purekernel.host.hints import reason, storing
from purekernel.host.staging import write_piece

# A whole mirror has about 25,000 files in one folder.
MAX_NAMES = 1_000_000


def look_local(url: str) -> os.stat_result:
    """Return the status of the file at ``url``.

    Raises:
        Fault: the file is missing, not a regular file, or not accessible.
    """
    path = _path(url)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None
    except OSError as error:
        raise _unreadable(error) from None
    _check_kind(status)
    return status


def list_local(url: str) -> list[str]:
    """Return the names in the folder at ``url``, sorted; none if it cannot be read.

    At most :data:`MAX_NAMES` names are read.
    """
    try:
        with os.scandir(_path(url)) as entries:
            return sorted(entry.name for entry in islice(entries, MAX_NAMES))
    except (OSError, Fault):  # reported when a file in it is asked for
        return []


def copy_local(store: Store, download: Download, url: str, *, stopped: threading.Event) -> Blob:
    """Copy the file at ``url`` into the store, unless it has not changed since the last copy.

    A change is detected by size and modification time, as in other tools that copy changed
    files.

    Raises:
        Fault: the file is missing, cannot be read, or does not match the request.
        Stopped: ``stopped`` was set.
        StoreError: the file cannot be stored.
    """
    validators = _validators(look_local(url))
    record = store.record(url)
    if record is not None and record.sha256 and record.validators == validators:
        blob = store.find(sha256=record.sha256, download=download)
        if blob is not None:
            return blob
    with _opening(_path(url)) as stream:
        status = os.fstat(stream.fileno())
        check_size(status.st_size, download)
        blob = _copy(store, download, stream, stopped)
        if _validators(os.fstat(stream.fileno())) != _validators(status):
            raise Fault("the file changed while it was read", Cause.PASSING)
    store.remember(
        url,
        CacheEntry(
            url=redact(url),
            sha256=blob.sha256,
            size_bytes=blob.size_bytes,
            validators=_validators(status),
        ),
    )
    return blob


def _copy(store: Store, download: Download, stream: BinaryIO, stopped: threading.Event) -> Blob:
    partial = store.partial("", private=True)
    inspection = Inspection(download)
    try:
        with storing(store.folder):
            partial.begin(None)
            with partial.extend() as copy:
                for piece in _pieces(stream):
                    if stopped.is_set():
                        raise Stopped
                    inspection.feed(piece)
                    check_bound(inspection.size_bytes, download)
                    write_piece(copy, piece)
        inspection.check(download)
        return store.add(partial, inspection)
    except Fault as fault:
        partial.discard()
        if fault.hint != BROWSER_HINT:
            raise
        # A server may send the file later, in place of a login page. A file stays what it is.
        hint = "check the path: the file may be another one, or need to be converted"
        raise Fault(fault.reason, Cause.LASTING, hint=hint) from None
    except BaseException:
        partial.discard()
        raise


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            piece = stream.read(PIECE_BYTES)
        except OSError as error:
            raise _unreadable(error) from None
        if not piece:
            return
        yield piece


@contextmanager
def _opening(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; do not block on a fifo or device."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        stream = os.fdopen(os.open(path, flags), "rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path) from None
    except OSError as error:
        raise _unreadable(error) from None
    try:
        with stream:
            _check_kind(os.fstat(stream.fileno()))
            yield stream
    except OSError as error:  # errors of the store are not OSError
        raise _unreadable(error) from None


def _path(url: str) -> Path:
    try:
        return local_path(url)
    except InputError as error:
        raise Fault(error.message, Cause.LASTING, hint=error.hint) from None


def _missing(path: Path) -> Fault:
    """Return the fault for a missing file or, if a disk is not mounted, a missing mirror."""
    with suppress(OSError):
        if not path.parent.is_dir():
            return Fault(f"folder {redact(str(path.parent))} not found", Cause.MISSING)
    return Fault("not found", Cause.MISSING)


def _check_kind(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Fault("must be a file, got a folder", Cause.LASTING)
    if not stat.S_ISREG(status.st_mode):
        raise Fault("must be a file, got a device, fifo or socket", Cause.LASTING)


def _unreadable(error: OSError) -> Fault:
    return Fault(
        f"cannot be read: {reason(error)}",
        Cause.LASTING,
        hint="check the path and its permissions",
    )


def _validators(status: os.stat_result) -> Validators:
    return Validators(etag=f"{status.st_size}-{status.st_mtime_ns}")
