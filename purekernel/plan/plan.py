"""Define a plan: all files to fetch and all steps of a build.

A plan is made from the recipe, the mirrors' indexes, and the lock file if there is one. Running a
plan makes no further decisions.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field

from purekernel.errors import (
    DependencyError,
    DownloadError,
    LockError,
    PurekernelError,
    split_errors,
)
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.model import Download
from purekernel.fetch.urls import http_fallbacks, is_url, join_url, redact
from purekernel.formats.debian.names import parse_choice
from purekernel.formats.tinycore import DEB, EDITIONS
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.plan.lock import LOCK_NAME, Lock
from purekernel.recipe import defaults
from purekernel.recipe.additions import Cut, GemLayout
from purekernel.recipe.conventions import Conventions
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.keys import Named
from purekernel.recipe.model import Recipe
from purekernel.records import frozen
from purekernel.repos.tinycore import (
    DEPENDENCIES,
    IMPORT_SCRIPT,
    MD5,
    CoreRelease,
    Extension,
    ExtensionGraph,
)

if TYPE_CHECKING:
    from purekernel.repos.rubygems import ResolvedGem  # 40 ms to import

# The role of a project among single files.
PROJECT = "project"


# Companion files with an extension's digest and dependencies. Core loads by the second.
CHECKED_COMPANIONS = (MD5, DEPENDENCIES)


# The conversion of a package also depends on the import script.
FETCHED_COMPANIONS = (*CHECKED_COMPANIONS, IMPORT_SCRIPT)


@frozen(kw_only=True)
class PlannedFile:
    """A planned single file.

    Attributes:
        role: purpose of the file.
        requested: URL or path as requested.
        download: the download.
        inner: for a file inside an archive, its address there; ``None`` for the download itself.
    """

    role: str
    requested: str
    download: Download
    inner: str | None = None


@frozen(kw_only=True)
class ExtensionPlan:
    """The extensions of a plan.

    Attributes:
        graph: all extensions and their dependencies.
        kernel: the kernel release that ``-KERNEL`` stands for; ``None`` if unused or unknown.
        builtin: extensions that are loaded at boot, in the user's order.
        mirror: extensions in the image's own mirror, in the user's order.
        merged: extensions unpacked into the root file system, in the user's order.
        cde: extensions on the disc, in the user's order.
        tce: extensions for a writable partition, in the user's order.
        ondemand: those of ``cde`` and ``tce`` that are not loaded at boot.
        copied: those of ``cde`` and ``tce``, and of their dependencies, that loading copies into
            memory.
        cuts: files to cut out of extensions.
        cut_from: the extensions to cut from, and those with files for the EFI system partition, by
            name.
        efi_from: of the latter, the name for each name that a place begins with.
        skipped: names of extensions that the user skips, and that are listed or needed.
        from_indexes: whether the plan uses information from a mirror's index, which may be older
            than the mirror's files.
        disputable: whether an error depends on dependencies from such an index.
        places: where each listed extension is listed, by name: file, line and key.
        notes: skipped mirrors and other notes for the user, one line each.
    """

    graph: ExtensionGraph
    kernel: str | None = None
    builtin: tuple[str, ...] = ()
    mirror: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    cde: tuple[str, ...] = ()
    tce: tuple[str, ...] = ()
    ondemand: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    cuts: tuple[Cut, ...] = ()
    cut_from: Mapping[str, Extension[Download]] = field(factory=dict)
    efi_from: Mapping[str, str] = field(factory=dict)
    skipped: frozenset[str] = frozenset()
    from_indexes: bool = False
    disputable: bool = False
    places: Mapping[str, str] = field(factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    def merged_order(self) -> tuple[str, ...]:
        """Return the extensions to unpack into the root file system, dependencies first."""
        return self.graph.order(self.merged)

    def builtin_order(self) -> tuple[str, ...]:
        """Return the extensions to load at boot, dependencies first.

        Extensions that are unpacked into the root file system are left out.
        """
        merged = set(self.merged_order())
        return tuple(name for name in self.graph.order(self.builtin) if name not in merged)

    def medium_order(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the extensions on a disc or partition, dependencies first.

        Extensions that are loaded before, or unpacked into the root file system, are left out.

        Args:
            names: those that are listed: :attr:`cde` or :attr:`tce`.
        """
        present = {*self.merged_order(), *self.graph.order(self.builtin)}
        return tuple(name for name in self.graph.order(names) if name not in present)

    def mirror_order(self) -> tuple[str, ...]:
        """Return the extensions in the image's own mirror, dependencies first."""
        return self.graph.order(self.mirror)

    def downloads(self, *, complete: bool) -> Iterator[Download]:
        """Yield all files to fetch, in a stable order; some more than once.

        Args:
            complete: include every companion file of every extension, as a lock file needs them.
        """
        if complete:
            yield from self._files(self.graph.order(self.graph.roots), None)
        yield from self._files(self.merged_order(), FETCHED_COMPANIONS)
        yield from self._files(self.builtin_order(), FETCHED_COMPANIONS)
        for names in (self.cde, self.tce):
            yield from self._files(self.medium_order(names), FETCHED_COMPANIONS)
        yield from self._files(self.mirror_order(), None)
        for extension in self.cut_from.values():
            yield extension.file
            if IMPORT_SCRIPT in extension.companions:
                yield extension.companions[IMPORT_SCRIPT]

    def _files(self, names: Iterable[str], suffixes: Sequence[str] | None) -> Iterator[Download]:
        """Yield the files of extensions and their companion files; ``None`` means all of these."""
        for name in names:
            extension = self.graph.extensions[name]
            yield extension.file
            for suffix, download in extension.companions.items():
                if suffixes is None or suffix in suffixes:
                    yield download


@frozen(kw_only=True)
class GemPlan:
    """The gems of a plan.

    Attributes:
        releases: the gems, sorted by name and version.
        layout: the layout of gems in the image.
        notes: notes for the user, one line each.
    """

    releases: tuple[ResolvedGem, ...] = ()
    layout: GemLayout = GemLayout.MIRROR
    notes: tuple[str, ...] = ()


@frozen(kw_only=True)
class Plan:
    """All files to fetch and all steps of a build.

    Attributes:
        recipe: the recipe.
        flavour: the image's flavour.
        conventions: what the image is where the recipe does not say.
        release: version and architecture of Core.
        files: single files, by role.
        extensions: the extensions, their dependencies, and what to do with each.
        gems: the gems.
        notes: notes for the user, one line each; those of the parts are among them.
    """

    recipe: Recipe
    flavour: Flavour | None
    conventions: Conventions
    release: CoreRelease
    files: Mapping[str, PlannedFile] = field(factory=dict)
    extensions: ExtensionPlan
    gems: GemPlan = GemPlan()
    notes: tuple[str, ...] = ()

    def downloads(self, *, complete: bool = False) -> list[Download]:
        """Return all files to fetch, each once, in a stable order.

        Args:
            complete: include every companion file of every extension, as a lock file needs them.
        """
        files = [self.files[role].download for role in sorted(self.files)]
        files += self.extensions.downloads(complete=complete)
        files += [gem.download for gem in self.gems.releases]
        return list(dict.fromkeys(files))


# The inputs of a plan: the recipe, the lock file, and the downloads.


@frozen(kw_only=True)
class PlanContext:
    """The inputs of a plan.

    Attributes:
        recipe: the recipe.
        downloads: fetches files.
        lock: the lock file's content; ``None`` without a lock file.
        lock_path: path of the lock file, which may be missing.
        strict: refuse inputs that the lock does not pin, instead of searching the mirrors.
        locked: refuse a lock file that pins what the recipe does not need in any flavour.
        all_flavours: plan for every flavour at once, as a lock file must.
        use_indexes: use the mirrors' indexes.
        allow_http: whether plain http mirrors may stand in for https mirrors.
        now: returns the time in seconds since 1970, UTC, to tell whether an index has expired.
            Nothing in an image depends on it.
        limits: limits on parsed input.
    """

    recipe: Recipe
    downloads: Downloads
    lock: Lock | None = None
    lock_path: Path = Path(LOCK_NAME)
    strict: bool = True
    locked: bool = False
    all_flavours: bool = False
    use_indexes: bool = True
    allow_http: bool = False
    now: Callable[[], float] = time.time
    limits: Limits = DEFAULT_LIMITS

    @property
    def release(self) -> CoreRelease:
        """The requested version and architecture of Core."""
        core = self.recipe.core
        # For an edition of another architecture, which is an error, plan with the default.
        edition = core.edition if core.edition in EDITIONS[core.arch] else None
        return CoreRelease(version=core.version, arch=core.arch, edition=edition)

    @property
    def mirrors(self) -> tuple[str, ...]:
        """The mirrors of Tiny Core."""
        chosen = tuple(map(self.place, self.recipe.mirrors.tinycore))
        return chosen or defaults.TINYCORE_MIRRORS

    @property
    def extension_folders(self) -> tuple[str, ...]:
        """URLs or paths of the folders that may have extensions."""
        chosen = tuple(map(self.place, self.recipe.mirrors.extensions))
        return chosen or tuple(map(self.release.extension_folder, self.mirrors))

    @property
    def script_folders(self) -> tuple[str, ...]:
        """URLs or paths of the folders to search for import scripts of Debian packages."""
        # On a mirror, the folder is beside the folders of the architectures.
        core = r"[/\\]".join(map(re.escape, self.core().split("/")))
        suffix = re.compile(rf"(?<=[/\\]){core}[/\\]tcz[/\\]?$")
        return tuple(
            join_url(suffix.sub(self.release.series, folder), "importscripts")
            for folder in self.extension_folders
        )

    @property
    def gem_servers(self) -> tuple[str, ...]:
        """The gem servers."""
        return tuple(map(self.place, self.recipe.mirrors.gems)) or defaults.GEM_SERVERS

    def searched(self, places: Sequence[str]) -> tuple[str, ...]:
        """Return the mirrors among ``places`` to look up names on.

        Plain http mirrors after an https mirror are used only for files whose digest is known,
        unless the user permits more.
        """
        fallbacks = () if self.allow_http else http_fallbacks(places)
        return tuple(place for place in places if place not in fallbacks)

    def http_hint(self, places: Sequence[str]) -> str:
        """Return what to do if a search failed, and :meth:`searched` left out mirrors."""
        left_out = [place for place in places if place not in self.searched(places)]
        if not left_out:
            return ""
        return (
            f"plain http was not tried ({', '.join(map(redact, left_out))}): to permit it, use "
            "--allow-http"
        )

    @property
    def bound_by_lock(self) -> bool:
        """Whether only pinned inputs may be used."""
        return self.lock is not None and self.strict

    def place(self, text: str) -> str:
        """Return a URL unchanged, and a path relative to the recipe's folder as a full path."""
        return text if is_url(text) else str(self.recipe.folder / text)

    def core(self) -> str:
        """Return series and architecture of Core as in a lock file: ``4.x/x86``."""
        return f"{self.release.series}/{self.release.arch}"

    @contextmanager
    def asking(self, mirrors: str) -> Iterator[None]:
        """Add the place of these mirrors in the recipe to errors of downloads.

        Errors of the network do not come from the recipe, and some errors have a place already.

        Args:
            mirrors: the attribute of the recipe's mirrors.
        """
        places = {
            "tinycore": self.extension_folders,
            "extensions": self.extension_folders,
            "gems": self.gem_servers,
        }
        hint = self.http_hint(places.get(mirrors, ()))
        try:
            yield
        except PurekernelError as error:
            for each in split_errors([error]):
                if hint and isinstance(each, DownloadError | DependencyError):
                    each.hint = hint
                if isinstance(each, DownloadError) and not each.is_network and not each.context:
                    each.within(self.recipe.mirrors.place(mirrors))
            raise

    def check_lock(self) -> None:
        """Refuse a lock file for another Core.

        Raises:
            LockError: the lock file is for another Core.
        """
        if self.lock is not None and self.lock.core != self.core():
            core = self.recipe.core
            place = core.place("version") or core.place("arch") or self.recipe.source
            raise LockError(
                f"the lock file: wrong Core: must be {self.core()} as in {place}, got "
                f"{self.lock.core}"
            )


@frozen(kw_only=True)
class PackagePlan:
    """The packages of a plan.

    Attributes:
        extensions: the extensions to make from them, by name. The file of each is still a .deb.
        names: name of the extension for each listed name.
        notes: notes for the user, one line each.
    """

    extensions: Mapping[str, Extension[Download]] = field(factory=dict)
    names: Mapping[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()

    def in_place(self, listed: Iterable[Named]) -> tuple[Named, ...]:
        """Replace the names of packages by the names of their extensions.

        A package that could not be planned is skipped, because its error is already recorded.
        """
        return tuple(
            evolve(item, name=self.names[item.name]) if is_package(item.name) else item
            for item in listed
            if not is_package(item.name) or item.name in self.names
        )


def is_package(name: str) -> bool:
    """Return whether a listed name is a Debian package."""
    return name.endswith(DEB)


def package_name(name: str) -> str:
    """Return the package name of a listed name, without version and architecture.

    Raises:
        FormatError: the name is not a valid package name.
    """
    return parse_choice(name, source="a list of extensions").name
