"""A lock file as a repository: it knows what it pins, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from attrs import evolve

from purekernel.errors import FormatError, LockError, RecipeError
from purekernel.fetch.urls import join_url
from purekernel.fetch.wanted import Kind, Wanted
from purekernel.formats.debian.control import Stanza
from purekernel.formats.debian.record import PackageRecord
from purekernel.formats.gem import Dependency, Version, parse_listed_gem
from purekernel.formats.gem.compact import Release
from purekernel.plan.lock.lock import Lock, Pin, PinnedGem, PinnedPackage
from purekernel.repos.debian import Candidate as PackageCandidate
from purekernel.repos.debian import PackageRepository
from purekernel.repos.rubygems import Candidate
from purekernel.repos.tinycore import Extension, ExtensionRepository

# Where an archive keeps its packages, wherever it is mirrored.
POOL = "/pool/"


def pinned(wanted: Wanted, pin: Pin, place: Callable[[str], str]) -> Wanted:
    """Return ``wanted`` as the file that ``pin`` names and no other.

    It is looked for where it would be looked for anyway, and then where it once came from;
    ``place`` makes of a path in the lock one on this host.
    """
    return evolve(
        wanted,
        urls=tuple(dict.fromkeys((*wanted.urls, place(pin.url)))),
        size_bytes=pin.size_bytes,
        sha256=pin.sha256,
        md5=pin.md5,
        optional=False,
    )


class LockedExtensions:
    """The extensions that a lock file pins."""

    def __init__(
        self, lock: Lock, urls: Callable[[str], tuple[str, ...]], place: Callable[[str], str]
    ) -> None:
        """Know what a lock file pins.

        Args:
            lock: what it says.
            urls: says where a file of that name may lie.
            place: makes of a path in the lock one on this host.
        """
        self._lock = lock
        self._urls = urls
        self._place = place

    def describe(self, names: Sequence[str]) -> list[Extension | None]:
        """Return what the lock has of each name, in the same order."""
        return [self._describe(name) for name in names]

    def _describe(self, name: str) -> Extension | None:
        locked = self._lock.extensions.get(name)
        if locked is None:
            return None
        return Extension(
            name=name,
            dependencies=locked.needs,
            package=self._wanted(locked.pin, Kind.SQUASHFS),
            sides={side: self._wanted(pin, Kind.TEXT) for side, pin in locked.beside.items()},
        )

    def _wanted(self, pin: Pin, kind: Kind) -> Wanted:
        wanted = Wanted(name=pin.name, urls=self._urls(pin.name), kind=kind)
        return pinned(wanted, pin, self._place)


class KnownExtensions:
    """Extensions that somebody described already."""

    def __init__(self, extensions: Mapping[str, Extension]) -> None:
        """Know ``extensions``, by name."""
        self._extensions = extensions

    def describe(self, names: Sequence[str]) -> list[Extension | None]:
        """Return what there is of each name, in the same order."""
        return [self._extensions.get(name) for name in names]


class FirstOf:
    """Two repositories: what the first does not know the second is asked for."""

    def __init__(self, first: ExtensionRepository, second: ExtensionRepository) -> None:
        """Ask ``first``, then ``second``."""
        self._first = first
        self._second = second

    def describe(self, names: Sequence[str]) -> list[Extension | None]:
        """Return what there is of each name, in the same order."""
        found = dict(zip(names, self._first.describe(names), strict=True))
        unknown = [name for name, extension in found.items() if extension is None]
        found.update(zip(unknown, self._second.describe(unknown), strict=True))
        return [found[name] for name in names]


def without(lock: Lock, names: Collection[str]) -> Lock:
    """Return ``lock`` without the pins of files, extensions and gems of these names."""
    return evolve(
        lock,
        files={role: file for role, file in lock.files.items() if role not in names},
        extensions={
            name: extension for name, extension in lock.extensions.items() if name not in names
        },
        packages={
            name: package
            for name, package in lock.packages.items()
            if not {name, _as_asked(package)} & set(names)
        },
        gems=tuple(gem for gem in lock.gems if gem.name not in names),
    )


def with_places_of(lock: Lock, older: Lock, places: Collection[str]) -> Lock:
    """Return ``lock`` with each pin saying that it came from where ``older`` has it from.

    Only where it is the same file for the same question: another address in the recipe counts.

    Args:
        lock: what was pinned now.
        older: what was pinned before.
        places: where files would be looked for now, as locks have them.
    """
    if lock.core != older.core:
        return lock
    before = older.pins()

    def placed(pin: Pin, name: str) -> Pin:
        was = before.get(name)
        same = was is not None and was.sha256 == pin.sha256 and was.url in places
        return evolve(pin, url=was.url) if same and was is not None else pin

    files = {
        role: evolve(file, pin=placed(file.pin, f"{role}: {file.pin.name}"))
        if role in older.files and older.files[role].asked == file.asked
        else file
        for role, file in lock.files.items()
    }
    extensions = {
        name: evolve(
            one,
            pin=placed(one.pin, name),
            beside={side: placed(pin, pin.name) for side, pin in one.beside.items()},
        )
        for name, one in lock.extensions.items()
    }
    packages = {
        name: evolve(
            one,
            pin=placed(one.pin, _as_asked(one)),
            script=None if one.script is None else placed(one.script, one.script.name),
        )
        for name, one in lock.packages.items()
    }
    gems = tuple(evolve(gem, pin=placed(gem.pin, gem.pin.name)) for gem in lock.gems)
    return evolve(lock, files=files, extensions=extensions, packages=packages, gems=gems)


def known_names(lock: Lock) -> list[str]:
    """Return the names that :func:`without` knows, sorted."""
    packages = {name for one in lock.packages.values() for name in (one.extension, _as_asked(one))}
    return sorted({*lock.files, *lock.extensions, *packages, *(gem.name for gem in lock.gems)})


def _as_asked(package: PinnedPackage) -> str:
    """Return the name by which a package stands in lists."""
    return f"{package.package}.deb"


# A lock file as a repository of gems.


class LockedGems:
    """The gems that a lock file pins."""

    def __init__(self, lock: Lock, servers: Sequence[str], place: Callable[[str], str]) -> None:
        """Know what a lock file pins.

        Args:
            lock: what it says.
            servers: gem servers that may have the files.
            place: makes of a path in the lock one on this host.
        """
        self._servers = servers
        self._place = place
        self._gems: dict[str, list[PinnedGem]] = {}
        for gem in lock.gems:
            self._gems.setdefault(gem.name, []).append(gem)

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[Candidate, ...]]:
        """Return the pinned releases of each gem.

        Raises:
            LockError: the lock file is damaged.
        """
        return {
            name: tuple(map(self._candidate, self._gems[name]))
            for name in names
            if name in self._gems
        }

    def _candidate(self, gem: PinnedGem) -> Candidate:
        try:
            needs = [parse_listed_gem(need, place="the lock file") for need in gem.needs]
            version = Version(gem.version)
        except (RecipeError, ValueError) as error:
            raise LockError(f"the lock file is damaged: {gem.name}: {error}") from None
        urls = tuple(join_url(server, "gems", gem.pin.name) for server in self._servers)
        wanted = Wanted(name=gem.pin.name, urls=urls, kind=Kind.TAR)
        return Candidate(
            name=gem.name,
            release=Release(
                version=version,
                dependencies=tuple(
                    Dependency(name=need.name, requirement=need.requirement) for need in needs
                ),
                sha256=gem.pin.sha256,
            ),
            wanted=pinned(wanted, gem.pin, self._place),
        )


# A lock file as a repository of Debian packages.


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

    def named(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages of that name."""
        return [one for one in self._candidates if one.record.name == name]

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages that stand for that name."""
        return [
            one
            for one in self._candidates
            if any(name == provided for provided, _version in one.record.provides)
        ]

    def _candidate(self, package: PinnedPackage) -> PackageCandidate:
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
        return PackageCandidate(record=record, wanted=pinned(wanted, package.pin, self._place))


class FirstKnown:
    """Two repositories: of what the first knows by name, the second is not asked."""

    def __init__(self, first: LockedPackages, second: PackageRepository) -> None:
        """Ask ``first``, then ``second``."""
        self._first = first
        self._second = second

    def named(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages of that name."""
        return self._first.named(name) or self._second.named(name)

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages that stand for that name."""
        return self._first.providing(name) or self._second.providing(name)
