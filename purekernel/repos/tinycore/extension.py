"""Define extensions, and the interface of repositories of extensions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from attrs import evolve, field

from purekernel.fetch.model import Download
from purekernel.formats.debian.control import PackageRecord
from purekernel.formats.tinycore import TCZ
from purekernel.records import frozen
from purekernel.similar import find_similar

# Suffixes of the files beside an extension.
MD5, DEPENDENCIES, INFO, LISTING = ".md5.txt", ".dep", ".info", ".list"
COMPANIONS = (MD5, DEPENDENCIES, INFO, LISTING)

# Suffix of the script on a mirror that converts a Debian package to an extension.
IMPORT_SCRIPT = ".deb2tcz"

# In lists and .dep files, KERNEL stands for the release of the running kernel.
KERNEL = "-KERNEL.tcz"

# How many similar names a message suggests, and how similar they must be, from 0 to 1.
MOST_SIMILAR, CLOSENESS = 3, 0.65

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


def similar_names(wanted: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names of extensions that a user who wrote ``wanted`` may have meant, best first.

    Case and ``.tcz`` do not matter. Names that begin with ``wanted``, such as ``openssl-1.1.1.tcz``
    for ``openssl``, come first.
    """
    stem = wanted.removesuffix(TCZ).lower()
    stems = {name.removesuffix(TCZ).lower(): name for name in sorted(known) if name != wanted}
    longer = [name for name in stems if re.match(rf"{re.escape(stem)}(?![a-z])", name)]
    # A version comes before a part such as -dev.
    versions = re.compile(rf"{re.escape(stem)}[-_.]?[0-9]")
    longer.sort(key=lambda name: (versions.match(name) is None, len(name), name))
    close = find_similar(stem, stems, most=MOST_SIMILAR, closeness=CLOSENESS)
    ordered = dict.fromkeys((*longer[: MOST_SIMILAR - 1], *close, *longer))
    return tuple(stems[name] for name in ordered)[:MOST_SIMILAR]


def did_you_mean(names: Sequence[str]) -> str:
    """Return ``did you mean a.tcz or b.tcz?``; empty without names."""
    *first, last = names or [""]
    choice = f"{', '.join(first)} or {last}" if first else last
    return f"did you mean {choice}?" if choice else ""
