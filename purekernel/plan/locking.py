"""Make a lock from the fetched files of a plan, and update an older one."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from attrs import evolve

from purekernel.encode.releases import installed_releases
from purekernel.errors import LockError, UsageError
from purekernel.fetch.model import Download
from purekernel.fetch.urls import is_url, redact
from purekernel.formats.debian.control import PackageRecord
from purekernel.formats.debian.relation import show_relations
from purekernel.plan.fetch_plan import Gathered, gather
from purekernel.plan.lock import (
    Lock,
    Pin,
    PinnedFile,
    PinnedGem,
    PinnedPackage,
)
from purekernel.plan.plan import PlanContext
from purekernel.progress import Progress
from purekernel.repos.tinycore import IMPORT_SCRIPT, Extension, did_you_mean, similar_names


def make_lock(
    context: PlanContext,
    *,
    update: bool = False,
    names: Collection[str] = (),
    progress: Progress | None = None,
) -> tuple[Lock, tuple[str, ...]]:
    """Return a lock of all inputs of the recipe, in every flavour, and notes for the user.

    Existing pins are kept unless they are updated.

    Args:
        context: the recipe, and the lock so far.
        update: look for newer files.
        names: the inputs to update; empty means all.
        progress: receives the steps.

    Raises:
        UsageError: the lock file pins no input of such a name.
        PurekernelError: an input is missing.
    """
    old = kept = context.lock
    if update and not names:
        kept = None
    elif update and kept is not None:
        _check_names(names, kept)
        kept = without(kept, names)
    context = evolve(context, lock=kept, strict=False, all_flavours=True)
    if kept is not None and kept.core != context.core():
        context = evolve(context, lock=None)
    gathered = gather(context, complete=True, progress=progress)
    new = lock_of(gathered)
    # The URL depends on which mirror was up. A new URL alone is not a change.
    if old is not None:
        new = with_places_of(new, old, places_of(gathered))
    return new, gathered.plan.notes


def _check_names(names: Collection[str], lock: Lock) -> None:
    known = set(known_names(lock))
    unknown = [name for name in names if name not in known]
    if unknown:
        near = dict.fromkeys(one for name in unknown for one in similar_names(name, known))
        hint = "name extensions (bash.tcz), gems, or single files (base, rubygems)"
        raise UsageError(
            f"not found in the lock file: {', '.join(unknown)}",
            hint=f"{did_you_mean([*near])} {hint}".lstrip(),
        )


def lock_of(gathered: Gathered) -> Lock:
    """Return a lock that pins all inputs in ``gathered``.

    Raises:
        LockError: a required file was not fetched.
    """
    plan = gathered.plan
    pinning = _Pinning(gathered)
    everything = {**plan.extensions.graph.extensions, **plan.extensions.cut_from}
    extensions = {
        name: extension for name, extension in everything.items() if extension.record is None
    }
    return Lock(
        core=f"{plan.release.series}/{plan.release.arch}",
        kernel=plan.extensions.kernel,
        releases=installed_releases(),
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
                version=str(gem.version),
                needs=tuple(f"{edge.name} {edge.requirement}" for edge in gem.dependencies),
                pin=pinning.pin(gem.download),
            )
            for gem in plan.gems.releases
        ),
    )


def places_of(gathered: Gathered) -> set[str]:
    """Return the URLs and paths of the inputs in ``gathered``, in the form that locks use."""
    pinning = _Pinning(gathered)
    return {pinning.place(url) for download in gathered.fetched for url in download.urls}


def without(lock: Lock, names: Collection[str]) -> Lock:
    """Return ``lock`` without the pins of files, extensions, packages and gems of these names."""
    return evolve(
        lock,
        files={role: file for role, file in lock.files.items() if role not in names},
        extensions={
            name: extension for name, extension in lock.extensions.items() if name not in names
        },
        packages={
            name: package
            for name, package in lock.packages.items()
            if not {name, _listed_name(package)} & set(names)
        },
        gems=tuple(gem for gem in lock.gems if gem.name not in names),
    )


def with_places_of(lock: Lock, older: Lock, places: Collection[str]) -> Lock:
    """Return ``lock`` with the URLs of ``older`` for unchanged files.

    A file is unchanged if digest and request are the same. A changed URL in the recipe is kept.

    Args:
        lock: the new lock.
        older: the previous lock.
        places: the URLs and paths that are searched now, in the form that locks use.
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
        if role in older.files and older.files[role].requested == file.requested
        else file
        for role, file in lock.files.items()
    }
    extensions = {
        name: evolve(
            extension,
            file=placed(extension.file, name),
            companions={
                suffix: placed(pin, pin.name) for suffix, pin in extension.companions.items()
            },
        )
        for name, extension in lock.extensions.items()
    }
    packages = {
        name: evolve(
            package,
            pin=placed(package.pin, _listed_name(package)),
            script=None if package.script is None else placed(package.script, package.script.name),
        )
        for name, package in lock.packages.items()
    }
    gems = tuple(evolve(gem, pin=placed(gem.pin, gem.pin.name)) for gem in lock.gems)
    return evolve(lock, files=files, extensions=extensions, packages=packages, gems=gems)


def known_names(lock: Lock) -> list[str]:
    """Return the names that :func:`without` accepts, sorted."""
    packages = {
        name
        for package in lock.packages.values()
        for name in (package.extension, _listed_name(package))
    }
    return sorted({*lock.files, *lock.extensions, *packages, *(gem.name for gem in lock.gems)})


def _listed_name(package: PinnedPackage) -> str:
    """Return the name of a package in lists."""
    return f"{package.package}.deb"


class _Pinning:
    """Makes pins of fetched files."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._folder = gathered.plan.recipe.folder

    def extension(self, extension: Extension[Download]) -> Extension[Pin]:
        """Return the extension with pins of its file and of its companion files."""
        companions = {
            suffix: self.pin(download)
            for suffix, download in extension.companions.items()
            if self._gathered.fetched.get(download) is not None
        }
        return extension.with_files(self.pin(extension.file), companions)

    def package(self, extension: Extension[Download], record: PackageRecord) -> PinnedPackage:
        """Return the pin of a Debian package and of its import script."""
        script = extension.companions.get(IMPORT_SCRIPT)
        has_script = script is not None and self._gathered.fetched.get(script) is not None
        return PinnedPackage(
            extension=extension.name,
            package=record.name,
            version=record.version.text,
            architecture=record.architecture,
            depends=show_relations(record.depends),
            provides=record.provided,
            pin=self.pin(extension.file),
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
