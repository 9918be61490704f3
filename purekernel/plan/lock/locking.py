"""Make a lock from the fetched files of a plan."""

from __future__ import annotations

import os
from pathlib import Path

from purekernel.errors import LockError
from purekernel.fetch.model import Download
from purekernel.fetch.urls import is_url, redact
from purekernel.formats.debian.record import PackageRecord
from purekernel.formats.debian.relation import show_relations
from purekernel.plan.fetch_plan import Gathered
from purekernel.plan.lock.lock import (
    Lock,
    Pin,
    PinnedExtension,
    PinnedFile,
    PinnedGem,
    PinnedPackage,
)
from purekernel.repos.tinycore import IMPORT_SCRIPT, Extension


def lock_of(gathered: Gathered) -> Lock:
    """Return a lock that pins all inputs in ``gathered``.

    Raises:
        LockError: a required file was not fetched.
    """
    plan = gathered.plan
    pinning = _Pinning(gathered)
    everything = {**plan.graph.extensions, **plan.cut_from}
    extensions = {
        name: extension for name, extension in everything.items() if extension.record is None
    }
    return Lock(
        core=f"{plan.release.series}/{plan.release.arch}",
        kernel=plan.kernel,
        files={
            role: PinnedFile(role=role, requested=file.requested, pin=pinning.pin(file.download))
            for role, file in plan.files.items()
        },
        extensions={
            name: pinning.extension(extension) for name, extension in sorted(extensions.items())
        },
        packages={
            name: pinning.package(extension, extension.record)
            for name, extension in sorted(everything.items())
            if extension.record is not None
        },
        gems=tuple(
            PinnedGem(
                name=gem.name,
                version=gem.version,
                needs=gem.needs,
                pin=pinning.pin(gem.download),
            )
            for gem in plan.gems
        ),
    )


def places_of(gathered: Gathered) -> set[str]:
    """Return the URLs and paths of the inputs in ``gathered``, in the form that locks use."""
    pinning = _Pinning(gathered)
    return {pinning.place(url) for download in gathered.fetched for url in download.urls}


class _Pinning:
    """Makes pins of fetched files."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._folder = gathered.plan.recipe.folder

    def extension(self, extension: Extension) -> PinnedExtension:
        """Return the pin of an extension and of its companion files."""
        beside = {
            side: self.pin(download)
            for side, download in extension.sides.items()
            if self._gathered.fetched.get(download) is not None
        }
        return PinnedExtension(
            pin=self.pin(extension.package), needs=extension.dependencies, beside=beside
        )

    def package(self, extension: Extension, record: PackageRecord) -> PinnedPackage:
        """Return the pin of a Debian package and of its import script."""
        script = extension.sides.get(IMPORT_SCRIPT)
        has_script = script is not None and self._gathered.fetched.get(script) is not None
        return PinnedPackage(
            extension=extension.name,
            package=record.name,
            version=record.version.text,
            architecture=record.architecture,
            depends=show_relations(record.depends),
            provides=record.provided,
            pin=self.pin(extension.package),
            script=self.pin(script) if script is not None and has_script else None,
        )

    def pin(self, download: Download) -> Pin:
        """Return the pin of a file."""
        fetched = self._gathered.fetched.get(download)
        if fetched is None:
            raise LockError(f"{download.name} cannot be pinned: it was not fetched")
        return Pin(
            name=download.name,
            url=self._relative(fetched.url),
            size_bytes=fetched.size_bytes,
            sha256=fetched.sha256,
            md5=fetched.md5,
        )

    def place(self, url: str) -> str:
        """Return a URL or path in the form that locks use."""
        return self._relative(redact(url))

    def _relative(self, place: str) -> str:
        """Return a path relative to the recipe's folder, so that the lock works on other hosts."""
        if is_url(place):
            return place
        try:
            return Path(os.path.relpath(place, self._folder)).as_posix()
        except ValueError:  # on Windows, a path on another drive
            return place
