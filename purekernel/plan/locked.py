"""Resolve extensions from a lock file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import evolve

from purekernel.errors import (
    CombinedError,
    DependencyError,
    LockError,
    PurekernelError,
    split_errors,
)
from purekernel.fetch.model import Download
from purekernel.formats.detect import FileKind
from purekernel.plan.lock import Lock, Pin
from purekernel.repos.tinycore import Extension, ExtensionRepository


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


def not_locked(error: PurekernelError, what: str) -> PurekernelError:
    """Return the error for a lock file that must pin all packages or gems, and does not.

    Args:
        error: what resolving them against the lock file raised.
        what: ``packages`` or ``gems``.
    """
    errors = [
        LockError(
            f"the lock file does not pin {each.missing}"
            if isinstance(each, DependencyError) and each.missing
            else f"the lock file does not pin all {what}: {each}",
            hint="run 'purekernel lock' to pin them",
        )
        for each in split_errors([error])
    ]
    return errors[0] if len(errors) == 1 else CombinedError(errors)


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
