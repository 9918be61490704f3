"""Read a root file system that lies unpacked in a folder of the host.

Unlike an overlay, it is no input of an image but somebody's root as it is: devices and all, and
more than fits in memory. So names are read, and contents when somebody asks for them.
"""

from __future__ import annotations

import errno
import os
import stat
from operator import itemgetter
from pathlib import Path
from typing import ClassVar

from attrs import frozen

from purekernel.errors import FormatError, InputError, TreeError
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.host.below import folder_below, open_file_below
from purekernel.host.no_follow import DESCRIPTORS
from purekernel.host.read import image_name, image_target, load_file, unreadable
from purekernel.host.windows_names import ON_WINDOWS
from purekernel.tree import (
    ROOT,
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
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
# There are none on that file system, or they went meanwhile.
_NO_XATTRS = (errno.ENOTSUP, errno.ENODATA)


class HostFile(File):
    """A file of the host, which is read whenever its content is asked for.

    What was read last is kept, for it is mostly asked for again at once; more is not, so that a
    root file system of any size takes no memory to speak of.
    """

    __slots__ = ("_limits", "_path", "_top")

    _limits: Limits
    _path: bytes
    _top: Path

    _last: ClassVar[tuple[HostFile | None, bytes]] = (None, b"")

    def __init__(self, *, metadata: Metadata, top: Path, path: bytes, limits: Limits) -> None:
        super().__init__(metadata=metadata)
        for name, value in (("_top", top), ("_path", path), ("_limits", limits)):
            object.__setattr__(self, name, value)

    @property
    def content(self) -> bytes:
        """Return its bytes.

        Raises:
            FormatError: it may not be read, or is no file any more.
            LimitError: it is larger than the limits allow.
        """
        last, content = HostFile._last
        if last is not self:
            content = self._load()
            HostFile._last = (self, content)
        return content

    @content.setter
    def content(self, _content: bytes) -> None:
        """Take no other: it is read from the host."""

    def __eq__(self, other: object) -> bool:
        """Say whether it is the very same; comparing contents would read them."""
        return self is other

    __hash__ = object.__hash__

    def _load(self) -> bytes:
        source = display(self._path)
        try:
            descriptor = open_file_below(self._top, self._path)
            with os.fdopen(descriptor, "rb", buffering=0) as stream:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise FormatError(source=source, expected="a file", got="something else by now")
                self._limits.check_unpacked(status.st_size, source=source)
                # What has no size to speak of, as in proc, is read to its end; None is a file
                # that has nothing yet, and may never have.
                content = stream.readall()
                if content is None:
                    raise FormatError(source=source, expected="a file", got="nothing to be read")
                self._limits.check_unpacked(len(content), source=source)
                return content
        except OSError as error:
            raise FormatError(
                source=source,
                expected="a file that may be read",
                got=error.strerror or str(error),
                hint="change its mode, or run purekernel as somebody who may read it",
            ) from None


@frozen(kw_only=True)
class RootFolder:
    """A root file system.

    Attributes:
        tree: with every name that could be read.
        notes: what could not be read, one line each.
        is_whole: whether all folders were looked into. If not, a link that seems to lead nowhere
            may lead somewhere.
    """

    tree: Tree
    notes: tuple[str, ...]
    is_whole: bool


def load_root_folder(
    folder: Path,
    *,
    limits: Limits = DEFAULT_LIMITS,
    xattrs: bool = False,
) -> RootFolder:
    """Return the root file system in ``folder``.

    Names are the host's, and so are owners, modes and times, where it has such. What is mounted in
    it and lies on no disk, such as ``proc``, is not looked into; what may not be, is noted.

    Args:
        folder: may itself be reached through links; below it none is followed.
        limits: bounds on number and depth of names, and on each file.
        xattrs: whether extended attributes are read, where the host has such. Those that stand for
            something else, such as access control lists, are not.

    Raises:
        InputError: it is no folder, or may not be read itself.
        LimitError: there is more than ``limits`` allow.
        TreeError: a name is longer than Linux allows.
    """
    return _Reader(folder, limits, xattrs=xattrs).read()


class _Reader:
    def __init__(self, top: Path, limits: Limits, *, xattrs: bool) -> None:
        self._top = top
        self._xattrs = xattrs and _HAS_XATTRS
        self._limits = limits
        self._notes: list[str] = []
        self._firsts: dict[tuple[int, int], bytes] = {}
        self._is_whole = True

    def read(self) -> RootFolder:
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
                if not self._add(tree, path, target, status, attributes):
                    continue
                if status.st_dev != device and _is_virtual(status.st_dev):
                    self._is_whole = False
                else:
                    pending.append((path, status.st_dev))
        return RootFolder(tree=tree, notes=tuple(self._notes), is_whole=self._is_whole)

    def _list(self, folder: bytes) -> list[tuple[bytes, bytes | None, os.stat_result, Xattrs]]:
        """Return names in a folder, sorted, each with its target, if a link, and its status."""
        found = []
        with folder_below(self._top, folder) as (descriptor, place):
            with os.scandir(place if descriptor is None else descriptor) as listing:
                entries = list(listing)
            for entry in entries:
                name = image_name(entry.name)
                try:
                    status = entry.stat(follow_symlinks=False)
                    target = None
                    if stat.S_ISLNK(status.st_mode):
                        # Not Path.readlink(), which makes "./x" into "x".
                        link = place / entry.name if descriptor is None else entry.name
                        target = image_target(os.readlink(link, dir_fd=descriptor))
                    attributes: Xattrs = ()
                    if self._xattrs:
                        # Through the open folder, on Linux, which alone has attributes.
                        here = place if descriptor is None else Path(DESCRIPTORS, str(descriptor))
                        attributes = _read_xattrs(here / entry.name)
                except OSError as error:
                    self._note(join(folder, name), error)
                    continue
                found.append((name, target, status, attributes))
        return sorted(found, key=itemgetter(0))

    def _note(self, path: bytes, error: OSError) -> None:
        self._is_whole = False
        self._notes.append(
            f"{self._top}: {display(path)} cannot be read: {error.strerror or error}"
        )

    def _add(
        self,
        tree: Tree,
        path: bytes,
        target: bytes | None,
        status: os.stat_result,
        attributes: Xattrs,
    ) -> bool:
        """Add what stands at ``path``; say whether it is a folder."""
        source = str(self._top)
        # Where no two names can be one file, the host gives no numbers.
        key = (status.st_dev, status.st_ino) if status.st_nlink > 1 else None
        is_folder = stat.S_ISDIR(status.st_mode)
        try:
            path = parse_path(path)
            self._limits.check_depth(path, source=source)
            self._limits.check_members(len(tree) + 1, source=source)
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
            return HostFile(metadata=metadata, top=self._top, path=path, limits=self._limits)
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            kind = DeviceKind.CHARACTER if stat.S_ISCHR(mode) else DeviceKind.BLOCK
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            return Device(metadata=metadata, kind=kind, major=major, minor=minor)
        return Fifo(metadata=metadata) if stat.S_ISFIFO(mode) else Socket(metadata=metadata)


def _is_virtual(device: int) -> bool:
    """Say whether a file system lies on no disk: Linux gives those no major number."""
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


def _read_xattrs(place: Path) -> Xattrs:
    """Return the extended attributes of what stands at ``place``, links not followed."""
    found = []
    try:
        for name in os.listxattr(place, follow_symlinks=False):
            if name.startswith(_XATTR_KINDS):
                value = os.getxattr(place, name, follow_symlinks=False)
                found.append((os.fsencode(name), value))
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            raise
    return tuple(sorted(found))


def load_host_file(path: Path, *, limits: Limits = DEFAULT_LIMITS, xattrs: bool = False) -> File:
    """Return one file of the host, its content read, with owner, mode and time as they are there.

    Raises:
        InputError: it is missing, no file, or may not be read.
        LimitError: it is larger than ``limits`` allow.
    """
    content = load_file(path, limits=limits)
    try:
        attributes = _read_xattrs(path.resolve()) if xattrs and _HAS_XATTRS else ()
        return File(metadata=_metadata(path.stat(), attributes), content=content)
    except OSError as error:
        raise unreadable(path, error) from None
