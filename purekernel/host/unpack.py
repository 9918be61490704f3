"""Unpack a tree into a folder of the host, as ``unsquashfs`` does.

Names are opened relative to the descriptors of their parent folders, and no link is followed. So
nothing outside of the folder is written, whatever the tree contains, and even if another user
places links in the folder.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from purekernel.errors import InputError
from purekernel.host.below import folder_below, host_names, host_target, open_top
from purekernel.host.hints import reason, writing
from purekernel.host.no_follow import HostInode, inode_at, inode_of, is_link, refuse_link
from purekernel.host.staging import Staging, create, remove, write_piece
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

# Only root sets these bits: other users would give away their own permissions.
_ONLY_ROOT_S = stat.S_ISUID | stat.S_ISGID

_ELSEWHERE = "choose another folder with -d"
_INSTEAD = {errno.EEXIST: "add -f to replace existing files"}

# The errors for a mode that the system cannot change without following a link.
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP)


def select(tree: Tree, patterns: Sequence[bytes], *, source: str) -> Tree:
    """Return the nodes of ``tree`` that match ``patterns``, with their parents and contents.

    Args:
        tree: the tree to select from.
        patterns: paths whose components may contain ``*``, ``?`` and ``[...]``; an empty
            sequence selects the whole tree.
        source: the name of the tree, for messages.

    Raises:
        InputError: a pattern matches nothing.
    """
    if not patterns:
        return tree
    kept: set[bytes] = {ROOT}
    for pattern in patterns:
        parts = pattern.strip(b"/").split(b"/")
        matches = [path for path, _node in tree.walk() if _matches(path, parts)]
        if not matches:
            raise InputError(
                f"{source} contains no {display(pattern)}", hint="list its contents with -l"
            )
        for path in matches:
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
    """Unpack ``tree`` into ``folder``.

    For a user other than root, the unpacked files belong to that user, setuid and setgid are
    not set, and devices are skipped. With ``replace``, existing files are replaced one by one,
    and existing folders are kept. Each file is written atomically.

    Args:
        tree: the tree to unpack.
        folder: the destination. It is created; without ``replace`` it must not exist. An
            existing folder may be a link.
        replace: whether ``folder`` may exist.
        xattrs: whether to set extended attributes.
        windows: whether the host is Windows. If a name is invalid there, nothing is written;
            links with invalid targets are skipped.

    Returns:
        One line for each kind of thing that was skipped.

    Raises:
        OutputError: a file or folder cannot be written.
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
        # The top folder is opened once, because its path may be replaced by a link later.
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
        self._guard(self._make_top)
        folders = [path for path, node in self._tree.walk() if isinstance(node, Directory)]
        for path in folders:
            self._guard(self._fill, path)
        # Set the metadata of folders last, from the bottom up: writing into a folder changes its
        # time, and its mode may forbid writing.
        for path in reversed(folders):
            self._guard(self._finish, path)
        return [f"{note}: {count}" for note, count in self._notes.items()]

    def _guard(self, step: Callable[..., None], *arguments: bytes) -> None:
        path = self._top
        try:
            step(*arguments)
        except OSError as error:
            if arguments:
                name = error.filename if isinstance(error.filename, str | bytes) else ""
                path = path.joinpath(os.fsdecode(arguments[0]), os.fsdecode(name))
            with writing(path, elsewhere=_ELSEWHERE, instead=_INSTEAD):
                raise

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

    def _fill(self, path: bytes) -> None:
        """Create the entries of the existing folder at ``path``; subfolders are still empty."""
        with folder_below(self._top, path, opened=self._opened) as folder:
            for name in self._tree.entries(path):
                (host_name,) = host_names(name)
                try:
                    self._create(join(path, name), folder.at(host_name), folder.descriptor)
                except OSError as error:
                    error.filename = host_name  # not that of a temporary file
                    raise

    def _create(self, path: bytes, host_path: Path, folder: int | None) -> None:
        node = self._tree[path]
        if isinstance(node, Directory):
            self._make_folder(host_path, folder)
            return
        first = self._firsts.setdefault(self._tree.inode(path), path)
        if first != path:
            self._link(first, host_path, folder)
        elif self._replace:
            with Staging() as staging:
                if self._make(path, node, staging.add(host_path, folder=folder), folder):
                    staging.commit()
        else:
            try:
                self._make(path, node, host_path, folder)
            except FileExistsError:
                raise
            except BaseException:
                remove(host_path, folder=folder)
                raise

    def _make_folder(self, host_path: Path, folder: int | None) -> None:
        try:
            os.mkdir(host_path, 0o700, dir_fd=folder)
        except FileExistsError:
            status = os.stat(host_path, dir_fd=folder, follow_symlinks=False)
            if not self._replace or not stat.S_ISDIR(status.st_mode):
                raise

    def _make(self, path: bytes, node: Node, host_path: Path, folder: int | None) -> bool:
        """Create a node that is not a folder; return ``False`` if it is skipped."""
        if isinstance(node, File):
            with create(host_path, "xb", folder=folder, permissions=0o600) as stream:
                write_piece(stream, node.content)
                self._set_metadata(node.metadata, inode_of(stream.fileno()))
            return True
        if isinstance(node, Symlink):
            target = host_target(node.target, windows=self._windows)
            if target is None:
                self._note("symbolic links with targets that are invalid on Windows are skipped")
                self._firsts.pop(self._tree.inode(path), None)
                return False
            os.symlink(target, host_path, dir_fd=folder)
        elif isinstance(node, Device) and not self._is_root:
            self._note("devices are skipped: only root may create them")
            self._firsts.pop(self._tree.inode(path), None)
            return False
        elif not hasattr(os, "mknod"):
            self._note(f"{describe(node)} is skipped: this system does not support it")
            self._firsts.pop(self._tree.inode(path), None)
            return False
        else:
            number = os.makedev(node.major, node.minor) if isinstance(node, Device) else 0
            os.mknod(host_path, file_type(node) | 0o600, number, dir_fd=folder)
        with inode_at(host_path, folder=folder) as inode:
            if not _is_as_created(inode.status, node):
                raise OSError(errno.ESTALE, "it was replaced while it was created")
            self._set_metadata(node.metadata, inode)
        return True

    def _link(self, first: bytes, host_path: Path, folder: int | None) -> None:
        above, _slash, name = first.rpartition(b"/")
        (host_name,) = host_names(name)
        with folder_below(self._top, above, opened=self._opened) as other:
            if self._replace:
                with suppress(FileNotFoundError):
                    os.unlink(host_path, dir_fd=folder)
            os.link(
                other.at(host_name),
                host_path,
                src_dir_fd=other.descriptor,
                dst_dir_fd=folder,
                follow_symlinks=False,
            )

    def _finish(self, path: bytes) -> None:
        node = self._tree[path]
        with folder_below(self._top, path, opened=self._opened) as folder:
            if folder.descriptor is not None:
                self._set_metadata(node.metadata, inode_of(folder.descriptor))
                return
            with inode_at(folder.path) as inode:
                if path != ROOT:
                    refuse_link(inode.status)
                self._set_metadata(node.metadata, inode)

    def _set_metadata(self, metadata: Metadata, inode: HostInode) -> None:
        """Set owner, attributes, mode and time, in this order.

        A change of owner clears the setuid bit, and the mode may forbid setting attributes.
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
                self._note("modes are not set: this system cannot set them without following links")
        inode.set_times(metadata.mtime)

    def _mode(self, metadata: Metadata) -> int:
        return metadata.mode if self._is_root else metadata.mode & ~_ONLY_ROOT_S

    def _check_owner(self, metadata: Metadata) -> None:
        if hasattr(os, "geteuid") and metadata.uid != os.geteuid():
            self._note("owners are not set: the files belong to you")
        if metadata.mode & _ONLY_ROOT_S:
            self._note("setuid and setgid are not set")

    def _set_xattrs(self, metadata: Metadata, inode: HostInode) -> None:
        if not self._xattrs:
            return
        for name, value in metadata.xattrs:
            try:
                inode.set_xattr(name, value)
            except OSError as error:
                self._note(f"the extended attribute {display(name)} is not set ({reason(error)})")

    def _note(self, note: str) -> None:
        self._notes[note] = self._notes.get(note, 0) + 1


def _is_as_created(status: os.stat_result, node: Node) -> bool:
    """Return whether a status matches the file that was just created for ``node``.

    Another user may have replaced the file. A new file has exactly one link, and a replacement
    of the same kind gives that user nothing that they could not have anyway.
    """
    if stat.S_IFMT(status.st_mode) != file_type(node) or status.st_nlink > 1:
        return False
    return not isinstance(node, Device) or status.st_rdev == os.makedev(node.major, node.minor)
