"""Define the interface that a resolution of packages looks up packages through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from purekernel.fetch.model import Download
from purekernel.formats.debian.control import PackageRecord


@frozen(kw_only=True)
class PackageCandidate:
    """A package that a resolution can select.

    Attributes:
        record: metadata of the package.
        download: the package's file.
    """

    record: PackageRecord
    download: Download


class PackageRepository(Protocol):
    """A source of packages: a Debian archive, or a lock file."""

    def named(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages called ``name``, of all versions and architectures."""
        ...

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages that provide ``name``."""
        ...
