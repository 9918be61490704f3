"""Apply the changes of a tree to an unpacked root file system in a folder of the host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from purekernel.errors import OutputError, UsageError
from purekernel.host.below import OpenFolder, folder_below, host_names, host_target
from purekernel.host.hints import writing
from purekernel.host.no_follow import inode_of, open_readable
from purekernel.host.similar_names import similar_names
from purekernel.host.staging import Staging, create, delete, write_piece
from purekernel.host.windows_names import ON_WINDOWS, check_windows_paths
from purekernel.records import frozen
from purekernel.tree import Directory, File, Node, Symlink, Tree, describe, display
from purekernel.tree.path import name, parent

# Indexes are written last, when the files that they list exist.
_LAST = (b"ld.so.cache", b"modules.dep", b"modules.dep.bin")

_ELSEWHERE = "copy the folder elsewhere; files written before the error stay"


@frozen(kw_only=True)
class FolderRoot:
    """An unpacked root file system; see :class:`purekernel.tools.roots.opening.Root`."""

    folder: Path
    tree: Tree
    notes: tuple[str, ...]
    is_whole: bool
    mtime: int

    def save(
        self, changed: Tree, output: Path | None = None, *, windows: bool = ON_WINDOWS
    ) -> tuple[str, ...]:
        """Write the differences between the two trees to the host: files, links and folders.

        Each file is replaced atomically. Caches and indexes are written after the files that they
        list; deletions come last. Owners and times are those that the host sets. Nothing outside
        of the folder is written, even if another user places links in it.

        Args:
            changed: the new content of the folder.
            output: must be ``None``.
            windows: whether the host is Windows. If a name is invalid on Windows, nothing is
                changed.

        Raises:
            UsageError: ``output`` is set.
            OutputError: a file cannot be written.
        """
        if output is not None:
            raise UsageError(
                f"{self.folder} is a folder, which can only be changed in place",
                hint="omit --output, or copy the folder first",
            )
        writes = [
            (path, node) for path, node in changed.walk() if not _is_same(self.tree.get(path), node)
        ]
        writes.sort(key=lambda write: _write_order(*write))
        if windows:
            check_windows_paths([path for path, _node in writes], source="the changed tree")
        for path, node in writes:
            with self._at(path) as (folder, host_name):
                if path not in self.tree:
                    _refuse_other_name(folder, path, (self.tree, changed))
                _write(folder, host_name, path, node)
        for path, _node in reversed(list(self.tree.walk())):
            if path not in changed:
                with self._at(path) as (folder, host_name):
                    delete(folder.at(host_name), folder=folder.descriptor)
        return ()

    @contextmanager
    def _at(self, path: bytes) -> Iterator[tuple[OpenFolder, str]]:
        """Open the parent folder of ``path``; yield it, and the name of ``path`` in it."""
        with writing(self.folder / os.fsdecode(path), elsewhere=_ELSEWHERE):
            (host_name,) = host_names(name(path))
            with folder_below(self.folder, parent(path)) as folder:
                yield folder, host_name


def _write_order(path: bytes, node: Node) -> tuple[int, int]:
    """Return the sort key of a write: folders first, from the top down, then links, then files."""
    if isinstance(node, Directory):
        return 0, path.count(b"/")
    if isinstance(node, Symlink):
        return 1, 0
    return (3 if name(path) in _LAST else 2), 0


def _is_same(old: Node | None, new: Node) -> bool:
    """Return whether two nodes are equal on the host, ignoring owners and times."""
    if old is new:
        return True
    if isinstance(old, Symlink) and isinstance(new, Symlink):
        return old.target == new.target
    if isinstance(old, File) and isinstance(new, File):
        return old.metadata.mode == new.metadata.mode and old.content == new.content
    return isinstance(old, Directory) and isinstance(new, Directory)


def _refuse_other_name(folder: OpenFolder, path: bytes, trees: Iterable[Tree]) -> None:
    """Refuse a new path that the file system takes for another path of ``trees``."""
    above = parent(path)
    others = sorted({other for tree in trees if above in tree for other in tree.entries(above)})
    if name(path) not in similar_names(others):
        return

    def status_of(other: bytes) -> os.stat_result | None:
        (host_name,) = host_names(other)
        with suppress(FileNotFoundError):
            return os.stat(folder.at(host_name), dir_fd=folder.descriptor, follow_symlinks=False)
        return None

    found = status_of(name(path))
    if found is None:
        return
    for other in others:
        status = status_of(other) if other != name(path) else None
        if status is not None and os.path.samestat(status, found):
            raise OutputError(
                f"{folder.path / os.fsdecode(name(path))} cannot be written: the file system takes "
                f"{display(name(path))} for {display(other)}",
                hint="copy the folder to a file system that distinguishes such names",
            )


def _write(folder: OpenFolder, host_name: str, path: bytes, node: Node) -> None:
    host_path = folder.at(host_name)
    if isinstance(node, Directory):
        os.mkdir(host_path, dir_fd=folder.descriptor)
        with suppress(OSError), open_readable(host_path, folder=folder.descriptor) as inode:
            if stat.S_ISDIR(inode.status.st_mode):
                inode.chmod(node.metadata.mode)
        return
    with Staging() as staging:
        temporary = staging.add(host_path, folder=folder.descriptor)
        if isinstance(node, Symlink):
            target = host_target(node.target)
            if target is None:
                raise OutputError(
                    f"{display(path)} links to {display(node.target)}, which is invalid on Windows"
                )
            os.symlink(target, temporary, dir_fd=folder.descriptor)
        elif isinstance(node, File):
            _write_file(temporary, folder.descriptor, node)
        else:
            raise OutputError(
                f"{display(path)} is {describe(node)}, which cannot be created in a folder"
            )
        staging.commit()


def _write_file(temporary: Path, folder: int | None, node: File) -> None:
    with create(temporary, "xb", folder=folder, permissions=0o600) as stream:
        write_piece(stream, node.content)
        inode_of(stream.fileno()).chmod(node.metadata.mode)
        os.fsync(stream.fileno())
