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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from purekernel.errors import InputError, OutputError
from purekernel.host.below import folder_below, host_names, host_target, open_top
from purekernel.host.hints import reason, writing
from purekernel.host.no_follow import (
    SETS_TIMES_OF_DESCRIPTORS,
    HostInode,
    inode_at,
    inode_of,
    is_link,
    refuse_link,
)
from purekernel.host.similar_names import similar_names
from purekernel.host.staging import Staging, create, delete, remove, write_piece
from purekernel.host.windows_names import ON_WINDOWS, check_windows_paths
from purekernel.records import frozen
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
from purekernel.tree.path import ancestors, join, parent

# Only root sets these bits: other users would give away their own permissions.
_ONLY_ROOT_S = stat.S_ISUID | stat.S_ISGID

_ELSEWHERE = "choose another folder with -d"
_INSTEAD = {errno.EEXIST: "add -f to replace existing files"}

# The errors for a mode that the system cannot change without following a link.
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP)

# The errors for a kind of file, a link or an owner that the user may not create or set, or that the
# file system cannot store. Windows reports a missing privilege as EINVAL, and a container an owner
# that it does not map.
_REFUSED = (*_UNSUPPORTED, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL, errno.EOVERFLOW)

# More hard links than the file system stores are refused as well.
_LINK_REFUSED = (*_REFUSED, errno.EMLINK, errno.EXDEV)

_NAMES = "names that the file system takes for others"
_HINTS = {
    "symbolic links": "all else is unpacked; choose a file system that has symbolic links with -d; "
    "on Windows, turn on developer mode",
    _NAMES: "all else is unpacked; choose a folder that distinguishes such names with -d, or "
    "unpack these paths one at a time",
}
_HINT = "all else is unpacked; choose another file system with -d, or run as a user who may do this"


@frozen(kw_only=True)
class Unpacked:
    """What was unpacked.

    Attributes:
        names: how many files, folders and links were created.
        notes: one line for each kind of thing that is skipped for every user like this one.
        errors: an error for each kind of thing that the host refused; all else is unpacked.
    """

    names: int
    notes: tuple[str, ...]
    errors: tuple[OutputError, ...]


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
) -> Unpacked:
    """Unpack ``tree`` into ``folder``.

    For a user other than root, the unpacked files belong to that user, setuid and setgid are
    not set, and devices are skipped. With ``replace``, existing files are replaced one by one,
    and existing folders are kept. Each file is written atomically.

    What the user may not create or set is left out, and the rest is unpacked. Of names that the
    file system takes for one, the first is unpacked.

    Args:
        tree: the tree to unpack.
        folder: the destination. It is created; without ``replace`` it must not exist. An
            existing folder may be a link.
        replace: whether ``folder`` may exist.
        xattrs: whether to set extended attributes.
        windows: whether the host is Windows. If a name is invalid there, nothing is written;
            links with invalid targets are skipped.

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
        self._xattrs = xattrs
        self._is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        self._notes: dict[str, int] = {}
        # For each kind of thing that the host refused: how many, and the first of them.
        self._refused: dict[str, tuple[int, str]] = {}
        self._left_out: set[bytes] = set()
        self._names = 0
        self._firsts: dict[int, bytes] = {}
        self._windows = windows
        # The top folder is opened once, because its path may be replaced by a link later.
        self._opened: int | None = None

    def unpack(self) -> Unpacked:
        if self._windows:
            paths = (path for path, _node in self._tree.walk())
            check_windows_paths(paths, source="the image")
        try:
            return self._unpack()
        finally:
            if self._opened is not None:
                os.close(self._opened)

    def _unpack(self) -> Unpacked:
        self._guard(self._make_top)
        folders = []
        for path, node in self._tree.walk():
            if not isinstance(node, Directory):
                continue
            if path != ROOT and (parent(path) in self._left_out or path in self._left_out):
                self._left_out.add(path)
                continue
            folders.append(path)
            self._guard(self._fill, path)
        # Set the metadata of folders last, from the bottom up: writing into a folder changes its
        # time, and its mode may forbid writing.
        for path in reversed(folders):
            self._guard(self._finish, path)
        return Unpacked(
            names=self._names,
            notes=tuple(f"{note}: {count}" for note, count in self._notes.items()),
            errors=tuple(self._errors()),
        )

    def _errors(self) -> Iterator[OutputError]:
        for what, (count, example) in self._refused.items():
            verb = "set" if what in ("owners", "modes", "times") else "created"
            yield OutputError(
                f"{self._top}: {what} are not {verb}: {count}, such as {example}",
                hint=_HINTS.get(what, _HINT),
                file=self._top,
            )

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
        names = list(self._tree.entries(path))
        similar = similar_names(names)
        created: list[tuple[bytes, os.stat_result]] = []
        with folder_below(self._top, path, opened=self._opened) as folder, Staging() as staging:
            for name in names:
                (host_name,) = host_names(name)
                host_path, descriptor = folder.at(host_name), folder.descriptor
                try:
                    if name in similar and (other := _same(created, host_path, descriptor)):
                        self._leave_out(join(path, name), join(path, other))
                        continue
                    if not self._create(join(path, name), host_path, descriptor, staging):
                        continue
                    self._names += 1
                    if name in similar:
                        created.append((name, _status(host_path, descriptor)))
                except OSError as error:
                    error.filename = host_name  # not that of a temporary file
                    raise

    def _leave_out(self, path: bytes, other: bytes) -> None:
        """Leave out a name that the file system takes for ``other``, and all below it."""
        self._left_out.add(path)
        for below, _node in self._tree.walk(path):
            self._refuse(_NAMES, f"{display(below)}, which is {display(other)}")

    def _create(self, path: bytes, host_path: Path, folder: int | None, staging: Staging) -> bool:
        """Create the node at ``path``; return ``False`` if it is skipped."""
        node = self._tree[path]
        if isinstance(node, Directory):
            self._make_folder(host_path, folder)
            return True
        first = self._firsts.setdefault(self._tree.inode(path), path)
        if first != path and self._link(first, host_path, folder):
            return True
        if self._replace:
            is_made = self._make(path, node, staging.add(host_path, folder=folder), folder)
            if is_made:
                staging.commit()
            else:
                staging.discard()
        else:
            try:
                is_made = self._make(path, node, host_path, folder)
            except FileExistsError:
                raise
            except BaseException:
                remove(host_path, folder=folder)
                raise
        if not is_made:
            self._firsts.pop(self._tree.inode(path), None)
        return is_made

    def _make_folder(self, host_path: Path, folder: int | None) -> None:
        try:
            os.mkdir(host_path, 0o700, dir_fd=folder)
        except FileExistsError:
            status = os.stat(host_path, dir_fd=folder, follow_symlinks=False)
            if not self._replace or not stat.S_ISDIR(status.st_mode):
                raise

    def _make(self, path: bytes, node: Node, host_path: Path, folder: int | None) -> bool:
        """Create a node that is not a folder; return ``False`` if it is skipped."""
        what = "symbolic links" if isinstance(node, Symlink) else "devices, fifos and sockets"
        if isinstance(node, File):
            with create(host_path, "xb", folder=folder, permissions=0o600) as stream:
                write_piece(stream, node.content)
                if SETS_TIMES_OF_DESCRIPTORS:
                    self._set_metadata(path, node.metadata, inode_of(stream.fileno()))
                    return True
        else:
            make = self._maker(node, host_path, folder)
            if make is None or not self._permitted(what, path, make):
                return False
        try:
            with inode_at(host_path, folder=folder) as inode:
                if not _is_as_created(inode.status, node):
                    raise OSError(errno.ESTALE, "it was replaced while it was created")
                self._set_metadata(path, node.metadata, inode)
        except FileNotFoundError:
            if isinstance(node, File):
                raise
            # Wine reports success, and creates no link.
            self._refuse(what, f"{display(path)} (it was not created)")
            return False
        return True

    def _maker(self, node: Node, host_path: Path, folder: int | None) -> Callable[[], None] | None:
        """Return what creates a link or special file; ``None`` if it is skipped."""
        if isinstance(node, Symlink):
            target = host_target(node.target, windows=self._windows)
            if target is not None:
                return partial(os.symlink, target, host_path, dir_fd=folder)
            self._note("symbolic links with targets that are invalid on Windows are skipped")
        elif isinstance(node, Device) and not self._is_root:
            self._note("devices are skipped: only root may create them")
        elif not hasattr(os, "mknod"):
            self._note(f"{describe(node)} is skipped: this system does not support it")
        else:
            number = os.makedev(node.major, node.minor) if isinstance(node, Device) else 0
            return partial(os.mknod, host_path, file_type(node) | 0o600, number, dir_fd=folder)
        return None

    def _permitted(self, what: str, path: bytes, change: Callable[[], None]) -> bool:
        """Make a change; return ``False`` if the host refuses it, which is reported at the end."""
        try:
            change()
        except NotImplementedError:
            self._refuse(what, f"{display(path)} (not supported)")
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            self._refuse(what, f"{display(path)} ({reason(error)})")
        else:
            return True
        return False

    def _refuse(self, what: str, example: str) -> None:
        count, first = self._refused.get(what, (0, example))
        self._refused[what] = count + 1, first

    def _link(self, first: bytes, host_path: Path, folder: int | None) -> bool:
        """Make a hard link to ``first``; return ``False`` if the file system has none."""
        above, _slash, name = first.rpartition(b"/")
        (host_name,) = host_names(name)
        with folder_below(self._top, above, opened=self._opened) as other:
            if self._replace:
                delete(host_path, folder=folder)
            try:
                os.link(
                    other.at(host_name),
                    host_path,
                    src_dir_fd=other.descriptor,
                    dst_dir_fd=folder,
                    # Windows links to the link itself, and does not take the argument.
                    follow_symlinks=os.link not in os.supports_follow_symlinks,
                )
            except (OSError, NotImplementedError) as error:
                if isinstance(error, OSError) and error.errno not in _LINK_REFUSED:
                    raise
                self._note("hard links are separate files: this file system refuses them")
                return False
        return True

    def _finish(self, path: bytes) -> None:
        node = self._tree[path]
        with folder_below(self._top, path, opened=self._opened) as folder:
            if folder.descriptor is not None:
                self._set_metadata(path, node.metadata, inode_of(folder.descriptor))
                return
            with inode_at(folder.path) as inode:
                if path != ROOT:
                    refuse_link(inode.status)
                self._set_metadata(path, node.metadata, inode)

    def _set_metadata(self, path: bytes, metadata: Metadata, inode: HostInode) -> None:
        """Set owner, attributes, mode and time, in this order.

        A change of owner clears the setuid bit, and the mode may forbid setting attributes.
        """
        mode = metadata.mode
        if not self._is_root:
            self._check_owner(metadata)
            mode &= ~_ONLY_ROOT_S
        elif not self._permitted("owners", path, lambda: inode.chown(metadata.uid, metadata.gid)):
            mode &= ~_ONLY_ROOT_S  # the file would run as another user
        self._set_xattrs(metadata, inode)
        if not is_link(inode.status):
            self._permitted("modes", path, lambda: self._set_mode(mode, inode))
        mtime_ns = metadata.mtime * 10**9
        self._permitted("times", path, lambda: inode.set_times((mtime_ns, mtime_ns)))

    def _set_mode(self, mode: int, inode: HostInode) -> None:
        try:
            inode.chmod(mode)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self._note("modes are not set: this system cannot set them without following links")

    def _check_owner(self, metadata: Metadata) -> None:
        if hasattr(os, "geteuid") and metadata.uid != os.geteuid():
            self._note("owners are not set: the files belong to you")
        if metadata.mode & _ONLY_ROOT_S:
            self._note("setuid and setgid are not set")

    def _set_xattrs(self, metadata: Metadata, inode: HostInode) -> None:
        if not self._xattrs or not metadata.xattrs:
            return
        if not hasattr(os, "setxattr"):
            self._note("extended attributes are not set: Python cannot set them on this system")
            return
        for name, value in metadata.xattrs:
            try:
                inode.set_xattr(name, value)
            except OSError as error:
                self._note(f"the extended attribute {display(name)} is not set ({reason(error)})")

    def _note(self, note: str) -> None:
        self._notes[note] = self._notes.get(note, 0) + 1


def _status(host_path: Path, folder: int | None) -> os.stat_result:
    return os.stat(host_path, dir_fd=folder, follow_symlinks=False)


def _same(
    created: list[tuple[bytes, os.stat_result]], host_path: Path, folder: int | None
) -> bytes | None:
    """Return the name of the created file that the file system finds at ``host_path``, if any."""
    try:
        found = _status(host_path, folder)
    except OSError:
        return None
    return next((name for name, made in created if os.path.samestat(made, found)), None)


def _is_as_created(status: os.stat_result, node: Node) -> bool:
    """Return whether a status matches the file that was just created for ``node``.

    Another user may have replaced the file. A new file has exactly one link, and a replacement
    of the same kind gives that user nothing that they could not have anyway.
    """
    if stat.S_IFMT(status.st_mode) != file_type(node) or status.st_nlink > 1:
        return False
    return not isinstance(node, Device) or status.st_rdev == os.makedev(node.major, node.minor)
