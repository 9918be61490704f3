"""Apply the changes of a tree to an unpacked root file system in a folder of the host."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from purekernel.errors import OutputError, UsageError
from purekernel.host.below import folder_below, host_names, host_target
from purekernel.host.no_follow import open_readable
from purekernel.host.windows_names import ON_WINDOWS, check_windows_paths
from purekernel.interruption import undisturbed
from purekernel.tree import Directory, File, Node, Symlink, Tree, describe, display
from purekernel.tree.path import name, parent

# Indexes are written last, when the files that they list exist.
_LAST = (b"ld.so.cache", b"modules.dep", b"modules.dep.bin")

_DEFAULT_HINT = "check the owner of the folder; files written before the error stay"
_HINTS = {
    errno.ENOSPC: "free some space and run the command again",
    errno.EDQUOT: "free some of your quota and run the command again",
    errno.EROFS: "mount the file system read-write, or copy the folder elsewhere",
    errno.ELOOP: "check which other program writes there: a link has replaced the file",
    errno.ENOTDIR: "check which other program writes there: the folder was replaced",
}


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
            with self._at(path) as (descriptor, host_path):
                _write(descriptor, host_path, path, node)
        for path, _node in reversed(list(self.tree.walk())):
            if path not in changed:
                with self._at(path) as (descriptor, host_path):
                    os.unlink(
                        host_path if descriptor is None else host_path.name, dir_fd=descriptor
                    )
        return ()

    @contextmanager
    def _at(self, path: bytes) -> Iterator[tuple[int | None, Path]]:
        """Open the parent folder of ``path``; yield its descriptor, and ``path`` on the host."""
        host_path = self.folder / os.fsdecode(path)
        try:
            host_path = self.folder.joinpath(*host_names(path))
            with folder_below(self.folder, parent(path)) as (descriptor, _folder):
                yield descriptor, host_path
        except OSError as error:
            raise OutputError(
                f"{host_path} cannot be written: {error.strerror or error}",
                hint=_HINTS.get(error.errno or 0, _DEFAULT_HINT),
            ) from None


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


def _write(descriptor: int | None, host_path: Path, path: bytes, node: Node) -> None:
    def at(name: str) -> Path | str:
        return host_path.with_name(name) if descriptor is None else name

    if isinstance(node, Directory):
        os.mkdir(at(host_path.name), dir_fd=descriptor)
        with suppress(OSError), open_readable(at(host_path.name), folder=descriptor) as inode:
            if stat.S_ISDIR(inode.status.st_mode):
                inode.chmod(node.metadata.mode)
        return
    temporary = at(f".purekernel.{secrets.token_hex(6)}.part")
    try:
        if isinstance(node, Symlink):
            target = host_target(node.target)
            if target is None:
                raise OutputError(
                    f"{display(path)} links to {display(node.target)}, which is invalid on Windows"
                )
            os.symlink(target, temporary, dir_fd=descriptor)
        elif isinstance(node, File):
            _write_file(descriptor, temporary, node)
        else:
            raise OutputError(
                f"{display(path)} is {describe(node)}, which cannot be created in a folder"
            )
        with undisturbed():
            os.replace(temporary, at(host_path.name), src_dir_fd=descriptor, dst_dir_fd=descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=descriptor)
        raise


def _write_file(descriptor: int | None, temporary: Path | str, node: File) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=descriptor), "wb") as stream:
        stream.write(node.content)
        stream.flush()
        if hasattr(os, "fchmod"):
            os.fchmod(stream.fileno(), node.metadata.mode)
        os.fsync(stream.fileno())
