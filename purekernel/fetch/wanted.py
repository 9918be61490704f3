"""What is wanted from the outside world, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from purekernel.errors import UsageError
from purekernel.fetch.urls import redact

MIB = 1 << 20


class Kind(Enum):
    """What a file must look like, so that a portal's web page is not taken for it."""

    ANY = "any"
    TEXT = "text"
    GZIP = "gzip"
    SQUASHFS = "squashfs"
    ISO = "iso"
    TAR = "tar"


def _shown(urls: tuple[str, ...]) -> str:
    """Return how addresses with passwords are represented."""
    return repr(tuple(map(redact, urls)))


@frozen(kw_only=True)
class Wanted:
    """One file that is wanted.

    Attributes:
        name: for messages, such as ``bash.tcz``.
        urls: where it may be, in the order in which they are asked: ``http``, ``https`` and
            ``file`` URLs, or plain paths on the host (of a folder that is a mirror).
        kind: what it must look like.
        size_bytes: what it must have, where that is known.
        md5: in hexadecimal, where that is known.
        sha256: in hexadecimal, where that is known.
        optional: whether it is no fault that it is not there; what the first place says
            of that counts for all of them.
        most_bytes: what it may have at the most.
        attempts: rounds over all places at the most, where that is less than others have.
    """

    name: str
    urls: tuple[str, ...] = field(repr=_shown)
    kind: Kind = Kind.ANY
    size_bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    optional: bool = False
    most_bytes: int = 1024 * MIB
    attempts: int | None = None


@frozen(kw_only=True)
class Fetched:
    """One file as it lies in the store.

    Attributes:
        name: as it was wanted.
        url: where it came from; of a file that the store had by its digest, the first of its
            places that ever gave it, or else the first of all. Without user and password.
        size_bytes: its size.
        sha256: in hexadecimal.
        md5: in hexadecimal.
        path: its place in the store; not to be written to.
    """

    name: str
    url: str
    size_bytes: int
    sha256: str
    md5: str
    path: Path


class Fetcher(Protocol):
    """Fetches what is wanted, several at once; see :mod:`purekernel.fetch.downloads`."""

    def fetch(self, wanted: Wanted) -> Fetched | None:
        """Return the file; ``None`` where it is optional and nobody has it."""
        ...

    def fetch_all(self, wanted: Iterable[Wanted]) -> list[Fetched | None]:
        """Return the files, each in its place."""
        ...

    def load(self, fetched: Fetched) -> bytes:
        """Return the content, checked against its digest."""
        ...


# Why one place did not give a file: between what asks it and what decides how to go on.


class Cause(Enum):
    """What kind of fault it is, which decides what is done about it."""

    MISSING = "missing"
    """The place says that it has no such file."""
    UNREACHABLE = "unreachable"
    """Nobody answers there; it may pass."""
    PASSING = "passing"
    """It failed in a way that may pass: cut off, stalled, overloaded, in the way."""
    LASTING = "lasting"
    """It would fail the same way again."""
    CONTENT = "content"
    """It has another file than the one that was promised."""


class Fault(Exception):  # noqa: N818  # an error is what it becomes when all mirrors have one
    """Say why one place did not give a file. Never seen outside this package.

    Attributes:
        reason: in words that follow the place's name and a colon.
        cause: what kind of fault it is.
        hint: what the user can do, where that is particular to this fault.
        pause_seconds: how long the server asks to be left alone.
        gained_bytes: how much came all the same, and need not come again.
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
        """Whether the same place is worth asking again."""
        return self.cause in (Cause.UNREACHABLE, Cause.PASSING)


class Stopped(Exception):  # noqa: N818  # it is nobody's error
    """Say that the work was called off; whoever called it off raises what is to be said."""


# How patient downloads are.


@frozen(kw_only=True)
class DownloadPolicy:
    """Bounds on downloads.

    Attributes:
        parallel: files at once. Mirrors are other people's: eight are what browsers have
            taken for good manners, and fill most lines.
        attempts: rounds over all mirrors of a file in which nothing comes of it.
        connect_seconds: until a connection stands. Three SYNs, sent after 0, 1 and 3 seconds,
            have had time for an answer.
        stall_seconds: without a byte. A proxy that looks for viruses may hold back a file of
            some megabytes so long.
        most_seconds: for a file as a whole, attempts and pauses together. In an hour an ISO of
            700 MB comes over a line of 2 Mbit/s.
        first_pause_seconds: after the first round; each later pause is twice as long.
        most_pause_seconds: what no pause is longer than, whatever the server asks for.
    """

    parallel: int = 8
    attempts: int = 4
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    most_seconds: float = 3600.0
    first_pause_seconds: float = 0.5
    most_pause_seconds: float = 30.0

    def __attrs_post_init__(self) -> None:
        """Refuse numbers that would have nothing downloaded, or never end.

        Raises:
            UsageError: one is.
        """
        for name in ("parallel", "attempts", "connect_seconds", "stall_seconds", "most_seconds"):
            self._check(name, positive=True)
        for name in ("first_pause_seconds", "most_pause_seconds"):
            self._check(name, positive=False)

    def _check(self, name: str, *, positive: bool) -> None:
        value = getattr(self, name)
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise UsageError(
                f"downloads: {name} cannot be {value}",
                hint="give a number above 0" if positive else "give 0 or a number above it",
            )

    def pause_seconds(self, number: int) -> float:
        """Return how long to wait after round ``number``, the first being 0."""
        # Twice as long thirty times over is longer than anybody waits.
        grown = self.first_pause_seconds * 2.0 ** min(number, 30)
        return min(grown, self.most_pause_seconds)
