"""Define extensions, and the interface of repositories of extensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from attrs import evolve, field

from purekernel.fetch.model import Download
from purekernel.formats.debian.control import PackageRecord
from purekernel.records import frozen

# Suffixes of the files beside an extension.
MD5, DEPENDENCIES, INFO, LISTING = ".md5.txt", ".dep", ".info", ".list"
COMPANIONS = (MD5, DEPENDENCIES, INFO, LISTING)

# Suffix of the script on a mirror that converts a Debian package to an extension.
IMPORT_SCRIPT = ".deb2tcz"

# In lists and .dep files, KERNEL stands for the release of the running kernel.
KERNEL = "-KERNEL.tcz"

T = TypeVar("T")
U = TypeVar("U")


@frozen(kw_only=True)
class Extension(Generic[T]):
    """An extension. ``T`` is what is known of its files.

    ``Extension[Download]`` is an extension in a repository, ``Extension[Pin]`` in a lock file,
    ``Extension[Tree]`` is unpacked, and ``Extension[Buffer]`` is at hand, as it goes into an image.
    :meth:`with_files` keeps all other properties from one to the next.

    Attributes:
        name: such as ``bash.tcz``.
        dependencies: names in its ``.dep`` file, with ``-KERNEL`` not replaced.
        file: the extension itself. If ``record`` is set, a download is that of the Debian package
            that must be converted to the extension.
        companions: files beside the extension, by suffix.
        record: metadata of the Debian package that the extension is made from; ``None`` if it is
            not made from one.
    """

    name: str
    dependencies: tuple[str, ...] = ()
    file: T
    companions: Mapping[str, T] = field(factory=dict)
    record: PackageRecord | None = None

    def with_files(self, file: U, companions: Mapping[str, U]) -> Extension[U]:
        """Return the extension with what else is known of its files."""
        changed = evolve(cast("Extension[Any]", self), file=file, companions=companions)
        return cast("Extension[U]", changed)


class ExtensionRepository(Protocol):
    """A source of extensions: a mirror, or a lock file."""

    def describe(self, names: Sequence[str]) -> list[Extension[Download] | None]:
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
