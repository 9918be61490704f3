"""What a resolution of packages asks: for packages, of whatever knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from attrs import frozen

from purekernel.formats.debian.record import PackageRecord
from purekernel.sources.wanted import Fetched, Wanted


class Downloads(Protocol):
    """Fetches files, several at once."""

    def fetch(self, wanted: Wanted) -> Fetched | None:
        """Return the file; ``None`` where it is optional and nobody has it."""
        ...

    def fetch_all(self, wanted: Iterable[Wanted]) -> list[Fetched | None]:
        """Return the files, each in its place."""
        ...

    def load(self, fetched: Fetched) -> bytes:
        """Return the content, checked against its digest."""
        ...


@frozen(kw_only=True)
class Candidate:
    """A package that might be taken.

    Attributes:
        record: what is said of it.
        wanted: its file.
    """

    record: PackageRecord
    wanted: Wanted


class PackageRepository(Protocol):
    """Knows packages: an archive of Debian's, or a lock file."""

    def named(self, name: str) -> Sequence[Candidate]:
        """Return the packages of that name, of all versions and architectures."""
        ...

    def providing(self, name: str) -> Sequence[Candidate]:
        """Return the packages that say they stand for that name."""
        ...
