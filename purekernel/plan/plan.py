"""What is to be fetched and done for a recipe: decided once, here, before anything is done.

A plan is made from the recipe, from what the mirrors' indexes say, and from the lock file where
there is one. Running it decides nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from purekernel.errors import LockError
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.urls import is_url, join_url
from purekernel.fetch.wanted import Wanted
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.plan.lock.lock import Lock
from purekernel.razor.project import Project
from purekernel.recipe import defaults
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.recipe.model import Cut, GemLayout, Recipe
from purekernel.repos.tinycore import (
    DEPENDENCIES,
    IMPORT_SCRIPT,
    MD5,
    Extension,
    ExtensionGraph,
    Release,
)

# What a file that stands by itself is for.
BASE, PROJECT, RUBYGEMS = "base", "project", "rubygems"
VM_TOOLS, MCOLLECTIVE = "open-vm-tools", "mcollective"
OVERLAY = "overlay"


# What tells whether an extension is whole and what it needs: it is loaded by the second.
CHECKED_SIDES = (MD5, DEPENDENCIES)


# What a package becomes hangs on this, too.
FETCHED_SIDES = (*CHECKED_SIDES, IMPORT_SCRIPT)


@frozen(kw_only=True)
class PlannedFile:
    """A file that stands by itself.

    Attributes:
        role: what it is for.
        asked: the address or place that was asked for.
        wanted: how it is to be had.
    """

    role: str
    asked: str
    wanted: Wanted


@frozen(kw_only=True)
class PlannedGem:
    """A gem.

    Attributes:
        name: of the gem.
        version: of the gem.
        needs: what it needs, each a name and its requirement.
        wanted: how its file is to be had.
    """

    name: str
    version: str
    needs: tuple[str, ...]
    wanted: Wanted


@frozen(kw_only=True)
class Plan:
    """All that is fetched and done.

    Attributes:
        recipe: what was asked for.
        flavour: whom the image is for.
        project: the Razor-Microkernel project, if there is one.
        release: which Core.
        kernel: the release that ``-KERNEL`` stands for; ``None`` where nothing asks for it.
        files: what stands by itself, by role.
        graph: the extensions and what they need.
        builtin: the extensions that are loaded at boot, in the user's order.
        mirror: those in the image's own mirror, in the user's order.
        merged: those unpacked into the root file system, in the user's order.
        cuts: files to cut out of extensions.
        cut_from: those extensions, by name.
        gems: in order.
        gem_layout: where gems go.
        from_indexes: whether any of this rests on a mirror's index, which may be older than
            the files that it speaks of.
        notes: what the user should know, a line each.
    """

    recipe: Recipe
    flavour: Flavour | None
    project: Project | None
    release: Release
    kernel: str | None = None
    files: Mapping[str, PlannedFile] = field(factory=dict)
    graph: ExtensionGraph
    builtin: tuple[str, ...] = ()
    mirror: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    cuts: tuple[Cut, ...] = ()
    cut_from: Mapping[str, Extension] = field(factory=dict)
    gems: tuple[PlannedGem, ...] = ()
    gem_layout: GemLayout = GemLayout.MIRROR
    from_indexes: bool = False
    notes: tuple[str, ...] = ()

    @property
    def generation(self) -> Generation | None:
        """Whose conventions the image follows; ``None`` is a plain Core."""
        return None if self.project is None else self.project.generation

    def merged_order(self) -> tuple[str, ...]:
        """Return what is unpacked into the root file system, in order."""
        return self.graph.order(self.merged)

    def builtin_order(self) -> tuple[str, ...]:
        """Return what is loaded at boot, needed ones before those that need them.

        What is unpacked into the root file system is there already.
        """
        merged = set(self.merged_order())
        return tuple(name for name in self.graph.order(self.builtin) if name not in merged)

    def mirror_order(self) -> tuple[str, ...]:
        """Return what is in the image's own mirror."""
        return self.graph.order(self.mirror)

    def wanted(self, *, complete: bool = False) -> list[Wanted]:
        """Return all files that are to be fetched, each once, in a stable order.

        Args:
            complete: with every file beside every extension, as a lock file has them.
        """
        found: dict[Wanted, None] = {}
        for role in sorted(self.files):
            found[self.files[role].wanted] = None
        if complete:
            everything = self.graph.order(self.graph.roots)
            found.update(self._extensions(everything, None))
        found.update(self._extensions(self.merged_order(), FETCHED_SIDES))
        found.update(self._extensions(self.builtin_order(), FETCHED_SIDES))
        found.update(self._extensions(self.mirror_order(), None))
        for extension in self.cut_from.values():
            found[extension.package] = None
            if IMPORT_SCRIPT in extension.sides:
                found[extension.sides[IMPORT_SCRIPT]] = None
        found.update((gem.wanted, None) for gem in self.gems)
        return list(found)

    def _extensions(
        self, names: Iterable[str], sides: Sequence[str] | None
    ) -> Iterable[tuple[Wanted, None]]:
        """Yield the files of extensions, with these beside them; ``None`` is all there are."""
        for name in names:
            extension = self.graph.extensions[name]
            yield extension.package, None
            for side, wanted in extension.sides.items():
                if sides is None or side in sides:
                    yield wanted, None


# What a plan is made from: the recipe, the lock file, and whom to ask.


@frozen(kw_only=True)
class Inquiry:
    """Who asks for what, and who answers.

    Attributes:
        recipe: what is asked for.
        downloads: what fetches.
        lock: what is pinned; ``None`` where nothing is.
        strict: whether what the lock does not pin is refused; else it is looked for.
        all_flavours: plan for every flavour at once, as a lock file must.
        use_indexes: whether the mirrors' indexes are believed.
        limits: the readers' bounds.
    """

    recipe: Recipe
    downloads: Downloads
    lock: Lock | None = None
    strict: bool = True
    all_flavours: bool = False
    use_indexes: bool = True
    limits: Limits = DEFAULT_LIMITS

    @property
    def release(self) -> Release:
        """Which Core is asked for."""
        return Release(version=self.recipe.core.version, arch=self.recipe.core.arch)

    @property
    def mirrors(self) -> tuple[str, ...]:
        """The mirrors of Tiny Core."""
        said = tuple(map(self.place, self.recipe.mirrors.tinycore))
        return said or defaults.TINYCORE_MIRRORS

    @property
    def extension_folders(self) -> tuple[str, ...]:
        """Where extensions are."""
        said = tuple(map(self.place, self.recipe.mirrors.extensions))
        return said or tuple(map(self.release.extension_folder, self.mirrors))

    @property
    def script_folders(self) -> tuple[str, ...]:
        """Where scripts are that are to be run for extensions made of Debian's packages."""
        # A mirror has them beside the folders of its architectures.
        below = re.compile(rf"(?<=[/\\]){re.escape(self.core())}[/\\]tcz[/\\]?$")
        return tuple(
            join_url(below.sub(self.release.series, folder), "importscripts")
            for folder in self.extension_folders
        )

    @property
    def bound_by_lock(self) -> bool:
        """Whether only what the lock pins may be used."""
        return self.lock is not None and self.strict

    def place(self, text: str) -> str:
        """Return an address as it is, and a path from the recipe's folder."""
        return text if is_url(text) else str(self.recipe.folder / text)

    def core(self) -> str:
        """Return which Core this is about, as a lock file says it."""
        return f"{self.release.series}/{self.release.arch}"

    def check_lock(self) -> None:
        """Refuse a lock for another Core.

        Raises:
            LockError: it is one.
        """
        if self.lock is not None and self.lock.core != self.core():
            raise LockError(
                f"the lock file is for Core {self.lock.core}, and {self.recipe.source} asks for "
                f"{self.core()}"
            )
