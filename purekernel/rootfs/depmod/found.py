"""Modules as a depmod finds them in a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from purekernel.tree import Buffer

Listing = Callable[[bytes], Sequence[bytes]]
"""Gives the names in a folder, in the order in which a depmod would read them."""


@frozen(kw_only=True)
class FoundModule:
    """A module that counts.

    Attributes:
        path: as modules.dep names it: relative to the release's folder, or, outside of it,
            absolute.
        name: as the kernel knows it, with underscores.
        content: of its file, packed if it is packed.
    """

    path: bytes
    name: bytes
    content: Buffer


def module_name(file_name: bytes) -> bytes:
    """Return the kernel's name of a module by its file's: up to the first dot, no dashes."""
    return file_name.partition(b".")[0].replace(b"-", b"_")
