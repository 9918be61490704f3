"""Hold a root file system in memory; every format is read into and written from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from purekernel.errors import ConflictError, MissingPathError
from purekernel.tree.node import Directory, File, Metadata, Node, describe, with_metadata
from purekernel.tree.path import ROOT, ancestors, display, name, parent
from purekernel.tree.resolve import resolve

DEFAULT_DIRECTORY = Directory(metadata=Metadata(mode=0o755))


class Tree:
    """A root file system in memory.

    Paths map to inode numbers and inode numbers to nodes, as on a disk, so hard links are
    paths with the same inode number. The parent of every path is a folder of the tree. The
    root always exists.

    Nodes are immutable; the tree is mutable. Functions that return a changed tree work on a
    :meth:`copy`, which shares all nodes and contents.
    """

    def __init__(self, root: Directory = DEFAULT_DIRECTORY) -> None:
        self._nodes: dict[int, Node] = {0: root}
        self._inodes: dict[bytes, int] = {ROOT: 0}
        # The numbers of names of hard links only: most inodes have one.
        self._link_counts: dict[int, int] = {}
        self._implied: set[bytes] = set()
        self._entries: dict[bytes, set[bytes]] = {ROOT: set()}
        self._next_inode = 1
        # The paths that changed, while someone wants to know them.
        self._touched: set[bytes] | None = None

    # Reading

    def __contains__(self, path: bytes) -> bool:
        return path in self._inodes

    def __len__(self) -> int:
        """Return the number of paths, including the root."""
        return len(self._inodes)

    def __getitem__(self, path: bytes) -> Node:
        """Return the node at ``path``; do not follow symbolic links.

        Raises:
            MissingPathError: ``path`` does not exist.
        """
        try:
            return self._nodes[self._inodes[path]]
        except KeyError:
            raise MissingPathError(f"the image has no {display(path)}") from None

    def get(self, path: bytes) -> Node | None:
        """Return the node at ``path``, or ``None``; do not follow symbolic links."""
        inode = self._inodes.get(path)
        return None if inode is None else self._nodes[inode]

    def read(self, path: str | bytes) -> bytes:
        """Return the content of the file at ``path``; symbolic links are followed.

        Args:
            path: with or without a leading slash; text is encoded as UTF-8.

        Raises:
            MissingPathError: there is no such path.
            ConflictError: it is not a file.
            LinkLoopError: it passes through too many symbolic links.
        """
        wanted = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
        node = self[resolve(self, wanted)]
        if not isinstance(node, File):
            raise ConflictError(f"{display(wanted)} must be a file, and is {describe(node)}")
        return bytes(node.content)

    def inode(self, path: bytes) -> int:
        """Return the inode number of ``path``; hard links have the same number.

        Raises:
            MissingPathError: ``path`` does not exist.
        """
        try:
            return self._inodes[path]
        except KeyError:
            raise MissingPathError(f"the image has no {display(path)}") from None

    def count_names(self, path: bytes) -> int:
        """Return how many names the inode of ``path`` has.

        Raises:
            MissingPathError: ``path`` does not exist.
        """
        return self._link_counts.get(self.inode(path), 1)

    def entries(self, folder: bytes) -> list[bytes]:
        """Return the names in ``folder``, sorted as bytes.

        Raises:
            MissingPathError: ``folder`` is not a folder of the tree.
        """
        try:
            return sorted(self._entries[folder])
        except KeyError:
            raise MissingPathError(f"the image has no folder {display(folder)}") from None

    def walk(self, start: bytes = ROOT) -> Iterator[tuple[bytes, Node]]:
        """Yield ``start`` and everything below it: parents first, siblings sorted as bytes."""
        self[start]  # raises MissingPathError
        pending = [start]
        while pending:
            path = pending.pop()
            yield path, self._nodes[self._inodes[path]]
            if names := self._entries.get(path):
                above = path + b"/" if path else b""
                pending += [above + entry for entry in sorted(names, reverse=True)]

    def nodes(self) -> Iterable[Node]:
        """Return the nodes, each once even if it has several names, in any order."""
        return self._nodes.values()

    def hard_links(self) -> dict[int, list[bytes]]:
        """Return the paths of each inode that has more than one, in the order of :meth:`walk`."""
        names: dict[int, list[bytes]] = {}
        if not self._link_counts:
            return names
        for path, _node in self.walk():
            if (inode := self._inodes[path]) in self._link_counts:
                names.setdefault(inode, []).append(path)
        return names

    def changed_since(self, earlier: Tree) -> list[bytes]:
        """Return the paths that are new or have another node object since ``earlier``.

        This tree must be made from a copy of ``earlier``. No content is compared, because functions
        that change a copy share all nodes that they do not change. Removed paths are not returned.
        """
        old_nodes, old_inodes = earlier._nodes, earlier._inodes
        changed = {inode for inode, node in self._nodes.items() if old_nodes.get(inode) is not node}
        # A step that changes nothing is told faster.
        if not changed and self._inodes == old_inodes:
            return []
        return [
            path
            for path, inode in self._inodes.items()
            if inode in changed or old_inodes.get(path) != inode
        ]

    def is_implied(self, path: bytes) -> bool:
        """Return whether ``path`` is an implied folder: one added only as a parent."""
        return path in self._implied

    def implied(self) -> list[bytes]:
        """Return the paths of all implied folders, sorted as bytes."""
        return sorted(self._implied)

    def __eq__(self, other: object) -> bool:
        """Compare paths, nodes, contents, and which paths are hard links of each other."""
        if not isinstance(other, Tree):
            return NotImplemented
        return (
            self._inodes.keys() == other._inodes.keys()
            and all(node == other[path] for path, node in self.walk())
            and sorted(self.hard_links().values()) == sorted(other.hard_links().values())
        )

    __hash__ = None  # type: ignore[assignment]  # a tree is mutable

    def __repr__(self) -> str:
        return f"<Tree of {len(self)} names>"

    # Changing

    def add(self, path: bytes, node: Node) -> None:
        """Add ``node`` at ``path`` with a new inode number.

        A node that is not a folder replaces one that is not a folder. A folder added to an
        existing folder changes its metadata and keeps its entries.

        Raises:
            MissingPathError: the parent does not exist.
            ConflictError: the parent is not a folder, or only one of the old and the new
                node is a folder.
        """
        old = self.get(path)
        if isinstance(old, Directory):
            if not isinstance(node, Directory):
                raise ConflictError(
                    f"{display(path)} is a folder, and {describe(node)} cannot replace it"
                )
            self._nodes[self._inodes[path]] = node
            self._implied.discard(path)
            self._touch(path)
            return
        if old is not None and isinstance(node, Directory):
            raise ConflictError(f"{display(path)} must be a folder, got {describe(old)}")
        inode = self._next_inode
        self._add_name(path, inode)
        self._next_inode += 1
        self._nodes[inode] = node
        if isinstance(node, Directory):
            self._entries[path] = set()

    def imply(self, path: bytes, metadata: Metadata = DEFAULT_DIRECTORY.metadata) -> None:
        """Add an implied folder: the parent of a path, without an entry of its own.

        Raises:
            MissingPathError: the parent does not exist.
            ConflictError: the parent is not a folder, or ``path`` already exists.
        """
        if path in self:
            raise ConflictError(f"{display(path)} already exists in the image")
        self.add(path, Directory(metadata=metadata))
        self._implied.add(path)

    def add_parents(self, path: bytes, metadata: Metadata = DEFAULT_DIRECTORY.metadata) -> None:
        """Add the missing parent folders of ``path`` as implied folders with ``metadata``.

        Raises:
            ConflictError: a parent exists and is not a folder.
        """
        if isinstance(self.get(parent(path)), Directory):
            return
        for folder in ancestors(path):
            node = self.get(folder)
            if node is None:
                self.imply(folder, metadata)
            elif not isinstance(node, Directory):
                raise ConflictError(
                    f"{display(folder)} must be a folder to hold {display(path)}, "
                    f"got {describe(node)}"
                )

    def link(self, path: bytes, existing: bytes) -> None:
        """Make ``path`` a hard link to ``existing``.

        Raises:
            MissingPathError: ``existing`` or the parent of ``path`` does not exist.
            ConflictError: ``existing`` or ``path`` is a folder, or the parent of ``path`` is
                not a folder.
        """
        inode = self.inode(existing)
        if isinstance(self._nodes[inode], Directory):
            raise ConflictError(f"{display(existing)} is a folder and cannot be hard-linked")
        if isinstance(self.get(path), Directory):
            raise ConflictError(f"{display(path)} is a folder, and a hard link cannot replace it")
        replaced = self._inodes.get(path)
        if replaced == inode:
            return
        self._add_name(path, inode)
        self._link_counts[inode] = self._link_counts.get(inode, 1) + 1

    def replace(self, path: bytes, node: Node) -> None:
        """Replace the node of ``path`` and of all its hard links.

        Raises:
            MissingPathError: ``path`` does not exist.
            ConflictError: only one of the old and the new node is a folder.
        """
        old = self[path]
        if isinstance(old, Directory) != isinstance(node, Directory):
            raise ConflictError(f"{display(path)} must be {describe(node)}, got {describe(old)}")
        inode = self._inodes[path]
        self._nodes[inode] = node
        if self._touched is not None and inode in self._link_counts:
            self._touched.update(each for each, its in self._inodes.items() if its == inode)
        self._touch(path)

    @contextmanager
    def recorded(self) -> Iterator[set[bytes]]:
        """Collect, while the block runs, the paths that get a node, a new one or another one.

        Names of one file are all among them. Only the innermost of nested blocks collects.
        """
        outer, self._touched = self._touched, set()
        try:
            yield self._touched
        finally:
            self._touched = outer

    def remove(self, path: bytes) -> None:
        """Remove ``path`` and everything below it.

        Raises:
            MissingPathError: ``path`` does not exist.
            ConflictError: ``path`` is the root.
        """
        if path == ROOT:
            raise ConflictError("the root of an image cannot be removed")
        removed_paths = [below for below, _node in self.walk(path)]
        for removed in removed_paths:
            self._remove_name(self._inodes.pop(removed))
            self._entries.pop(removed, None)
            self._implied.discard(removed)
        self._entries[parent(path)].discard(name(path))

    def copy(self) -> Tree:
        """Return an independent tree that shares nodes and contents with this one."""
        other = Tree()
        other._nodes = dict(self._nodes)
        other._inodes = dict(self._inodes)
        other._entries = {path: set(names) for path, names in self._entries.items()}
        other._implied = set(self._implied)
        other._link_counts = dict(self._link_counts)
        other._next_inode = self._next_inode
        return other

    def map_metadata(self, change: Callable[[Metadata], Metadata]) -> Tree:
        """Return a copy in which all nodes have changed metadata.

        Args:
            change: called once for each object that nodes share.
        """
        other = self.copy()
        # By identity: hashing and comparing takes longer. This tree keeps the objects alive.
        changed: dict[int, Metadata] = {}
        for inode, node in self._nodes.items():
            old = node.metadata
            new = changed.get(id(old))
            if new is None:
                new = changed[id(old)] = change(old)
            if new is not old:
                other._nodes[inode] = with_metadata(node, new)  # noqa: SLF001  # of this class
        return other

    # Internals

    def _add_name(self, path: bytes, inode: int) -> None:
        """Enter ``path`` in its folder; drop the node that it named before."""
        folder, _slash, entry = path.rpartition(b"/")
        entries = self._entries.get(folder)
        if entries is None:
            node = self.get(folder)
            if node is None:
                raise MissingPathError(f"the image has no folder {display(folder)}")
            raise ConflictError(
                f"{display(folder)} must be a folder to hold {display(path)}, got {describe(node)}"
            )
        replaced = self._inodes.get(path)
        self._inodes[path] = inode
        entries.add(entry)
        self._touch(path)
        if replaced is not None:
            self._remove_name(replaced)

    def _touch(self, path: bytes) -> None:
        if self._touched is not None:
            self._touched.add(path)

    def _remove_name(self, inode: int) -> None:
        """Count one name of ``inode`` less; delete its node with the last name."""
        count = self._link_counts.pop(inode, 1)
        if count == 1:
            del self._nodes[inode]
        elif count > 2:
            self._link_counts[inode] = count - 1


Pass = Callable[[Tree], Tree]
"""A change to a whole tree. It returns the changed tree and leaves its argument unchanged."""
