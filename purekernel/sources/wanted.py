"""What is wanted from the outside world, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from purekernel.sources.urls import redact

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
    """Fetches what is wanted, several at once; see :mod:`purekernel.sources.downloads`."""

    def fetch(self, wanted: Wanted) -> Fetched | None:
        """Return the file; ``None`` where it is optional and nobody has it."""
        ...

    def fetch_all(self, wanted: Iterable[Wanted]) -> list[Fetched | None]:
        """Return the files, each in its place."""
        ...

    def load(self, fetched: Fetched) -> bytes:
        """Return the content, checked against its digest."""
        ...
