"""A root file system in a folder of the host: what changed in it is changed there."""

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

# What finds all else is written last, when all else is there.
_LAST = (b"ld.so.cache", b"modules.dep", b"modules.dep.bin")

_MADE_HINT = "check who owns the folder; what was written before stays"
_HINTS = {
    errno.ENOSPC: "free some space, and run it again",
    errno.EDQUOT: "free some of your quota, and run it again",
    errno.EROFS: "mount it so that it can be written, or copy it elsewhere",
    errno.ELOOP: "it became a link meanwhile: see who else is at work there",
    errno.ENOTDIR: "it is no folder any more: see who else is at work there",
}


@frozen(kw_only=True)
class FolderRoot:
    """A root file system that lies unpacked; see :class:`purekernel.tools.roots.opening.Root`."""

    folder: Path
    tree: Tree
    notes: tuple[str, ...]
    is_whole: bool
    mtime: int

    def save(
        self, changed: Tree, output: Path | None = None, *, windows: bool = ON_WINDOWS
    ) -> tuple[str, ...]:
        """Change on the host what differs between the two trees: files, links and folders.

        Each name has what it had or what it is to have, at any time; caches and indexes come after
        what they lead to, and what goes, goes last. Owners and times are those that the host gives.
        Nothing outside of the folder is reached, whoever puts links in the way.

        Args:
            changed: what it shall hold.
            output: must be ``None``.
            windows: whether the host is Windows. Nothing is changed then if it cannot hold what is
                to be written.

        Raises:
            UsageError: there is an ``output``.
            OutputError: something cannot be written.
        """
        if output is not None:
            raise UsageError(
                f"{self.folder} is a folder, and is changed where it is",
                hint="leave out --output, or copy the folder first",
            )
        wanted = [
            (path, node) for path, node in changed.walk() if not _is_same(self.tree.get(path), node)
        ]
        wanted.sort(key=lambda one: _turn(*one))
        if windows:
            check_windows_paths([path for path, _node in wanted], source="what is to be written")
        for path, node in wanted:
            with self._at(path) as (descriptor, place):
                _write(descriptor, place, path, node)
        for path, _node in reversed(list(self.tree.walk())):
            if path not in changed:
                with self._at(path) as (descriptor, place):
                    os.unlink(place if descriptor is None else place.name, dir_fd=descriptor)
        return ()

    @contextmanager
    def _at(self, path: bytes) -> Iterator[tuple[int | None, Path]]:
        """Give the folder that ``path`` is in, and the place of ``path`` itself."""
        place = self.folder / os.fsdecode(path)
        try:
            place = self.folder.joinpath(*host_names(path))
            with folder_below(self.folder, parent(path)) as (descriptor, _place):
                yield descriptor, place
        except OSError as error:
            raise OutputError(
                f"{place} cannot be written: {error.strerror or error}",
                hint=_HINTS.get(error.errno or 0, _MADE_HINT),
            ) from None


def _turn(path: bytes, node: Node) -> tuple[int, int]:
    """Return when a name is written: folders first, from the top down, then links, then files."""
    if isinstance(node, Directory):
        return 0, path.count(b"/")
    if isinstance(node, Symlink):
        return 1, 0
    return (3 if name(path) in _LAST else 2), 0


def _is_same(old: Node | None, new: Node) -> bool:
    """Say whether a name has on the host what it is to have, owners and times aside."""
    if old is new:
        return True
    if isinstance(old, Symlink) and isinstance(new, Symlink):
        return old.target == new.target
    if isinstance(old, File) and isinstance(new, File):
        return old.metadata.mode == new.metadata.mode and old.content == new.content
    return isinstance(old, Directory) and isinstance(new, Directory)


def _write(descriptor: int | None, place: Path, path: bytes, node: Node) -> None:
    def at(name: str) -> Path | str:
        return place.with_name(name) if descriptor is None else name

    if isinstance(node, Directory):
        os.mkdir(at(place.name), dir_fd=descriptor)
        with suppress(OSError), open_readable(at(place.name), folder=descriptor) as inode:
            if stat.S_ISDIR(inode.status.st_mode):
                inode.chmod(node.metadata.mode)
        return
    temporary = at(f".purekernel.{secrets.token_hex(6)}.part")
    try:
        if isinstance(node, Symlink):
            target = host_target(node.target)
            if target is None:
                where = display(node.target)
                raise OutputError(f"{display(path)} leads to {where}, which Windows cannot hold")
            os.symlink(target, temporary, dir_fd=descriptor)
        elif isinstance(node, File):
            _write_file(descriptor, temporary, node)
        else:
            raise OutputError(f"{display(path)} is {describe(node)}, and is not made in a folder")
        with undisturbed():
            os.replace(temporary, at(place.name), src_dir_fd=descriptor, dst_dir_fd=descriptor)
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
