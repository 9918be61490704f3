"""What a resolution of packages asks: for packages, of whatever knows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from purekernel.fetch.wanted import Wanted
from purekernel.formats.debian.record import PackageRecord


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
