"""An extension as a repository describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from purekernel.fetch.wanted import Wanted
from purekernel.formats.debian.record import PackageRecord

# What stands beside an extension, by the end of its name.
MD5, DEPENDENCIES, INFO, LISTING = ".md5.txt", ".dep", ".info", ".list"
SIDES = (MD5, DEPENDENCIES, INFO, LISTING)

# Of an extension that is made of a Debian package: what the mirror has to be run for it.
IMPORT_SCRIPT = ".deb2tcz"

# In lists and .dep files this stands for the release of the kernel that runs.
KERNEL = "-KERNEL.tcz"


@frozen(kw_only=True)
class Extension:
    """What a repository has of one extension.

    Attributes:
        name: ``bash.tcz``.
        dependencies: the names in its ``.dep``, ``-KERNEL`` and all.
        package: the extension itself.
        sides: the files beside it, by the ends of their names.
        record: what it says of itself, where the file is a Debian package that the extension
            is yet to be made of.
    """

    name: str
    dependencies: tuple[str, ...]
    package: Wanted
    sides: Mapping[str, Wanted] = field(factory=dict)
    record: PackageRecord | None = None


class ExtensionRepository(Protocol):
    """Whatever knows extensions: a mirror, or a lock file."""

    def describe(self, names: Sequence[str]) -> list[Extension | None]:
        """Return what there is of each name, in the same order; ``None`` for nothing."""
        ...


def resolve_kernel(name: str, kernel: str | None) -> str:
    """Return the name that ``NAME-KERNEL.tcz`` means to a kernel of release ``kernel``.

    Other names, and all names where no release is known, come back as they are.
    (Source: tce-load, which replaces it with the output of ``uname -r``.)
    """
    if kernel is None or not name.endswith(KERNEL):
        return name
    return f"{name.removesuffix(KERNEL)}-{kernel}.tcz"
