"""Unpack a tree into a folder of the host: what ``unsquashfs`` does.

Names are reached through the folders that were opened before, and no link is followed, so that
nothing outside of the folder is written, whatever the tree holds and whoever puts links in the way.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from purekernel.errors import InputError, OutputError
from purekernel.sources.below import folder_below, host_names
from purekernel.tree import (
    ROOT,
    Device,
    Directory,
    File,
    Metadata,
    Node,
    Symlink,
    Tree,
    describe,
    display,
    file_type,
)
from purekernel.tree.path import ancestors, join

# Whoever is no root gives nobody else rights by what he unpacks.
_ONLY_ROOT_S = stat.S_ISUID | stat.S_ISGID

_HINTS = {
    errno.EEXIST: "add -f to replace what is there",
    errno.ENOSPC: "free some space, and run it again with -f",
    errno.EDQUOT: "free some of your quota, and run it again with -f",
    errno.ELOOP: "a link stands in the way: take it away, or choose another folder with -d",
    errno.ENOTDIR: "no folder is where one must be: choose another folder with -d",
}
_HINT = "choose a folder that you may write to with -d"


def select(tree: Tree, patterns: Sequence[bytes], *, source: str) -> Tree:
    """Return what of ``tree`` is at ``patterns`` and below, with the folders above.

    Args:
        tree: what there is.
        patterns: paths, in each part of which ``*``, ``?`` and ``[...]`` may stand; none: all.
        source: its name, for messages.

    Raises:
        InputError: nothing is at one of them.
    """
    if not patterns:
        return tree
    kept: set[bytes] = {ROOT}
    for pattern in patterns:
        parts = pattern.strip(b"/").split(b"/")
        found = [path for path, _node in tree.walk() if _matches(path, parts)]
        if not found:
            raise InputError(
                f"{source} holds no {display(pattern)}", hint="see what it holds with -l"
            )
        for path in found:
            kept.update(ancestors(path))
            kept.update(below for below, _node in tree.walk(path))
    chosen = tree.copy()
    for path, _node in tree.walk():
        if path not in kept and path in chosen:
            chosen.remove(path)
    return chosen


def _matches(path: bytes, parts: Sequence[bytes]) -> bool:
    names = path.split(b"/")
    return len(names) == len(parts) and all(map(fnmatch.fnmatchcase, names, parts))


def unpack_tree(
    tree: Tree, folder: Path, *, replace: bool = False, xattrs: bool = True
) -> list[str]:
    """Put what is in ``tree`` into ``folder``; return what could not be done, one line each.

    An ordinary user owns what he unpacks, without setuid and setgid, and makes no devices. With
    ``replace``, what stands in ``folder`` is replaced name by name; folders stay, and are gone on
    with. Each file is there whole or not at all.

    Args:
        tree: what is unpacked.
        folder: where to; it is made, and must not be there without ``replace``.
        replace: whether it may be there.
        xattrs: whether extended attributes are set.

    Raises:
        OutputError: something cannot be written.
    """
    return _Unpacker(tree, folder, replace=replace, xattrs=xattrs).unpack()


class _Unpacker:
    def __init__(self, tree: Tree, folder: Path, *, replace: bool, xattrs: bool) -> None:
        self._tree = tree
        self._top = folder
        self._replace = replace
        self._xattrs = xattrs and hasattr(os, "setxattr")
        self._is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        self._notes: dict[str, int] = {}
        self._firsts: dict[int, bytes] = {}

    def unpack(self) -> list[str]:
        self._guard(self._top, self._make_top)
        folders = [path for path, node in self._tree.walk() if isinstance(node, Directory)]
        for path in folders:
            self._guard(self._top, self._fill, path)
        # Last, and from the bottom up: what is put into a folder gives it another time, and a
        # folder may be one that nothing may be put into.
        for path in reversed(folders):
            self._guard(self._top, self._finish, path)
        return [f"{what}: {count}" for what, count in self._notes.items()]

    def _guard(self, top: Path, do: Callable[..., None], *arguments: bytes) -> None:
        try:
            do(*arguments)
        except OSError as error:
            place = top
            if arguments:
                name = error.filename if isinstance(error.filename, str | bytes) else ""
                place = top.joinpath(*host_names(arguments[0]), os.fsdecode(name))
            raise OutputError(
                f"{place} cannot be written: {error.strerror or error}",
                hint=_HINTS.get(error.errno or 0, _HINT),
            ) from None

    def _make_top(self) -> None:
        self._top.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._top.mkdir(mode=0o700)
        except FileExistsError:
            if not self._replace:
                raise

    def _fill(self, folder: bytes) -> None:
        """Put into a folder that is there all that it holds; folders in it are empty yet."""
        with folder_below(self._top, folder) as (descriptor, place):
            for name in self._tree.entries(folder):
                path = join(folder, name)
                (host_name,) = host_names(name)
                node = self._tree[path]
                where = str(place / host_name) if descriptor is None else host_name
                if isinstance(node, Directory):
                    self._make_folder(where, descriptor)
                    continue
                first = self._firsts.setdefault(self._tree.inode(path), path)
                if first != path:
                    self._link(first, where, descriptor)
                else:
                    self._make(path, node, where, descriptor)

    def _make_folder(self, where: str, descriptor: int | None) -> None:
        try:
            os.mkdir(where, 0o700, dir_fd=descriptor)
        except FileExistsError:
            status = os.stat(where, dir_fd=descriptor, follow_symlinks=False)
            if not self._replace or not stat.S_ISDIR(status.st_mode):
                raise

    def _make(self, path: bytes, node: Node, where: str, descriptor: int | None) -> None:
        """Make what is no folder, under a name of its own where another might be taken."""
        target = where
        if self._replace:
            target = str(Path(where).with_name(f".purekernel.{secrets.token_hex(6)}.part"))
        try:
            if not self._make_at(path, node, target, descriptor):
                return
            if target != where:
                os.replace(target, where, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        except BaseException as error:
            if not isinstance(error, FileExistsError):
                with suppress(OSError):
                    os.unlink(target, dir_fd=descriptor)
            if isinstance(error, OSError):
                error.filename = where
            raise

    def _make_at(self, path: bytes, node: Node, where: str, descriptor: int | None) -> bool:
        if isinstance(node, File):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            made = os.open(where, flags | getattr(os, "O_NOFOLLOW", 0), 0o600, dir_fd=descriptor)
            with os.fdopen(made, "wb", buffering=0) as stream:
                content = memoryview(node.content)
                while content:
                    content = content[stream.write(content) :]
                self._dress_open(node.metadata, made)
            return True
        if isinstance(node, Symlink):
            os.symlink(os.fsdecode(node.target), where, dir_fd=descriptor)
        elif isinstance(node, Device) and not self._is_root:
            self._note("devices are not made, which only root may")
            self._firsts.pop(self._tree.inode(path), None)
            return False
        elif not hasattr(os, "mknod"):
            self._note(f"{describe(node)} is nothing that this system has")
            self._firsts.pop(self._tree.inode(path), None)
            return False
        else:
            number = os.makedev(node.major, node.minor) if isinstance(node, Device) else 0
            os.mknod(where, file_type(node) | 0o600, number, dir_fd=descriptor)
        self._dress(node, where, descriptor)
        return True

    def _link(self, first: bytes, where: str, descriptor: int | None) -> None:
        above, _slash, name = first.rpartition(b"/")
        (host_name,) = host_names(name)
        with folder_below(self._top, above) as (other, place):
            source = str(place / host_name) if other is None else host_name
            if self._replace:
                with suppress(FileNotFoundError):
                    os.unlink(where, dir_fd=descriptor)
            os.link(source, where, src_dir_fd=other, dst_dir_fd=descriptor, follow_symlinks=False)

    def _finish(self, folder: bytes) -> None:
        node = self._tree[folder]
        with folder_below(self._top, folder) as (descriptor, place):
            self._dress_open(node.metadata, place if descriptor is None else descriptor)

    def _dress_open(self, metadata: Metadata, here: int | Path) -> None:
        """Give an open file or folder its owner, attributes, mode and time, in this order.

        Another owner takes the setuid bit away, and a mode the right to set attributes.
        """
        if self._is_root:
            os.chown(here, metadata.uid, metadata.gid)
        else:
            self._check_owner(metadata)
        self._set_xattrs(metadata, here)
        if isinstance(here, Path):
            here.chmod(self._mode(metadata))
        elif hasattr(os, "fchmod"):
            os.fchmod(here, self._mode(metadata))
        if isinstance(here, Path) or os.utime in os.supports_fd:
            os.utime(here, (metadata.mtime, metadata.mtime))

    def _dress(self, node: Node, where: str, descriptor: int | None) -> None:
        """Give the same to what cannot be opened."""
        metadata = node.metadata
        if self._is_root:
            os.chown(where, metadata.uid, metadata.gid, dir_fd=descriptor, follow_symlinks=False)
        else:
            self._check_owner(metadata)
        if metadata.xattrs:
            place = where if descriptor is None else f"/proc/self/fd/{descriptor}/{where}"
            self._set_xattrs(metadata, place)
        if not isinstance(node, Symlink):
            os.chmod(where, self._mode(metadata), dir_fd=descriptor)
        if os.utime in os.supports_follow_symlinks:
            times = (metadata.mtime, metadata.mtime)
            os.utime(where, times, dir_fd=descriptor, follow_symlinks=False)

    def _mode(self, metadata: Metadata) -> int:
        return metadata.mode if self._is_root else metadata.mode & ~_ONLY_ROOT_S

    def _check_owner(self, metadata: Metadata) -> None:
        if hasattr(os, "geteuid") and metadata.uid != os.geteuid():
            self._note("files belong to others in the image, and here to you")
        if metadata.mode & _ONLY_ROOT_S:
            self._note("setuid and setgid are left out")

    def _set_xattrs(self, metadata: Metadata, place: int | str | Path) -> None:
        if not self._xattrs:
            return
        for name, value in metadata.xattrs:
            try:
                if isinstance(place, int):
                    os.setxattr(place, name, value)
                else:
                    os.setxattr(place, name, value, follow_symlinks=False)
            except OSError as error:
                self._note(
                    f"the extended attribute {display(name)} is not set ({error.strerror or error})"
                )

    def _note(self, what: str) -> None:
        self._notes[what] = self._notes.get(what, 0) + 1
