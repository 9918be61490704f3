"""What a plan is made from: the recipe, the lock file, and whom to ask."""

from __future__ import annotations

import re

from attrs import frozen

from purekernel.errors import LockError
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.urls import is_url, join_url
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.recipe import defaults
from purekernel.recipe.model import Recipe
from purekernel.repos.tinycore import Release
from purekernel.sources.lock import Lock


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
