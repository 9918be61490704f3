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
from purekernel.host.below import folder_below, host_names, host_target, open_top
from purekernel.host.no_follow import Inode, found, is_link, opened
from purekernel.host.windows_names import ON_WINDOWS, check_windows_paths
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
    errno.ESTALE: "see who else may write there, or choose another folder with -d",
}
_HINT = "choose a folder that you may write to with -d"


# What the system says of a mode that it cannot change without following a link.
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP)


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
    tree: Tree,
    folder: Path,
    *,
    replace: bool = False,
    xattrs: bool = True,
    windows: bool = ON_WINDOWS,
) -> list[str]:
    """Put what is in ``tree`` into ``folder``; return what could not be done, one line each.

    An ordinary user owns what he unpacks, without setuid and setgid, and makes no devices. With
    ``replace``, what stands in ``folder`` is replaced name by name; folders stay, and are gone on
    with. Each file is there whole or not at all.

    Args:
        tree: what is unpacked.
        folder: where to; it is made, and must not be there without ``replace``. If it was there, it
            may be a link.
        replace: whether it may be there.
        xattrs: whether extended attributes are set.
        windows: whether the host is Windows. Nothing is written then if it cannot hold all names,
            and links whose target it cannot hold are left out.

    Raises:
        OutputError: something cannot be written.
    """
    return _Unpacker(tree, folder, replace=replace, xattrs=xattrs, windows=windows).unpack()


class _Unpacker:
    def __init__(
        self,
        tree: Tree,
        folder: Path,
        *,
        replace: bool,
        xattrs: bool,
        windows: bool = ON_WINDOWS,
    ) -> None:
        self._tree = tree
        self._top = folder
        self._replace = replace
        self._xattrs = xattrs and hasattr(os, "setxattr")
        self._is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        self._notes: dict[str, int] = {}
        self._firsts: dict[int, bytes] = {}
        self._windows = windows
        # It is opened once: its name may lead elsewhere later.
        self._opened: int | None = None

    def unpack(self) -> list[str]:
        if self._windows:
            paths = (path for path, _node in self._tree.walk())
            check_windows_paths(paths, source="the image")
        try:
            return self._unpack()
        finally:
            if self._opened is not None:
                os.close(self._opened)

    def _unpack(self) -> list[str]:
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
                place = top.joinpath(os.fsdecode(arguments[0]), os.fsdecode(name))
            raise OutputError(
                f"{place} cannot be written: {error.strerror or error}",
                hint=_HINTS.get(error.errno or 0, _HINT),
            ) from None

    def _make_top(self) -> None:
        self._top.parent.mkdir(parents=True, exist_ok=True)
        is_new = True
        try:
            self._top.mkdir(mode=0o700)
        except FileExistsError:
            if not self._replace:
                raise
            is_new = False
        self._opened = open_top(self._top, follow=not is_new)

    def _fill(self, folder: bytes) -> None:
        """Put into a folder that is there all that it holds; folders in it are empty yet."""
        with folder_below(self._top, folder, opened=self._opened) as (descriptor, place):
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
                self._dress(node.metadata, opened(made))
            return True
        if isinstance(node, Symlink):
            target = host_target(node.target, windows=self._windows)
            if target is None:
                self._note("symbolic links to names that Windows cannot hold are not made")
                self._firsts.pop(self._tree.inode(path), None)
                return False
            os.symlink(target, where, dir_fd=descriptor)
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
        with found(where, folder=descriptor) as inode:
            if not _is_made(inode.status, node):
                raise OSError(errno.ESTALE, "it was replaced while it was made")
            self._dress(node.metadata, inode)
        return True

    def _link(self, first: bytes, where: str, descriptor: int | None) -> None:
        above, _slash, name = first.rpartition(b"/")
        (host_name,) = host_names(name)
        with folder_below(self._top, above, opened=self._opened) as (other, place):
            source = str(place / host_name) if other is None else host_name
            if self._replace:
                with suppress(FileNotFoundError):
                    os.unlink(where, dir_fd=descriptor)
            os.link(source, where, src_dir_fd=other, dst_dir_fd=descriptor, follow_symlinks=False)

    def _finish(self, folder: bytes) -> None:
        node = self._tree[folder]
        with folder_below(self._top, folder, opened=self._opened) as (descriptor, place):
            if descriptor is not None:
                self._dress(node.metadata, opened(descriptor))
                return
            with found(place) as inode:
                if is_link(inode.status) and folder != ROOT:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                self._dress(node.metadata, inode)

    def _dress(self, metadata: Metadata, inode: Inode) -> None:
        """Set owner, attributes, mode and time, in this order.

        Another owner takes the setuid bit away, and a mode the right to set attributes.
        """
        if self._is_root:
            inode.chown(metadata.uid, metadata.gid)
        else:
            self._check_owner(metadata)
        self._set_xattrs(metadata, inode)
        if not is_link(inode.status):
            try:
                inode.chmod(self._mode(metadata))
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                self._note("modes are not set, which this system cannot do safely here")
        inode.set_times(metadata.mtime)

    def _mode(self, metadata: Metadata) -> int:
        return metadata.mode if self._is_root else metadata.mode & ~_ONLY_ROOT_S

    def _check_owner(self, metadata: Metadata) -> None:
        if hasattr(os, "geteuid") and metadata.uid != os.geteuid():
            self._note("files belong to others in the image, and here to you")
        if metadata.mode & _ONLY_ROOT_S:
            self._note("setuid and setgid are left out")

    def _set_xattrs(self, metadata: Metadata, inode: Inode) -> None:
        if not self._xattrs:
            return
        for name, value in metadata.xattrs:
            try:
                inode.set_xattr(name, value)
            except OSError as error:
                self._note(
                    f"the extended attribute {display(name)} is not set ({error.strerror or error})"
                )

    def _note(self, what: str) -> None:
        self._notes[what] = self._notes.get(what, 0) + 1


def _is_made(status: os.stat_result, node: Node) -> bool:
    """Say whether a status is that of what was made of ``node`` just now, and not of another file.

    Another user may have put something in its place, but no new file has a second name, and what is
    of the same kind is nothing that he could not have had anyway.
    """
    if stat.S_IFMT(status.st_mode) != file_type(node) or status.st_nlink > 1:
        return False
    return not isinstance(node, Device) or status.st_rdev == os.makedev(node.major, node.minor)
