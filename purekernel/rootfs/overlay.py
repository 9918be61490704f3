"""Build an overlay: a tree of files that are added to a root file system."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from purekernel.tree import ROOT, Buffer, Directory, Metadata, Symlink, Tree, put_file
from purekernel.tree.path import ancestors, join

# Where the gems of an image are: a mirror with an index (2013), or one folder (2012).
GEM_MIRROR = b"tmp/gem-mirror"
GEM_FOLDER = b"opt/gems"

_PLAIN = 0o644


class OverlayTree:
    """A tree under construction. All generated entries have the same time.

    Attributes:
        tree: the tree so far. Every folder in it has an entry of its own.
        mtime: time of generated entries, in seconds since 1970, UTC.
    """

    def __init__(self, mtime: int) -> None:
        self.mtime = mtime
        self.tree = Tree(Directory(metadata=Metadata(mode=0o755, mtime=mtime)))

    def folder(self, path: bytes) -> None:
        """Make a folder and its missing parents."""
        for folder in (*ancestors(path), path):
            if folder and folder not in self.tree:
                self.tree.add(folder, Directory(metadata=Metadata(mode=0o755, mtime=self.mtime)))

    def file(self, path: bytes, content: Buffer, mode: int = _PLAIN) -> None:
        """Make a file."""
        metadata = Metadata(mode=mode, mtime=self.mtime)
        put_file(self.tree, path, content, metadata=metadata)

    def link(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link."""
        self.folder(path.rpartition(b"/")[0])
        metadata = Metadata(mode=0o777, mtime=self.mtime)
        self.tree.add(path, Symlink(metadata=metadata, target=target))

    def copy(self, source: Tree, path: bytes, target: bytes, *, executable: bool = False) -> None:
        """Copy the entry at ``path`` of another tree to ``target``, with its mode and time."""
        node = source[path]
        metadata = evolve(node.metadata, uid=0, gid=0)
        if executable:
            # As "chmod +rx" does.
            metadata = evolve(metadata, mode=metadata.mode | 0o555)
        self.folder(target.rpartition(b"/")[0])
        self.tree.add(target, evolve(node, metadata=metadata))

    def copy_all(self, source: Tree, folder: bytes = ROOT) -> None:
        """Copy another tree into ``folder``. Hard links stay hard links."""
        self.folder(folder)
        firsts: dict[int, bytes] = {}
        for path, node in source.walk():
            target = join(folder, path) if path else folder
            if isinstance(node, Directory):
                self._copy_folder(source, path, target)
            elif (first := firsts.setdefault(source.inode(path), target)) != target:
                self.tree.link(target, first)
            else:
                self.copy(source, path, target)

    def _copy_folder(self, source: Tree, path: bytes, target: bytes) -> None:
        if source.is_implied(path):
            self.folder(target)
        elif target not in self.tree:
            metadata = evolve(source[path].metadata, uid=0, gid=0)
            self.tree.add(target, Directory(metadata=metadata))

    def files(self, folder: bytes, files: Mapping[str, Buffer]) -> None:
        """Make files, given by their paths below ``folder``."""
        self.folder(folder)
        for path, content in sorted(files.items()):
            self.file(join(folder, path.encode()), content)
