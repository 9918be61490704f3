"""Read a root file system that lies unpacked in a folder of the host.

Unlike an overlay, it is no input of an image but somebody's root as it is: devices and all, and
maybe more than fits in memory, so contents are read only where they are asked for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from purekernel.errors import InputError, TreeError
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.sources.files import load_file, unreadable
from purekernel.sources.folder import ON_WINDOWS, image_name, image_target
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
    parse_path,
)
from purekernel.tree.path import join

# Mounted in a running system, endless, and nobody's libraries or modules.
NEVER_READ = (b"proc", b"sys")

# What says where libraries and modules are is never larger.
SMALL_BYTES = 1 << 16

Needed = Callable[[bytes], bool]
"""Says of a path whether the content of a large file there is needed."""


@frozen(kw_only=True)
class RootFolder:
    """A root file system, with the contents that were asked for.

    Attributes:
        tree: with every name. Files whose contents were not read are empty.
        notes: what could not be read, one line each.
    """

    tree: Tree
    notes: tuple[str, ...]


def load_root_folder(
    folder: Path, *, needed: Needed, limits: Limits = DEFAULT_LIMITS
) -> RootFolder:
    """Return the root file system in ``folder``.

    Names are the host's, and so are owners, modes and times, where it has such. What may not be
    read is noted and left out.

    Args:
        folder: may itself be reached through links; below it none is followed.
        needed: whether the content of a file of more than 64 KiB is read.
        limits: bounds on number and depth of names, and on all that is read.

    Raises:
        InputError: it is no folder, or may not be read itself.
        LimitError: there is more than ``limits`` allow.
        TreeError: a name is longer than Linux allows.
    """
    return _Reader(folder, needed, limits).read()


class _Reader:
    def __init__(self, top: Path, needed: Needed, limits: Limits) -> None:
        self._top = top
        self._needed = needed
        self._limits = limits
        self._notes: list[str] = []
        self._read_bytes = 0
        self._firsts: dict[tuple[int, int], bytes] = {}

    def read(self) -> RootFolder:
        try:
            status = self._top.stat()
        except OSError as error:
            raise unreadable(self._top, error) from None
        if not stat.S_ISDIR(status.st_mode):
            raise InputError(f"{self._top} is not a folder", hint="give a folder")
        tree = Tree(Directory(metadata=_metadata(status)))
        pending = [(ROOT, str(self._top))]
        while pending:
            folder, place = pending.pop()
            try:
                with os.scandir(place) as listing:
                    entries = sorted((image_name(entry.name), entry) for entry in listing)
            except OSError as error:
                if folder == ROOT:
                    raise unreadable(self._top, error) from None
                self._notes.append(str(unreadable(Path(place), error)))
                continue
            for name, entry in entries:
                path = join(folder, name)
                if path not in NEVER_READ and self._add(tree, path, entry):
                    pending.append((path, entry.path))
        return RootFolder(tree=tree, notes=tuple(self._notes))

    def _add(self, tree: Tree, path: bytes, entry: os.DirEntry[str]) -> bool:
        """Add what stands at ``entry``; say whether it is a folder to be looked into."""
        source = str(self._top)
        try:
            status = entry.stat(follow_symlinks=False)
            # Where no two names can be one file, the host gives no numbers.
            key = (status.st_dev, status.st_ino) if status.st_nlink > 1 else None
            first = self._firsts.get(key) if key is not None else None
            node = None if first is not None else self._node(path, entry, status)
        except OSError as error:
            self._notes.append(str(unreadable(Path(entry.path), error)))
            return False
        except InputError as error:
            self._notes.append(str(error))
            return False
        try:
            path = parse_path(path)
            self._limits.check_depth(path, source=source)
            self._limits.check_members(len(tree) + 1, source=source)
            if first is not None:
                tree.link(path, first)
            elif node is not None:
                tree.add(path, node)
        except TreeError as error:
            raise error.within(source) from None
        if key is not None and first is None and isinstance(node, File):
            self._firsts[key] = path
        return isinstance(node, Directory)

    def _node(self, path: bytes, entry: os.DirEntry[str], status: os.stat_result) -> Node:
        metadata = _metadata(status)
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            return Directory(metadata=metadata)
        if stat.S_ISLNK(mode):
            # Not Path.readlink(), which makes "./x" into "x".
            return Symlink(metadata=metadata, target=image_target(os.readlink(entry.path)))  # noqa: PTH115
        if stat.S_ISREG(mode):
            return File(metadata=metadata, content=self._content(path, entry, status.st_size))
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            kind = DeviceKind.CHARACTER if stat.S_ISCHR(mode) else DeviceKind.BLOCK
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            return Device(metadata=metadata, kind=kind, major=major, minor=minor)
        return Fifo(metadata=metadata) if stat.S_ISFIFO(mode) else Socket(metadata=metadata)

    def _content(self, path: bytes, entry: os.DirEntry[str], size_bytes: int) -> bytes:
        if size_bytes > SMALL_BYTES and not self._needed(path):
            return b""
        self._read_bytes += size_bytes
        self._limits.check_unpacked(self._read_bytes, source=str(self._top))
        return load_file(Path(entry.path), limits=self._limits)


def _metadata(status: os.stat_result) -> Metadata:
    if ON_WINDOWS:
        return Metadata(mode=0o755, mtime=int(status.st_mtime))
    return Metadata(
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=int(status.st_mtime),
    )
