"""Look a tree over before it is written: which inodes there are, and in what order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from attrs import define, field, frozen

from purekernel.errors import UnrepresentableError
from purekernel.formats.squashfs.data import Extent
from purekernel.formats.squashfs.metadata import Position
from purekernel.tree import Directory, Node, Tree, display
from purekernel.tree.path import NAME_MAX_BYTES, join, name, parent


@define
class Inode:
    """An inode on its way into the table.

    Attributes:
        path: the first of its names.
        node: what it is of.
        links: how many names it has; of a folder, how many folders name it, itself included.
        number: from 1, in the order of the table.
        place: where it lies, once it does.
        extent: where the content lies, of a file, once it does.
    """

    path: bytes
    node: Node
    links: int = 0
    number: int = 0
    place: Position = field(factory=partial(Position, 0, 0))
    extent: Extent = field(factory=partial(Extent, 0))


@frozen
class Survey:
    """What is in a tree.

    Attributes:
        entries: for each folder, parents first, what it holds: names, sorted, and inodes.
        walked: all inodes in the order of the tree.
        ordered: all inodes in the order of the table: what a folder holds, and then the folder. So
            the places of all that it lists are known when a folder is listed; and what lies in one
            folder lies together, which needs few headers.
    """

    entries: Mapping[bytes, Sequence[tuple[bytes, Inode]]]
    walked: Sequence[Inode]
    ordered: Sequence[Inode]


def survey(tree: Tree) -> Survey:
    """Return what is in ``tree``, numbered and counted.

    Raises:
        UnrepresentableError: a name is longer than squashfs allows.
    """
    inodes: dict[int, Inode] = {}
    entries: dict[bytes, list[tuple[bytes, Inode]]] = {}
    folders: dict[bytes, Inode] = {}
    for path, node in tree.walk():
        inode = inodes.setdefault(tree.inode(path), Inode(path, node))
        inode.links += 1
        if isinstance(node, Directory):
            entries[path] = []
            folders[path] = inode
        if not path:
            continue
        last = name(path)
        if len(last) > NAME_MAX_BYTES:
            raise UnrepresentableError(
                f"the name {display(path)} has {len(last)} bytes, Linux allows {NAME_MAX_BYTES}"
            )
        entries[parent(path)].append((last, inode))
        if isinstance(node, Directory):
            folders[parent(path)].links += 1  # as its ".."
    for folder in folders.values():
        folder.links += 1  # as its own "."
    ordered = _order(entries, folders)
    for number, inode in enumerate(ordered, 1):
        inode.number = number
    return Survey(entries, list(inodes.values()), ordered)


def _order(
    entries: Mapping[bytes, Sequence[tuple[bytes, Inode]]], folders: dict[bytes, Inode]
) -> list[Inode]:
    ordered: dict[int, Inode] = {}
    for folder in reversed(folders):
        for last, inode in entries[folder]:
            if join(folder, last) not in folders:
                ordered.setdefault(id(inode), inode)
        ordered[id(folders[folder])] = folders[folder]
    return list(ordered.values())
