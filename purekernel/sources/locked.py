"""A lock file as a repository: it knows what it pins, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from attrs import evolve

from purekernel.fetch.wanted import Kind, Wanted
from purekernel.repos.tinycore import Extension, ExtensionRepository
from purekernel.sources.lock import Lock, Pin, PinnedPackage


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
