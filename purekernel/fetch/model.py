"""Define download requests, their results, faults and limits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Protocol

from attrs import field

from purekernel.errors import UsageError
from purekernel.fetch.urls import is_plain_http, redact
from purekernel.formats.detect import FileKind
from purekernel.records import frozen

MIB = 1 << 20


def _shown(urls: tuple[str, ...]) -> str:
    """Return the ``repr`` of URLs without their passwords."""
    return repr(tuple(map(redact, urls)))


@frozen(kw_only=True)
class Download:
    """A file to download.

    Attributes:
        name: the name for messages, such as ``bash.tcz``.
        urls: URLs in the order in which they are tried: ``http``, ``https`` and ``file`` URLs,
            or plain paths on the host (of a mirror folder).
        kind: the expected kind of the content, which tells it from the web page of a captive
            portal; ``None`` for any.
        size_bytes: the expected size, if known.
        md5: the expected MD5 in hexadecimal, if known.
        sha256: the expected SHA-256 in hexadecimal, if known.
        sha512: the expected SHA-512 in hexadecimal, if it is known and the SHA-256 is not.
        digest_source: URL of the index that gave SHA-256 or SHA-512; empty if the user or a lock
            file gave it, or if the signature of the index was checked.
        optional: whether the file may be missing. If the first URL reports it as missing, the
            others are not tried.
        most_bytes: the maximum size.
        attempts: the maximum number of attempts, if lower than that of the policy.
        place: where the user gave the URLs, for messages: file, line and key.
        sha256_place: where the user gave the SHA-256, likewise.
    """

    name: str
    urls: tuple[str, ...] = field(repr=_shown)
    kind: FileKind | None = None
    size_bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    sha512: str | None = None
    digest_source: str = field(default="", eq=False, repr=redact)
    optional: bool = False
    most_bytes: int = 1024 * MIB
    attempts: int | None = None
    place: str = field(default="", eq=False)
    sha256_place: str = field(default="", eq=False)

    @property
    def has_digest(self) -> bool:
        """Whether a digest of the content is known."""
        return (self.sha256 or self.sha512 or self.md5) is not None

    @property
    def is_pinned(self) -> bool:
        """Whether a strong digest that did not come over plain http proves the content."""
        strong = self.sha256 or self.sha512
        return strong is not None and not is_plain_http(self.digest_source)


@frozen(kw_only=True)
class DownloadedFile:
    """A downloaded file in the store.

    Attributes:
        name: the name from the request.
        url: the redacted URL of the file. For a file that was found in the store by its digest:
            the first URL of the request that ever provided it, or else the first URL.
        size_bytes: the size.
        sha256: the digest in hexadecimal.
        md5: the digest in hexadecimal.
        path: the path in the store; do not write to it.
    """

    name: str
    url: str
    size_bytes: int
    sha256: str
    md5: str
    path: Path


class Fetcher(Protocol):
    """Downloads files, several at once; see :mod:`purekernel.fetch.downloads`."""

    def fetch(self, download: Download) -> DownloadedFile | None:
        """Return the file, or ``None`` if it is optional and missing."""
        ...

    def fetch_all(self, downloads: Iterable[Download]) -> list[DownloadedFile | None]:
        """Return the files in the order of ``downloads``."""
        ...

    def load(self, fetched: DownloadedFile) -> bytes:
        """Return the content after checking its digest."""
        ...


# The reasons for a failed attempt, which decide whether to retry.


class Cause(Enum):
    """The kind of a fault, which decides whether to retry."""

    MISSING = "missing"
    """The server reports that the file does not exist."""
    UNREACHABLE = "unreachable"
    """The host does not respond; a retry may succeed."""
    SILENT = "silent"
    """The host accepts the request, and does not answer; a retry may succeed."""
    PASSING = "passing"
    """A temporary failure: connection lost, stalled, overloaded, captive portal."""
    GIVEN_UP = "given up"
    """The host did not answer for an earlier file, and is not asked again in this run."""
    LASTING = "lasting"
    """A permanent failure: a retry would fail the same way."""
    CONTENT = "content"
    """The file differs from the expected size or digest."""


class Fault(Exception):  # noqa: N818  # it becomes an error only if all mirrors have one
    """Signal that one URL did not provide a file. It does not leave this package.

    Attributes:
        reason: the reason, worded to follow the URL and a colon.
        cause: the kind of the fault.
        hint: what the user can do, if specific to this fault.
        pause_seconds: how long the server asks clients to wait before they retry.
        gained_bytes: bytes received that a retry need not download again.
    """

    def __init__(
        self, reason: str, cause: Cause, *, hint: str = "", pause_seconds: float = 0.0
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause
        self.hint = hint
        self.pause_seconds = pause_seconds
        self.gained_bytes = 0

    @property
    def may_pass(self) -> bool:
        """Whether a retry of the same URL may succeed."""
        return self.cause in (Cause.UNREACHABLE, Cause.SILENT, Cause.PASSING)

    @property
    def is_outage(self) -> bool:
        """Whether the host did not answer, which concerns all of its files."""
        return self.cause in (Cause.UNREACHABLE, Cause.SILENT, Cause.GIVEN_UP)

    @property
    def is_network(self) -> bool:
        """Whether a later run may succeed, because the network or a server failed."""
        return self.may_pass or self.cause is Cause.GIVEN_UP


class Stopped(Exception):  # noqa: N818  # it is a signal, not an error
    """Signal that the downloads were cancelled; the code that cancelled them raises the error."""


# The limits of downloads.


@frozen(kw_only=True)
class DownloadPolicy:
    """Limits of downloads.

    Attributes:
        parallel: maximum number of simultaneous downloads. Eight is about what browsers open,
            which is polite to the mirrors and saturates most connections.
        allow_http: whether plain http URLs may stand in for https URLs.
        attempts: number of attempts over all mirrors of a file without progress.
        connect_seconds: time limit for a connection. It is long enough for a response to three
            SYNs, which are sent after 0, 1 and 3 seconds.
        stall_seconds: maximum time without data. A proxy that scans for viruses may hold back a
            file of some megabytes for as long.
        slow_seconds: maximum time below ``min_bytes_per_second``.
        min_bytes_per_second: minimum rate of a download; 0 for none. A modem of 1995 is faster than
            the default; without a minimum, a server that sends a byte now and then holds a build
            for as long as ``most_seconds``.
        most_seconds: time limit for one file, including all attempts and pauses. In one hour
            an ISO of 700 MB downloads at 2 Mbit/s.
        first_pause_seconds: pause after the first attempt; each later pause is twice as long.
        most_pause_seconds: maximum length of a pause, also if the server asks for more.
    """

    parallel: int = 8
    allow_http: bool = False
    attempts: int = 4
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    slow_seconds: float = 30.0
    min_bytes_per_second: float = 1000.0
    most_seconds: float = 3600.0
    first_pause_seconds: float = 0.5
    most_pause_seconds: float = 30.0

    def __attrs_post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: a number is out of range or not finite.
        """
        for name in (
            "parallel",
            "attempts",
            "connect_seconds",
            "stall_seconds",
            "slow_seconds",
            "most_seconds",
        ):
            self._check(name, positive=True)
        for name in ("min_bytes_per_second", "first_pause_seconds", "most_pause_seconds"):
            self._check(name, positive=False)

    def _check(self, name: str, *, positive: bool) -> None:
        value = getattr(self, name)
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            bound = "a number above 0" if positive else "0 or more"
            raise UsageError(
                f"downloads: {name} must be {bound}, got {value}", hint=f"give {bound}"
            )

    def pause_seconds(self, number: int) -> float:
        """Return the pause in seconds after attempt ``number``, counted from 0."""
        # The cap at 2**30 avoids an overflow; that pause exceeds any real maximum.
        grown = self.first_pause_seconds * 2.0 ** min(number, 30)
        return min(grown, self.most_pause_seconds)
