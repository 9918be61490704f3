"""The in-memory tree that every format reads into and is written from."""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.errors import ConflictError, MissingPathError
from purekernel.tree.node import Directory, File, Metadata, Node, describe
from purekernel.tree.path import ROOT, ancestors, display, join, name, parent
from purekernel.tree.resolve import resolve

DEFAULT_DIRECTORY = Directory(metadata=Metadata(mode=0o755))


class Tree:
    """A root file system in memory.

    Names map to inodes and inodes to nodes, as on a disk, so that a hard link is two
    names of one inode and nothing else. Every path's parent is a folder of the tree;
    there is always a root.

    Nodes are immutable. The tree is not: functions from tree to tree take a
    :meth:`copy`, which shares all nodes and contents.
    """

    def __init__(self, root: Directory = DEFAULT_DIRECTORY) -> None:
        self._nodes: dict[int, Node] = {0: root}
        self._inodes: dict[bytes, int] = {ROOT: 0}
        self._link_counts: dict[int, int] = {0: 1}
        self._implied: set[bytes] = set()
        self._entries: dict[bytes, set[bytes]] = {ROOT: set()}
        self._next_inode = 1

    # Looking

    def __contains__(self, path: bytes) -> bool:
        return path in self._inodes

    def __len__(self) -> int:
        """Return the number of names, the root included."""
        return len(self._inodes)

    def __getitem__(self, path: bytes) -> Node:
        """Return the node at ``path``; no symbolic link is followed.

        Raises:
            MissingPathError: there is none.
        """
        try:
            return self._nodes[self._inodes[path]]
        except KeyError:
            raise MissingPathError(f"there is no {display(path)} in the image") from None

    def get(self, path: bytes) -> Node | None:
        """Return the node at ``path``, or ``None``; no symbolic link is followed."""
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
        """Return a number that two paths share exactly when they are hard links.

        Raises:
            MissingPathError: there is no such path.
        """
        try:
            return self._inodes[path]
        except KeyError:
            raise MissingPathError(f"there is no {display(path)} in the image") from None

    def entries(self, folder: bytes) -> list[bytes]:
        """Return the names in ``folder``, sorted as bytes.

        Raises:
            MissingPathError: ``folder`` is not a folder of the tree.
        """
        try:
            return sorted(self._entries[folder])
        except KeyError:
            raise MissingPathError(f"there is no folder {display(folder)} in the image") from None

    def walk(self, start: bytes = ROOT) -> Iterator[tuple[bytes, Node]]:
        """Yield ``start`` and all below it: parents first, siblings sorted as bytes."""
        yield start, self[start]
        pending = [join(start, entry) for entry in reversed(self._sorted_entries(start))]
        while pending:
            path = pending.pop()
            yield path, self._nodes[self._inodes[path]]
            pending.extend(join(path, entry) for entry in reversed(self._sorted_entries(path)))

    def hard_links(self) -> dict[int, list[bytes]]:
        """Return the paths of each inode that has more than one, in walking order."""
        names: dict[int, list[bytes]] = {}
        for path, _node in self.walk():
            names.setdefault(self._inodes[path], []).append(path)
        return {inode: paths for inode, paths in names.items() if len(paths) > 1}

    def is_implied(self, path: bytes) -> bool:
        """Say whether ``path`` is a folder that only what it holds speaks of."""
        return path in self._implied

    def implied(self) -> list[bytes]:
        """Return all folders that only what they hold speaks of, sorted as bytes."""
        return sorted(self._implied)

    def __eq__(self, other: object) -> bool:
        """Compare names, nodes, contents and which names are hard links of one another."""
        if not isinstance(other, Tree):
            return NotImplemented
        return (
            self._inodes.keys() == other._inodes.keys()
            and all(node == other[path] for path, node in self.walk())
            and sorted(self.hard_links().values()) == sorted(other.hard_links().values())
        )

    __hash__ = None  # type: ignore[assignment]  # a tree changes

    def __repr__(self) -> str:
        return f"<Tree of {len(self)} names>"

    # Changing

    def add(self, path: bytes, node: Node) -> None:
        """Put ``node`` at ``path`` under a new inode.

        What is not a folder replaces what is not a folder; a folder added where one
        stands gives it its metadata and leaves what it holds.

        Raises:
            MissingPathError: the parent is not there.
            ConflictError: the parent is no folder, or one of old and new is a folder
                and the other is not.
        """
        self._implied.discard(path)
        old = self.get(path)
        if old is not None and isinstance(old, Directory):
            if not isinstance(node, Directory):
                raise ConflictError(
                    f"{display(path)} is a folder, and {describe(node)} cannot replace it"
                )
            self._nodes[self._inodes[path]] = node
            return
        if old is not None and isinstance(node, Directory):
            raise ConflictError(f"{display(path)} must be a folder and is {describe(old)}")
        self._require_folder(path)
        inode = self._next_inode
        self._next_inode += 1
        self._nodes[inode] = node
        self._name(path, inode)
        if isinstance(node, Directory):
            self._entries[path] = set()

    def imply(self, path: bytes, metadata: Metadata = DEFAULT_DIRECTORY.metadata) -> None:
        """Add a folder that nobody named, for what it is to hold.

        Raises:
            MissingPathError: the parent is not there.
            ConflictError: the parent is no folder, or something stands at ``path``.
        """
        if path in self:
            raise ConflictError(f"{display(path)} is there already")
        self.add(path, Directory(metadata=metadata))
        self._implied.add(path)

    def add_parents(self, path: bytes, metadata: Metadata = DEFAULT_DIRECTORY.metadata) -> None:
        """Imply the folders above ``path`` that are missing, each with ``metadata``.

        Raises:
            ConflictError: one of them stands and is no folder.
        """
        if isinstance(self.get(parent(path)), Directory):
            return
        for folder in ancestors(path):
            found = self.get(folder)
            if found is None:
                self.imply(folder, metadata)
            elif not isinstance(found, Directory):
                raise ConflictError(
                    f"{display(folder)} must be a folder to hold {display(path)} "
                    f"and is {describe(found)}"
                )

    def link(self, path: bytes, existing: bytes) -> None:
        """Make ``path`` another name of what stands at ``existing``.

        Raises:
            MissingPathError: ``existing`` or the parent of ``path`` is not there.
            ConflictError: either is a folder, or the parent of ``path`` is none.
        """
        inode = self.inode(existing)
        if isinstance(self._nodes[inode], Directory):
            raise ConflictError(f"{display(existing)} is a folder and cannot be hard-linked")
        if isinstance(self.get(path), Directory):
            raise ConflictError(f"{display(path)} is a folder, and a hard link cannot replace it")
        self._require_folder(path)
        self._name(path, inode)

    def replace(self, path: bytes, node: Node) -> None:
        """Change the inode at ``path``, under all its names, to hold ``node``.

        Raises:
            MissingPathError: there is nothing at ``path``.
            ConflictError: one of old and new is a folder and the other is not.
        """
        old = self[path]
        if isinstance(old, Directory) != isinstance(node, Directory):
            raise ConflictError(f"{display(path)} is {describe(old)}, not {describe(node)}")
        self._nodes[self._inodes[path]] = node

    def remove(self, path: bytes) -> None:
        """Take ``path``, and all below it, out of the tree.

        Raises:
            MissingPathError: there is nothing at ``path``.
            ConflictError: ``path`` is the root.
        """
        if path == ROOT:
            raise ConflictError("the root of an image cannot be removed")
        doomed = [found for found, _node in self.walk(path)]
        for found in doomed:
            self._unname(self._inodes.pop(found))
            self._entries.pop(found, None)
            self._implied.discard(found)
        self._entries[parent(path)].discard(name(path))

    def copy(self) -> Tree:
        """Return a tree of its own that shares nodes and contents with this one."""
        other = Tree()
        other._nodes = dict(self._nodes)
        other._inodes = dict(self._inodes)
        other._entries = {path: set(names) for path, names in self._entries.items()}
        other._implied = set(self._implied)
        other._link_counts = dict(self._link_counts)
        other._next_inode = self._next_inode
        return other

    # Within

    def _sorted_entries(self, path: bytes) -> list[bytes]:
        names = self._entries.get(path)
        return sorted(names) if names else []

    def _require_folder(self, path: bytes) -> None:
        folder = parent(path)
        if folder in self._entries:
            return
        found = self.get(folder)
        if found is None:
            raise MissingPathError(f"there is no folder {display(folder)} in the image")
        raise ConflictError(
            f"{display(folder)} must be a folder to hold {display(path)} and is {describe(found)}"
        )

    def _name(self, path: bytes, inode: int) -> None:
        replaced = self._inodes.get(path)
        self._inodes[path] = inode
        self._entries[parent(path)].add(name(path))
        self._link_counts[inode] = self._link_counts.get(inode, 0) + 1
        if replaced is not None:
            self._unname(replaced)

    def _unname(self, inode: int) -> None:
        """Take one name from ``inode``, and drop its node (and content) with the last."""
        self._link_counts[inode] -= 1
        if not self._link_counts[inode]:
            del self._link_counts[inode]
            del self._nodes[inode]
