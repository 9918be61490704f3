"""Number the inodes of a tree, and count their links, before the tree is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from attrs import define, field

from purekernel.errors import UnrepresentableError
from purekernel.formats.squashfs.data import Extent
from purekernel.formats.squashfs.metadata import Position
from purekernel.records import frozen
from purekernel.tree import Directory, Node, Tree, display
from purekernel.tree.path import NAME_MAX_BYTES, join, name, parent


@define
class Inode:
    """An inode that the writer fills in step by step.

    Attributes:
        path: the first path of the inode.
        node: the node of the tree.
        links: the number of names; for a folder, the entries that refer to it, with "." and "..".
        number: the inode number: from 1, in the order of the table.
        place: the position in the inode table; set when the inode is written.
        extent: the location of a file's content; set when the content is written.
    """

    path: bytes
    node: Node
    links: int = 0
    number: int = 0
    place: Position = field(factory=partial(Position, 0, 0))
    extent: Extent = field(factory=partial(Extent, 0))


@frozen
class InodeSurvey:
    """The inodes of a tree.

    Attributes:
        entries: for each folder, parents first: its names, sorted, with their inodes.
        walked: all inodes in the order of the tree.
        ordered: all inodes in the order of the table: the entries of a folder, then the folder. A
            folder's listing needs the positions of its entries, so those must come first. Entries
            of one folder are adjacent, so that the listing needs few headers.
    """

    entries: Mapping[bytes, Sequence[tuple[bytes, Inode]]]
    walked: Sequence[Inode]
    ordered: Sequence[Inode]


def survey(tree: Tree) -> InodeSurvey:
    """Return the inodes of ``tree``, with numbers and link counts.

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
                f"{display(path)}: the name must be at most {NAME_MAX_BYTES} bytes, "
                f"got {len(last)}",
                hint="shorten the name",
            )
        entries[parent(path)].append((last, inode))
        if isinstance(node, Directory):
            folders[parent(path)].links += 1  # as its ".."
    for folder in folders.values():
        folder.links += 1  # as its own "."
    ordered = _order(entries, folders)
    for number, inode in enumerate(ordered, 1):
        inode.number = number
    return InodeSurvey(entries, list(inodes.values()), ordered)


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
