"""Bring one file from one web address into the store, going on from where it was cut off."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from purekernel.fetch.http.web import parse_content_range, parse_retry_after
from purekernel.fetch.inspection import Inspection, check_bound, check_size
from purekernel.fetch.records import Record, Validators, make_validators
from purekernel.fetch.store import Blob, Store
from purekernel.fetch.urls import redact
from purekernel.fetch.wanted import Cause, Fault, Wanted
from purekernel.host.write import FULL, storing, write_piece

if TYPE_CHECKING:
    from purekernel.fetch.http import Answer, Web

_MISSING = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)

# Of the statuses that blame the request, those that pass (RFC 9110, 15.5.9; 8470; 6585).
_PASSING = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
)

# Of servers that give files and no heads.
_NO_HEADS = (
    HTTPStatus.FORBIDDEN,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_IMPLEMENTED,
)

_STATUS_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "name user and password in ~/.netrc, or in the address",
    HTTPStatus.FORBIDDEN: "check that you may have it: it may want another user",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "name user and password in HTTP_PROXY",
}


class _StartOver(Exception):  # noqa: N818  # it is no error: the second try is another
    """What came before is no beginning of what is there now."""


class Transfer:
    """One file on its way from one address, for one attempt.

    Args:
        store: where it goes.
        wanted: the file.
        url: the address.
        ours: whether the store's partial file of this address is ours to go on with.
    """

    def __init__(self, store: Store, wanted: Wanted, url: str, *, ours: bool) -> None:
        self._store = store
        self._wanted = wanted
        self._url = url
        self._partial = store.partial(url, private=not ours)
        self._ours = ours
        self._head_was_checked = False

    def run(self, web: Web, *, most_seconds: float) -> Blob:
        """Fetch the file, or find that the store's is still the same.

        Raises:
            Fault: this address did not give it.
            Stopped: the work was called off.
            StoreError: it cannot be stored.
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
            if self._partial.record() is None:  # nothing could go on from it
                self._partial.discard()
            if isinstance(error, Fault):
                # What came once more, from a server without ranges, is no gain.
                error.gained_bytes = max(0, self._partial.size_bytes() - offset)
            raise

    def _offset(self) -> int:
        """Return how many bytes of the file are there to go on from."""
        record = self._partial.record()
        size_bytes = self._partial.size_bytes()
        if record is None or not self._tells_parts(record.validators):
            return 0
        return size_bytes

    def _ask(self, web: Web, offset: int, most_seconds: float) -> Blob:
        known = None if offset else self._known()
        headers = self._range(offset) if offset else _conditions(known and known[0])
        with web.ask(self._url, headers=headers, most_seconds=most_seconds) as answer:
            if answer.status == HTTPStatus.NOT_MODIFIED and known is not None:
                record, blob = known
                self._store.remember(self._url, record)
                return blob
            if offset:
                return self._go_on(answer, offset)
            if answer.status != HTTPStatus.OK:
                raise fault_of_status(answer)
            return self._receive(answer, 0, answer.length, _validators(answer))

    def _known(self) -> tuple[Record, Blob] | None:
        """Return what the store has from this address, if that would do."""
        record = self._store.record(self._url)
        if record is None or record.sha256 is None or not record.validators:
            return None
        blob = self._store.find(sha256=record.sha256, wanted=self._wanted)
        return None if blob is None else (record, blob)

    def _range(self, offset: int) -> dict[str, str]:
        record = self._partial.record()
        validator = record.validators.for_range if record is not None else None
        headers = {"Range": f"bytes={offset}-"}
        return headers if validator is None else {**headers, "If-Range": validator}

    def _go_on(self, answer: Answer, offset: int) -> Blob:
        """Take the answer to a request for the rest of the file."""
        if answer.status == HTTPStatus.OK:  # it is another now, or ranges are not given
            self._partial.discard()
            return self._receive(answer, 0, answer.length, _validators(answer))
        first, total = parse_content_range(answer.headers.get("Content-Range"))
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if total != offset:
                raise _StartOver
            validators = self._same_file(answer, total)
            return self._finish(self._inspect_partial(offset), validators, resumed=True)
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            raise fault_of_status(answer)
        if first != offset or total is None:
            raise _StartOver
        return self._receive(answer, offset, total, self._same_file(answer, total))

    def _same_file(self, answer: Answer, total: int) -> Validators:
        """Return the validators of the file that we have a part of, if the answer is of it.

        They are those of the first answer: after ``If-Range`` servers leave them out of the
        second (RFC 9110, 15.3.7), and of refusals too.
        """
        record = self._partial.record()
        if record is None or record.size_bytes not in (None, total):
            raise _StartOver
        if record.validators.differ_from(_validators(answer)):
            raise _StartOver
        return record.validators or _validators(answer)

    def _receive(
        self, answer: Answer, offset: int, total: int | None, validators: Validators
    ) -> Blob:
        """Store the body after the first ``offset`` bytes; ``total`` is what the whole has."""
        if total is not None:
            self._check_announced(answer, offset, total)
        inspection = self._inspect_partial(offset) if offset else Inspection(self._wanted.kind)
        with storing(self._store.folder):
            try:
                if not offset:
                    self._partial.begin(self._beginning(validators, total))
                self._write(answer.pieces(), inspection)
            except OSError as error:
                if error.errno in FULL:
                    self._partial.discard()
                raise
        if total is not None and inspection.size_bytes != total:
            words = f"it sent {inspection.size_bytes} bytes, and had announced {total}"
            raise Fault(words, Cause.PASSING)
        return self._finish(inspection, validators, resumed=offset > 0)

    def _check_announced(self, answer: Answer, offset: int, total: int) -> None:
        """Refuse a file by the size that is announced for it; of a page, say that it is one."""
        try:
            check_size(total, self._wanted)
        except Fault as fault:
            if fault.cause is Cause.CONTENT and not offset:
                _refuse_page(answer.pieces())
            raise

    def _write(self, pieces: Iterable[bytes], inspection: Inspection) -> None:
        """Write pieces as they come, until one shows that it cannot be the file."""
        unfit: Fault | None = None
        with self._partial.extend() as stream:
            for piece in pieces:
                inspection.feed(piece)
                try:
                    self._look(inspection)
                except Fault as fault:
                    unfit = fault
                    break
                write_piece(stream, piece)
        if unfit is not None:
            self._partial.discard()
            raise unfit

    def _look(self, inspection: Inspection) -> None:
        try:
            check_bound(inspection.size_bytes, self._wanted)
        except Fault:
            inspection.check_page()
            raise
        if inspection.head_is_whole and not self._head_was_checked:
            inspection.check_kind()
            self._head_was_checked = True

    def _finish(self, inspection: Inspection, validators: Validators, *, resumed: bool) -> Blob:
        """Check the whole file, give it its name, and remember where it came from."""
        try:
            inspection.check(self._wanted)
        except Fault:
            if resumed:  # its parts may be of two files
                raise _StartOver from None
            self._partial.discard()
            raise
        blob = self._store.add(self._partial, inspection)
        self._store.remember(
            self._url,
            Record(
                url=redact(self._url),
                sha256=blob.sha256,
                size_bytes=blob.size_bytes,
                validators=validators,
            ),
        )
        return blob

    def _inspect_partial(self, offset: int) -> Inspection:
        """Look at what came before; its digests begin with it."""
        inspection = Inspection(self._wanted.kind)
        with storing(self._store.folder):
            for piece in self._partial.pieces():
                inspection.feed(piece)
        if inspection.size_bytes != offset:
            raise _StartOver
        return inspection

    def _beginning(self, validators: Validators, total: int | None) -> Record | None:
        """Return what is to be known of a partial file before its first byte."""
        if not self._ours or not self._tells_parts(validators):
            return None
        return Record(url=redact(self._url), size_bytes=total, validators=validators)

    def _tells_parts(self, validators: Validators) -> bool:
        """Say whether it would be found out if two parts were of two files."""
        return bool(validators.for_range or self._wanted.sha256 or self._wanted.md5)


def ask_size(web: Web, url: str, *, most_seconds: float) -> int | None:
    """Return the size in bytes of what an address has, without fetching it; ``None``: not said.

    Raises:
        Fault: it has not, or nobody can tell.
        Stopped: the work was called off.
    """
    with web.ask(url, method="HEAD", most_seconds=most_seconds) as answer:
        if answer.status not in _NO_HEADS:
            return _announced(answer)
    with web.ask(url, most_seconds=most_seconds) as answer:
        return _announced(answer)


def fault_of_status(answer: Answer) -> Fault:
    """Return what an answer means that does not bring the file."""
    status = answer.status
    if status in _MISSING:
        return Fault("it is not there", Cause.MISSING)
    try:
        words = f"status {status}, {HTTPStatus(status).phrase}"
    except ValueError:
        words = f"status {status}"
    passing = status >= 500 or status in _PASSING
    return Fault(
        words,
        Cause.PASSING if passing else Cause.LASTING,
        hint=_STATUS_HINTS.get(status, ""),
        pause_seconds=parse_retry_after(
            answer.headers.get("Retry-After"), date=answer.headers.get("Date")
        ),
    )


def _refuse_page(pieces: Iterable[bytes]) -> None:
    """Refuse what begins as a web page does; what does not begin is none."""
    inspection = Inspection()
    with suppress(Fault):
        for piece in pieces:
            inspection.feed(piece)
            if inspection.head_is_whole:
                break
    inspection.check_page()


def _announced(answer: Answer) -> int | None:
    if answer.status != HTTPStatus.OK:
        raise fault_of_status(answer)
    return answer.length


def _validators(answer: Answer) -> Validators:
    return make_validators(answer.headers.get("ETag"), answer.headers.get("Last-Modified"))


def _conditions(record: Record | None) -> dict[str, str]:
    """Return headers that ask for a file only if it has changed."""
    if record is None:
        return {}
    headers = {}
    if record.validators.etag is not None:
        headers["If-None-Match"] = record.validators.etag
    if record.validators.last_modified is not None:
        headers["If-Modified-Since"] = record.validators.last_modified
    return headers
