"""Resolve extensions, gems and packages from a lock file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from attrs import evolve

from purekernel.errors import FormatError, LockError, RecipeError
from purekernel.fetch.model import Download
from purekernel.fetch.urls import join_url
from purekernel.formats.debian.control import PackageRecord, Stanza
from purekernel.formats.detect import FileKind
from purekernel.formats.gem import GemDependency, GemVersion, parse_listed_gem
from purekernel.formats.gem.compact import GemRelease
from purekernel.plan.lock import Lock, Pin, PinnedGem, PinnedPackage
from purekernel.repos.debian import PackageCandidate, PackageRepository
from purekernel.repos.rubygems import GemCandidate
from purekernel.repos.tinycore import Extension, ExtensionRepository

# The folder of packages in an archive and in each of its mirrors.
POOL = "/pool/"


def pinned(download: Download, pin: Pin, place: Callable[[str], str]) -> Download:
    """Return ``download`` with the size and digests of ``pin``.

    Try the URLs of ``download`` first, then that of the pin. ``place`` converts a path in the lock
    to a path on this host.
    """
    return evolve(
        download,
        urls=tuple(dict.fromkeys((*download.urls, place(pin.url)))),
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
        """Hold the pins of a lock file.

        Args:
            lock: the lock file's content.
            urls: returns the URLs to try for a file name.
            place: converts a path in the lock to a path on this host.
        """
        self._lock = lock
        self._urls = urls
        self._place = place

    def describe(self, names: Sequence[str]) -> list[Extension[Download] | None]:
        """Return the pinned extension for each name, in the same order; ``None`` if not pinned."""
        return [self._describe(name) for name in names]

    def _describe(self, name: str) -> Extension[Download] | None:
        locked = self._lock.extensions.get(name)
        if locked is None:
            return None
        return locked.with_files(
            self._download(locked.file, FileKind.SQUASHFS),
            {
                suffix: self._download(pin, FileKind.TEXT)
                for suffix, pin in locked.companions.items()
            },
        )

    def _download(self, pin: Pin, kind: FileKind | None) -> Download:
        download = Download(name=pin.name, urls=self._urls(pin.name), kind=kind)
        return pinned(download, pin, self._place)


class KnownExtensions:
    """A repository of given extensions."""

    def __init__(self, extensions: Mapping[str, Extension[Download]]) -> None:
        """Hold ``extensions``, by name."""
        self._extensions = extensions

    def describe(self, names: Sequence[str]) -> list[Extension[Download] | None]:
        """Return the extension for each name, in the same order; ``None`` if not found."""
        return [self._extensions.get(name) for name in names]


class FirstOf:
    """Two repositories. The second is queried for names that the first lacks."""

    def __init__(self, first: ExtensionRepository, second: ExtensionRepository) -> None:
        """Query ``first``, then ``second``."""
        self._first = first
        self._second = second

    def describe(self, names: Sequence[str]) -> list[Extension[Download] | None]:
        """Return the extension for each name, in the same order; ``None`` if not found."""
        extensions = dict(zip(names, self._first.describe(names), strict=True))
        unknown = [name for name, extension in extensions.items() if extension is None]
        extensions.update(zip(unknown, self._second.describe(unknown), strict=True))
        return [extensions[name] for name in names]


# Gems from a lock file.


class LockedGems:
    """The gems that a lock file pins."""

    def __init__(self, lock: Lock, servers: Sequence[str], place: Callable[[str], str]) -> None:
        """Hold the pins of a lock file.

        Args:
            lock: the lock file's content.
            servers: gem servers that may have the files.
            place: converts a path in the lock to a path on this host.
        """
        self._servers = servers
        self._place = place
        self._gems: dict[str, list[PinnedGem]] = {}
        for gem in lock.gems:
            self._gems.setdefault(gem.name, []).append(gem)

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
        """Return the pinned releases of each gem.

        Raises:
            LockError: the lock file is damaged.
        """
        return {
            name: tuple(map(self._candidate, self._gems[name]))
            for name in names
            if name in self._gems
        }

    def _candidate(self, gem: PinnedGem) -> GemCandidate:
        try:
            needs = [parse_listed_gem(need, place="the lock file") for need in gem.needs]
            version = GemVersion(gem.version)
        except (RecipeError, ValueError) as error:
            raise LockError(f"the lock file: damaged: {gem.name}: {error}") from None
        urls = tuple(join_url(server, "gems", gem.pin.name) for server in self._servers)
        download = Download(name=gem.pin.name, urls=urls, kind=FileKind.TAR)
        return GemCandidate(
            name=gem.name,
            release=GemRelease(
                version=version,
                dependencies=tuple(
                    GemDependency(name=need.name, requirement=need.requirement) for need in needs
                ),
                sha256=gem.pin.sha256,
            ),
            download=pinned(download, gem.pin, self._place),
        )


# Debian packages from a lock file.


class LockedPackages:
    """The packages that a lock file pins."""

    def __init__(self, lock: Lock, mirrors: Sequence[str], place: Callable[[str], str]) -> None:
        """Hold the pins of a lock file.

        Args:
            lock: the lock file's content.
            mirrors: mirrors of Debian that may have the files.
            place: converts a path in the lock to a path on this host.

        Raises:
            LockError: the lock file is damaged.
        """
        self._mirrors = mirrors
        self._place = place
        self._candidates = tuple(map(self._candidate, lock.packages.values()))

    def named(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages with this name."""
        return [candidate for candidate in self._candidates if candidate.record.name == name]

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages that provide this name."""
        return [
            candidate
            for candidate in self._candidates
            if any(name == provided for provided, _version in candidate.record.provides)
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
            raise LockError(f"the lock file: damaged: {package.extension}: {error}") from None
        if record.file_name != package.pin.name:
            raise LockError(
                f"the lock file: damaged: wrong file name of {record}: must be "
                f"{record.file_name}, got {package.pin.name}"
            )
        _base, pool, path = package.pin.url.rpartition(POOL)
        urls = tuple(join_url(mirror, "pool", path) for mirror in self._mirrors if pool)
        download = Download(name=package.pin.name, urls=urls)
        return PackageCandidate(record=record, download=pinned(download, package.pin, self._place))


class FirstKnown:
    """Two repositories. The second is queried only for names that the first lacks."""

    def __init__(self, first: LockedPackages, second: PackageRepository) -> None:
        """Query ``first``, then ``second``."""
        self._first = first
        self._second = second

    def named(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages with this name."""
        return self._first.named(name) or self._second.named(name)

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages that provide this name."""
        return self._first.providing(name) or self._second.providing(name)
