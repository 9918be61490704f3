"""Define extensions, and the interface of repositories of extensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from purekernel.fetch.model import Download
from purekernel.formats.debian.record import PackageRecord

# Suffixes of the files beside an extension.
MD5, DEPENDENCIES, INFO, LISTING = ".md5.txt", ".dep", ".info", ".list"
SIDES = (MD5, DEPENDENCIES, INFO, LISTING)

# Suffix of the script on a mirror that converts a Debian package to an extension.
IMPORT_SCRIPT = ".deb2tcz"

# In lists and .dep files, KERNEL stands for the release of the running kernel.
KERNEL = "-KERNEL.tcz"


@frozen(kw_only=True)
class Extension:
    """An extension in a repository.

    Attributes:
        name: such as ``bash.tcz``.
        dependencies: names in its ``.dep`` file, with ``-KERNEL`` not replaced.
        package: file of the extension.
        sides: files beside the extension, by suffix.
        record: metadata of the Debian package, if the file is still a Debian package that must
            be converted to the extension; otherwise ``None``.
    """

    name: str
    dependencies: tuple[str, ...]
    package: Download
    sides: Mapping[str, Download] = field(factory=dict)
    record: PackageRecord | None = None


class ExtensionRepository(Protocol):
    """A source of extensions: a mirror, or a lock file."""

    def describe(self, names: Sequence[str]) -> list[Extension | None]:
        """Return the extension of each name, in the same order; ``None`` if it is missing."""
        ...


def resolve_kernel(name: str, kernel: str | None) -> str:
    """Return ``name`` with ``KERNEL`` replaced by the kernel release ``kernel``.

    Names without ``-KERNEL``, and all names if ``kernel`` is ``None``, are returned unchanged.
    (Source: tce-load, which replaces it with the output of ``uname -r``.)
    """
    if kernel is None or not name.endswith(KERNEL):
        return name
    return f"{name.removesuffix(KERNEL)}-{kernel}.tcz"
