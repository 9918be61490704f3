"""Pack a tree as an extension: the one place where extensions that we make are packed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from purekernel.tree import Tree


def squash(tree: Tree) -> bytes:
    """Return ``tree`` as a ``.tcz``: squashfs with gzip and blocks of 4 KiB, as Core demands.

    Raises:
        UnrepresentableError: squashfs cannot hold something in the tree.
    """
    # Until the writer is here, it is asked for by name.
    squashfs: Any = import_module("purekernel.formats.squashfs")
    codecs: Any = import_module("purekernel.formats.squashfs.codecs")
    with ThreadPoolExecutor() as executor:
        packed: bytes = squashfs.build_squashfs(tree, codec=codecs.GZIP, executor=executor)
    return packed
