"""A lock file as a repository of Debian packages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from purekernel.errors import FormatError, LockError
from purekernel.fetch.urls import join_url
from purekernel.fetch.wanted import Wanted
from purekernel.formats.debian.control import Stanza
from purekernel.formats.debian.record import PackageRecord
from purekernel.repos.debian import Candidate, PackageRepository
from purekernel.sources.lock import Lock, PinnedPackage
from purekernel.sources.locked import pinned

# Where an archive keeps its packages, wherever it is mirrored.
POOL = "/pool/"


class LockedPackages:
    """The packages that a lock file pins."""

    def __init__(self, lock: Lock, mirrors: Sequence[str], place: Callable[[str], str]) -> None:
        """Know what a lock file pins.

        Args:
            lock: what it says.
            mirrors: of Debian, that may have the files.
            place: makes of a path in the lock one on this host.

        Raises:
            LockError: the lock file is damaged.
        """
        self._mirrors = mirrors
        self._place = place
        self._candidates = tuple(map(self._candidate, lock.packages.values()))

    def named(self, name: str) -> Sequence[Candidate]:
        """Return the packages of that name."""
        return [one for one in self._candidates if one.record.name == name]

    def providing(self, name: str) -> Sequence[Candidate]:
        """Return the packages that stand for that name."""
        return [
            one
            for one in self._candidates
            if any(name == provided for provided, _version in one.record.provides)
        ]

    def _candidate(self, package: PinnedPackage) -> Candidate:
        fields = {
            "package": package.package,
            "version": package.version,
            "architecture": package.architecture,
            "depends": package.depends,
            "provides": package.provides,
        }
        try:
            record = PackageRecord.of(Stanza(source="the lock file", fields=fields))
        except FormatError as error:
            raise LockError(f"the lock file is damaged: {package.extension}: {error}") from None
        if record.file_name != package.pin.name:
            raise LockError(
                f"the lock file is damaged: {package.pin.name} is not what {record} is called"
            )
        _base, pool, path = package.pin.url.rpartition(POOL)
        urls = tuple(join_url(mirror, "pool", path) for mirror in self._mirrors if pool)
        wanted = Wanted(name=package.pin.name, urls=urls)
        return Candidate(record=record, wanted=pinned(wanted, package.pin, self._place))


class FirstKnown:
    """Two repositories: of what the first knows by name, the second is not asked."""

    def __init__(self, first: LockedPackages, second: PackageRepository) -> None:
        """Ask ``first``, then ``second``."""
        self._first = first
        self._second = second

    def named(self, name: str) -> Sequence[Candidate]:
        """Return the packages of that name."""
        return self._first.named(name) or self._second.named(name)

    def providing(self, name: str) -> Sequence[Candidate]:
        """Return the packages that stand for that name."""
        return self._first.providing(name) or self._second.providing(name)
