"""Download one file from one web URL into the store; resume partial downloads.

A request is never conditional (no ``If-None-Match`` or ``If-Modified-Since``). A validator is only
a name that a server gives: a hostile mirror, or a host on the way, could give its own file the
validator of the right one, which the right server would then confirm with status 304 forever. A
stored file is used again if a digest from this run proves it. ``If-Range`` is used only with
validators that this run received.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from purekernel.fetch.headers import parse_content_range, parse_retry_after
from purekernel.fetch.inspection import Inspection, check_bound, check_size
from purekernel.fetch.model import Cause, Download, Fault
from purekernel.fetch.records import CacheEntry, Validators, make_validators
from purekernel.fetch.store import Blob, Store
from purekernel.fetch.urls import redact
from purekernel.host.hints import FULL, storing
from purekernel.host.staging import write_piece

if TYPE_CHECKING:
    from purekernel.fetch.http import Response, Web

_MISSING = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)

# Client error statuses that are temporary (RFC 9110, 15.5.9; 8470; 6585).
_PASSING = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
)

# Statuses of servers that support GET but not HEAD.
_NO_HEADS = (
    HTTPStatus.FORBIDDEN,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_IMPLEMENTED,
)

_STATUS_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "set user and password in ~/.netrc or in the URL",
    HTTPStatus.FORBIDDEN: "check that your user may download the file",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "set user and password in HTTP_PROXY",
}


class _StartOver(Exception):  # noqa: N818  # it is a signal to download from the start
    """The partial download does not belong to the current file of the server."""


class Transfer:
    """One attempt to download one file from one URL.

    Args:
        store: the store to download to.
        download: the file.
        url: the URL.
        ours: whether the lock of the URL is held, so that its shared partial download may be
            resumed.
        begun: the validators of the partial downloads that this run began, by URL; updated in
            place.
        received: called after each piece with the offset at which the request started, the
            size of the file so far, and its whole size, if known.
    """

    def __init__(
        self,
        store: Store,
        download: Download,
        url: str,
        *,
        ours: bool,
        begun: MutableMapping[str, Validators],
        received: Callable[[int, int, int | None], None],
    ) -> None:
        self._received = received
        self._store = store
        self._download = download
        self._url = url
        self._partial = store.partial(url, private=not ours)
        self._ours = ours
        self._begun = begun
        self._head_was_checked = False

    def run(self, web: Web, *, most_seconds: float) -> Blob:
        """Download the file.

        Raises:
            Fault: the URL did not provide the file.
            Stopped: the downloads were cancelled.
            StoreError: the file cannot be stored.
        """
        began = time.monotonic()
        offset = self._offset()
        try:
            try:
                return self._ask(web, offset, most_seconds)
            except _StartOver:
                self._partial.discard()
                left = most_seconds - (time.monotonic() - began)
                return self._ask(web, 0, max(left, 0.0))
        except BaseException as error:
            if self._partial.record() is None:  # it cannot be resumed
                self._partial.discard()
            if isinstance(error, Fault):
                # Bytes that a server without range support sends again do not count.
                error.gained_bytes = max(0, self._partial.size_bytes() - offset)
            raise

    def _offset(self) -> int:
        """Return the offset in bytes at which the download can be resumed."""
        record = self._partial.record()
        size_bytes = self._partial.size_bytes()
        if record is None or not (self._download.has_digest or self._range_validator(record)):
            return 0
        return size_bytes

    def _range_validator(self, record: CacheEntry) -> str | None:
        """Return the value of ``If-Range`` to resume a partial download that this run began."""
        validators = record.validators
        return validators.for_range if self._begun.get(self._url) == validators else None

    def _ask(self, web: Web, offset: int, most_seconds: float) -> Blob:
        headers = self._range(offset) if offset else None
        with web.ask(self._url, headers=headers, most_seconds=most_seconds) as response:
            if offset:
                return self._resume(response, offset)
            if response.status != HTTPStatus.OK:
                raise fault_of_status(response)
            return self._receive(response, 0, response.length, _validators(response))

    def _range(self, offset: int) -> dict[str, str]:
        record = self._partial.record()
        validator = self._range_validator(record) if record is not None else None
        headers = {"Range": f"bytes={offset}-"}
        return headers if validator is None else {**headers, "If-Range": validator}

    def _resume(self, response: Response, offset: int) -> Blob:
        """Process the response to a range request for the rest of the file."""
        if response.status == HTTPStatus.OK:  # the file changed, or ranges are not supported
            self._partial.discard()
            return self._receive(response, 0, response.length, _validators(response))
        first, total = parse_content_range(response.headers.get("Content-Range"))
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if total != offset:
                raise _StartOver
            validators = self._same_file(response, total)
            return self._finish(self._inspect_partial(offset), validators, resumed=True)
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            raise fault_of_status(response)
        if first != offset or total is None:
            raise _StartOver
        return self._receive(response, offset, total, self._same_file(response, total))

    def _same_file(self, response: Response, total: int) -> Validators:
        """Return the validators of the partial download, after checking the response.

        The validators of the first response are returned, because servers omit them from the
        response to ``If-Range`` (RFC 9110, 15.3.7) and from error responses.

        Raises:
            _StartOver: the response is for another version of the file.
        """
        record = self._partial.record()
        if record is None or record.size_bytes not in (None, total):
            raise _StartOver
        if record.validators.differ_from(_validators(response)):
            raise _StartOver
        return record.validators or _validators(response)

    def _receive(
        self, response: Response, offset: int, total: int | None, validators: Validators
    ) -> Blob:
        """Store the body, which starts at ``offset``; ``total`` is the size of the whole file."""
        if total is not None:
            self._check_announced(response, offset, total)
        inspection = self._inspect_partial(offset) if offset else Inspection(self._download)
        with storing(self._store.folder):
            try:
                if not offset:
                    self._begun[self._url] = validators
                    self._partial.begin(self._beginning(validators, total))
                self._write(response.pieces(), inspection, total)
            except OSError as error:
                if error.errno in FULL:
                    self._partial.discard()
                raise
        if total is not None and inspection.size_bytes != total:
            words = f"size must be {total} bytes as announced, got {inspection.size_bytes}"
            raise Fault(words, Cause.PASSING)
        return self._finish(inspection, validators, resumed=offset > 0)

    def _check_announced(self, response: Response, offset: int, total: int) -> None:
        """Refuse a file whose announced size is wrong; report web pages as such."""
        try:
            check_size(total, self._download)
        except Fault as fault:
            if fault.cause is Cause.CONTENT and not offset:
                _refuse_page(response.pieces())
            raise

    def _write(self, pieces: Iterable[bytes], inspection: Inspection, total: int | None) -> None:
        """Write the pieces as they arrive; stop as soon as the content is known to be wrong.

        ``total`` is the size of the whole file, if known.
        """
        offset = inspection.size_bytes
        content_fault: Fault | None = None
        with self._partial.extend() as stream:
            for piece in pieces:
                inspection.feed(piece)
                try:
                    self._check_so_far(inspection)
                except Fault as fault:
                    content_fault = fault
                    break
                write_piece(stream, piece)
                self._received(offset, inspection.size_bytes, total)
        if content_fault is not None:
            self._partial.discard()
            raise content_fault

    def _check_so_far(self, inspection: Inspection) -> None:
        try:
            check_bound(inspection.size_bytes, self._download)
        except Fault:
            inspection.check_page()
            raise
        if inspection.head_is_whole and not self._head_was_checked:
            inspection.check_kind()
            self._head_was_checked = True

    def _finish(self, inspection: Inspection, validators: Validators, *, resumed: bool) -> Blob:
        """Check the complete file, add it to the store, and write the cache entry of the URL."""
        try:
            inspection.check(self._download)
        except Fault:
            if resumed:  # the parts may belong to different versions
                raise _StartOver from None
            self._partial.discard()
            raise
        blob = self._store.add(self._partial, inspection)
        self._store.remember(
            self._url,
            CacheEntry(
                url=redact(self._url),
                sha256=blob.sha256,
                size_bytes=blob.size_bytes,
                validators=validators,
            ),
        )
        return blob

    def _inspect_partial(self, offset: int) -> Inspection:
        """Return an inspection that has read the partial download."""
        inspection = Inspection(self._download)
        with storing(self._store.folder):
            for piece in self._partial.pieces():
                inspection.feed(piece)
        if inspection.size_bytes != offset:
            raise _StartOver
        return inspection

    def _beginning(self, validators: Validators, total: int | None) -> CacheEntry | None:
        """Return the record for a new partial download, or ``None`` if it cannot be resumed."""
        # It must be detected if two parts belong to different versions of the file.
        if not self._ours or not (validators.for_range or self._download.has_digest):
            return None
        return CacheEntry(url=redact(self._url), size_bytes=total, validators=validators)


def ask_size(web: Web, url: str, *, most_seconds: float) -> int | None:
    """Return the size of a file in bytes without downloading it, or ``None`` if not announced.

    Raises:
        Fault: the file is missing, or the request failed.
        Stopped: the downloads were cancelled.
    """
    with web.ask(url, method="HEAD", most_seconds=most_seconds) as response:
        if response.status not in _NO_HEADS:
            return _announced(response)
    with web.ask(url, most_seconds=most_seconds) as response:
        return _announced(response)


def fault_of_status(response: Response) -> Fault:
    """Return the fault for a response that does not contain the file."""
    status = response.status
    if status in _MISSING:
        return Fault("not found", Cause.MISSING)
    try:
        words = f"status {status}, {HTTPStatus(status).phrase}"
    except ValueError:
        words = f"status {status}"
    is_temporary = status >= 500 or status in _PASSING
    return Fault(
        words,
        Cause.PASSING if is_temporary else Cause.LASTING,
        hint=_STATUS_HINTS.get(status, ""),
        pause_seconds=parse_retry_after(
            response.headers.get("Retry-After"), date=response.headers.get("Date")
        ),
    )


def _refuse_page(pieces: Iterable[bytes]) -> None:
    """Refuse content that starts like a web page; ignore content that cannot be read."""
    inspection = Inspection()
    with suppress(Fault):
        for piece in pieces:
            inspection.feed(piece)
            if inspection.head_is_whole:
                break
    inspection.check_page()


def _announced(response: Response) -> int | None:
    if response.status != HTTPStatus.OK:
        raise fault_of_status(response)
    return response.length


def _validators(response: Response) -> Validators:
    return make_validators(response.headers.get("ETag"), response.headers.get("Last-Modified"))
