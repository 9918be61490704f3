"""Read an unpacked root file system from a folder of the host.

Unlike an overlay, such a folder can contain devices and can be larger than memory. All names are
read at once; contents are read on access.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from operator import itemgetter
from pathlib import Path

from purekernel.errors import FormatError, InputError, TreeError
from purekernel.host.below import folder_below, image_name, image_target, open_file_below
from purekernel.host.hints import reason
from purekernel.host.no_follow import DESCRIPTORS
from purekernel.host.read import load_file, open_file, read_to_end, unreadable
from purekernel.host.windows_names import ON_WINDOWS
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    LazyContent,
    Metadata,
    Node,
    Socket,
    Symlink,
    Tree,
    Xattrs,
    display,
    parse_path,
)
from purekernel.tree.path import join

_HAS_XATTRS = hasattr(os, "listxattr")
_XATTR_KINDS = ("user.", "trusted.", "security.")
# The file system does not support attributes, or the attribute was removed meanwhile.
_NO_XATTRS = (errno.ENOTSUP, errno.ENODATA)


@frozen(kw_only=True)
class LoadedRootFolder:
    """A root file system in a folder.

    Attributes:
        tree: the tree of all names that could be read.
        notes: one line for each name that could not be read.
        is_whole: whether all folders were read. If not, a link that seems to be dangling may
            have a target.
    """

    tree: Tree
    notes: tuple[str, ...]
    is_whole: bool


def load_root_folder(
    folder: Path,
    *,
    limits: Limits = DEFAULT_LIMITS,
    xattrs: bool = False,
    is_deep: bool = True,
) -> LoadedRootFolder:
    """Read the root file system in ``folder``.

    Names, owners, modes and times are those of the host, if it has them. Mounted virtual file
    systems such as ``proc`` are not read. Names that cannot be read are noted.

    Args:
        folder: the folder; it may be reached through links, but links below it are not followed.
        limits: limits on the number and depth of names, and on the size of each file.
        xattrs: whether to read extended attributes, if the host supports them. Attributes that
            represent other data, such as access control lists, are not read.
        is_deep: whether to read the folders in ``folder`` too, or only their names.

    Raises:
        InputError: ``folder`` is not a folder, or is unreadable.
        LimitError: the folder exceeds ``limits``.
        TreeError: a name is longer than Linux allows.
    """
    return _RootFolderReader(folder, limits, xattrs=xattrs, is_deep=is_deep).read()


class _RootFolderReader:
    def __init__(self, top: Path, limits: Limits, *, xattrs: bool, is_deep: bool) -> None:
        self._top = top
        self._is_deep = is_deep
        self._xattrs = xattrs and _HAS_XATTRS
        self._limits = limits
        # The name and the limits of the folder; it has no data of its own.
        self._input = Input(b"", name=str(top), limits=limits)
        self._notes: list[str] = []
        self._firsts: dict[tuple[int, int], bytes] = {}
        self._is_whole = True

    def read(self) -> LoadedRootFolder:
        try:
            status = self._top.stat()
        except OSError as error:
            raise unreadable(self._top, error) from None
        if not stat.S_ISDIR(status.st_mode):
            raise InputError(f"{self._top} is not a folder", hint="give a folder")
        attributes = _read_xattrs(self._top) if self._xattrs else ()
        tree = Tree(Directory(metadata=_metadata(status, attributes)))
        pending = [(ROOT, status.st_dev)]
        while pending:
            folder, device = pending.pop()
            try:
                entries = self._list(folder)
            except OSError as error:
                if folder == ROOT:
                    raise unreadable(self._top, error) from None
                self._note(folder, error)
                continue
            for name, target, status, attributes in entries:
                path = join(folder, name)
                if not self._add(tree, path, target, status, attributes) or not self._is_deep:
                    continue
                if status.st_dev != device and _is_virtual(status.st_dev):
                    self._is_whole = False
                else:
                    pending.append((path, status.st_dev))
        return LoadedRootFolder(tree=tree, notes=tuple(self._notes), is_whole=self._is_whole)

    def _list(self, folder: bytes) -> list[tuple[bytes, bytes | None, os.stat_result, Xattrs]]:
        """Return the sorted entries of a folder: name, link target, status and attributes."""
        result = []
        with folder_below(self._top, folder) as opened:
            descriptor = opened.descriptor
            with os.scandir(opened.path if descriptor is None else descriptor) as listing:
                entries = list(listing)
            for entry in entries:
                name = image_name(entry.name)
                try:
                    status = entry.stat(follow_symlinks=False)
                    target = None
                    if stat.S_ISLNK(status.st_mode):
                        # Path.readlink() normalizes "./x" to "x".
                        link = os.readlink(opened.at(entry.name), dir_fd=descriptor)
                        target = image_target(link)
                    attributes: Xattrs = ()
                    if self._xattrs:
                        # Only Linux has attributes; use the open folder there.
                        above = opened.path
                        if descriptor is not None:
                            above = Path(DESCRIPTORS, str(descriptor))
                        attributes = _read_xattrs(above / entry.name)
                except OSError as error:
                    self._note(join(folder, name), error)
                    continue
                result.append((name, target, status, attributes))
        return sorted(result, key=itemgetter(0))

    def _note(self, path: bytes, error: OSError) -> None:
        self._is_whole = False
        self._notes.append(f"{self._top}: {display(path)} cannot be read: {reason(error)}")

    def _add(
        self,
        tree: Tree,
        path: bytes,
        target: bytes | None,
        status: os.stat_result,
        attributes: Xattrs,
    ) -> bool:
        """Add the entry at ``path`` to the tree; return whether it is a folder."""
        source = str(self._top)
        # Only files with several links need a key; hosts without hard links have no inode numbers.
        key = (status.st_dev, status.st_ino) if status.st_nlink > 1 else None
        is_folder = stat.S_ISDIR(status.st_mode)
        try:
            path = parse_path(path)
            self._input.check_depth(path)
            self._input.check_members(len(tree) + 1)
            first = self._firsts.get(key) if key is not None and not is_folder else None
            if first is not None:
                tree.link(path, first)
            else:
                tree.add(path, self._node(path, target, status, attributes))
                if key is not None and not is_folder:
                    self._firsts[key] = path
        except TreeError as error:
            raise error.within(source) from None
        return is_folder

    def _node(
        self, path: bytes, target: bytes | None, status: os.stat_result, attributes: Xattrs
    ) -> Node:
        metadata = _metadata(status, attributes)
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            return Directory(metadata=metadata)
        if target is not None:
            return Symlink(metadata=metadata, target=target)
        if stat.S_ISREG(mode):
            load = partial(_load_below, self._top, path, self._limits)
            return File(metadata=metadata, content=LazyContent(status.st_size, load=load))
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            kind = DeviceKind.CHARACTER if stat.S_ISCHR(mode) else DeviceKind.BLOCK
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            return Device(metadata=metadata, kind=kind, major=major, minor=minor)
        return Fifo(metadata=metadata) if stat.S_ISFIFO(mode) else Socket(metadata=metadata)


def _load_below(top: Path, path: bytes, limits: Limits) -> bytes:
    """Return the content of the file at ``path`` below ``top``.

    Raises:
        FormatError: the file is unreadable, or no longer a regular file.
        LimitError: the file exceeds the limits.
    """
    source = display(path)
    try:
        with os.fdopen(open_file_below(top, path), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise FormatError(
                    source=source, expected="a file", got="another kind of file since"
                )
            return read_to_end(stream, source=source, limits=limits)
    except OSError as error:
        raise FormatError(
            source=source,
            expected="a readable file",
            got=reason(error),
            hint="change its mode, or run purekernel as a user who may read it",
        ) from None


def _is_virtual(device: int) -> bool:
    """Return whether a file system is virtual: Linux gives those the major number 0."""
    return not ON_WINDOWS and os.major(device) == 0


def _metadata(status: os.stat_result, attributes: Xattrs = ()) -> Metadata:
    if ON_WINDOWS:
        return Metadata(mode=0o755, mtime=int(status.st_mtime))
    return Metadata(
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=int(status.st_mtime),
        xattrs=attributes,
    )


def _read_xattrs(path: Path) -> Xattrs:
    """Return the extended attributes at ``path``; do not follow links."""
    attributes = []
    try:
        for name in os.listxattr(path, follow_symlinks=False):
            if name.startswith(_XATTR_KINDS):
                value = os.getxattr(path, name, follow_symlinks=False)
                attributes.append((os.fsencode(name), value))
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            raise
    return tuple(sorted(attributes))


def find_host_file(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> File:
    """Return one file of the host, whose content is read on access.

    Raises:
        InputError: the file is missing or unreadable, or is not a regular file.
    """
    with open_file(path) as stream:
        status = os.fstat(stream.fileno())
    content = LazyContent(status.st_size, load=partial(load_file, path, limits=limits))
    return File(metadata=_metadata(status), content=content)


def load_host_file(path: Path, *, limits: Limits = DEFAULT_LIMITS, xattrs: bool = False) -> File:
    """Read one file of the host with its content, owner, mode and time.

    Raises:
        InputError: the file is missing, unreadable, or not a regular file.
        LimitError: the file exceeds ``limits``.
    """
    content = load_file(path, limits=limits)
    Input(content, name=str(path), limits=limits).count_data()
    try:
        attributes = _read_xattrs(path.resolve()) if xattrs and _HAS_XATTRS else ()
        return File(metadata=_metadata(path.stat(), attributes), content=content)
    except OSError as error:
        raise unreadable(path, error) from None
