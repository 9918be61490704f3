"""Read a folder of the host into a layer.

Its manifest describes nodes that the host cannot store. The contents of a large folder are read
when they are needed, so that memory holds the image and not the folder too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path

from purekernel.errors import InputError, TreeError
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.mtree import FindInTree, apply_manifest
from purekernel.host.below import image_name, image_target
from purekernel.host.read import load_file, load_of_size, load_unchanged, unreadable
from purekernel.host.windows_names import ON_WINDOWS
from purekernel.input import DEFAULT_LIMITS, Buffer, Input, Limits
from purekernel.tree import (
    ROOT,
    Directory,
    File,
    Layer,
    LazyContent,
    Metadata,
    Node,
    Symlink,
    Tree,
    display,
    loaded,
    parse_path,
    plain_metadata,
    with_example,
)
from purekernel.tree.path import join

MANIFEST_NAME = b".mtree"
SHEBANG = b"#!"

# How much content of a folder is kept in memory, as it was at one time. Larger folders are rare.
KEPT_BYTES = 64 << 20
# Smaller files are always kept: to open them again takes longer than to copy them, and 200,000 of
# them, the most that an overlay may have, are 800 MB.
LEAST_LAZY_BYTES = 4096

# A junction of Windows refers to another folder; os.lstat reports it as a folder.
REPARSE_TAG_JUNCTION = 0xA0000003
SPECIAL_HINT = "remove it from the folder, and describe it in a manifest, .mtree"


def load_folder(
    path: Path,
    *,
    mtime: int,
    limits: Limits = DEFAULT_LIMITS,
    wanted: Callable[[bytes], bool] | None = None,
) -> Layer:
    """Read a folder of the host into a layer.

    All owners are root. Modes are those of the host; on Windows, which has none, folders and
    programs get 0755 and other files 0644. All times are ``mtime``: the times on the host are
    those of the checkout and would make builds differ. Symbolic links are kept and not
    followed. Hard links on the host become separate files. When :data:`KEPT_BYTES` are read, the
    contents of further files are read on access, and must not have changed by then.

    A file ``.mtree`` at the top of the folder is its manifest: it is not part of the layer and
    describes what the host cannot store (see :mod:`purekernel.formats.mtree`).

    Args:
        path: a folder; it may itself be reached through links.
        mtime: the time of all nodes, in seconds since 1970, UTC.
        limits: limits on size, number and depth.
        wanted: returns for each name at the top of the folder whether to read it; by default
            all are read.

    Raises:
        InputError: a node cannot be read, or is a device, fifo or socket; or files that the
            manifest names are missing.
        FormatError: the manifest is malformed.
        LimitError: the folder exceeds ``limits``.
        TreeError: a name is longer than Linux allows, or the manifest conflicts with the folder.
    """
    tree = _FolderReader(path, mtime, limits, wanted).read()
    manifest = tree.get(MANIFEST_NAME)
    if manifest is None:
        return Layer(source=str(path), tree=tree)
    source = str(path / os.fsdecode(MANIFEST_NAME))
    if not isinstance(manifest, File):
        raise InputError(
            f"{source} must be a file: it is the folder's manifest",
            hint="rename it, or replace it with a manifest",
        )
    tree.remove(MANIFEST_NAME)
    return apply_manifest(
        Input(manifest.content, name=source, limits=limits),
        base=tree,
        find=FindInTree(tree),
        mtime=mtime,
    )


def host_node(path: Path, *, mtime: int, limits: Limits = DEFAULT_LIMITS) -> Node:
    """Read the file, folder or link at ``path`` into a node for a layer; do not follow links.

    Raises:
        InputError: the path cannot be read, or is a device, fifo or socket.
        LimitError: the file exceeds ``limits``.
    """
    try:
        status = path.lstat()
        if getattr(status, "st_reparse_tag", 0) == REPARSE_TAG_JUNCTION:
            raise InputError(
                f"{path} is a junction, which an image cannot contain", hint=SPECIAL_HINT
            )
        if stat.S_ISDIR(status.st_mode):
            return Directory(metadata=_metadata(status, b"", mtime, folder=True))
        if stat.S_ISLNK(status.st_mode):
            return Symlink(
                metadata=Metadata(mode=0o777, mtime=mtime),
                # path.readlink() normalizes "./x" to "x".
                target=image_target(os.readlink(path)),  # noqa: PTH115
            )
        if stat.S_ISREG(status.st_mode):
            content = load_file(path, limits=limits)
            return File(metadata=_metadata(status, content, mtime, folder=False), content=content)
    except OSError as error:
        raise unreadable(path, error) from None
    kind = {stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket"}.get(
        stat.S_IFMT(status.st_mode), "a device"
    )
    raise InputError(f"{path} must be a file, folder or link, got {kind}", hint=SPECIAL_HINT)


def has_capabilities(path: Path | str) -> bool:
    """Return whether the file at ``path`` has file capabilities, as far as the host tells.

    Source: capabilities(7).
    """
    if not hasattr(os, "getxattr"):  # macOS and Windows have no file capabilities
        return False
    try:
        return bool(os.getxattr(path, "security.capability", follow_symlinks=False))
    except OSError:  # not set, or not supported by the file system
        return False


def posix_mode(st_mode: int) -> int:
    """Return the mode in an image of a file or folder of a POSIX host.

    The write permissions of group and others are removed, because they depend on the umask of
    the user who made the checkout. If setuid, setgid or sticky is set, the mode was set
    explicitly and is kept.
    """
    mode = stat.S_IMODE(st_mode)
    special = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
    return mode if mode & special else mode & ~(stat.S_IWGRP | stat.S_IWOTH)


def windows_mode(content: Buffer, *, folder: bool) -> int:
    """Return the mode of a file or folder from a host without modes.

    Folders and executables (ELF files and scripts with ``#!``) get 0755, other files 0644.
    """
    is_executable = detect(content) is FileKind.ELF or bytes(content[:2]) == SHEBANG
    return 0o755 if folder or is_executable else 0o644


def _metadata(status: os.stat_result, content: Buffer, mtime: int, *, folder: bool) -> Metadata:
    if ON_WINDOWS:
        return plain_metadata(windows_mode(content, folder=folder), 0, 0, mtime)
    return plain_metadata(posix_mode(status.st_mode), 0, 0, mtime)


class _FolderReader:
    """Reads one folder into a tree."""

    def __init__(
        self, top: Path, mtime: int, limits: Limits, wanted: Callable[[bytes], bool] | None
    ) -> None:
        self._top = top
        self._wanted = wanted
        self._mtime = mtime
        self._limits = limits
        # The name and the limits of the folder; it has no data of its own.
        self._input = Input(b"", name=str(top), limits=limits)
        self._content_bytes = 0
        self._kept_bytes = 0
        self._capable: list[bytes] = []

    def read(self) -> Tree:
        """Read the folders one after the other, without recursion."""
        try:
            # The folder itself may be reached through a link; links below it are not followed.
            top = host_node(self._top.resolve(strict=True), mtime=self._mtime)
        except OSError as error:
            raise unreadable(self._top, error) from None
        except RuntimeError:  # Python before 3.13 raises it for a loop of links
            raise InputError(f"{self._top} is a loop of links", hint="give a folder") from None
        if not isinstance(top, Directory):
            raise InputError(f"{self._top} is not a folder", hint="give a folder")
        tree = Tree(top)
        pending = [(ROOT, str(self._top))]
        while pending:
            folder, host_path = pending.pop()
            for name, entry in self._list(host_path):
                if folder == ROOT and self._wanted is not None and not self._wanted(name):
                    continue
                node = self._add(tree, folder, name, entry)
                if isinstance(node, Directory):
                    pending.append((join(folder, name), entry.path))
        if self._capable:
            which = with_example(
                len(self._capable),
                "file",
                display(self._capable[0]),
                clause=", which an initramfs cannot hold",
            )
            self._input.note(f"ignored the file capabilities of {which}")
        return tree

    def _list(self, folder: str) -> list[tuple[bytes, os.DirEntry[str]]]:
        """Return the names in a folder with their entries, sorted by the bytes of the names."""
        try:
            with os.scandir(folder) as listing:
                entries = [(image_name(entry.name), entry) for entry in listing]
        except OSError as error:
            raise unreadable(Path(folder), error) from None
        return sorted(entries, key=itemgetter(0))

    def _add(self, tree: Tree, folder: bytes, name: bytes, entry: os.DirEntry[str]) -> Node:
        try:
            path = parse_path(join(folder, name))
            self._input.check_depth(path)
            self._input.check_members(len(tree) + 1)
            node = self._node(entry)
            if isinstance(node, File):
                self._content_bytes = self._input.count_unpacked(
                    node.size_bytes, already_bytes=self._content_bytes
                )
                if has_capabilities(entry.path):
                    self._capable.append(path)
            tree.add(path, node)
        except TreeError as error:
            raise error.within(self._input.name) from None
        return node

    def _node(self, entry: os.DirEntry[str]) -> Node:
        try:
            status = os.lstat(entry.path)
        except OSError as error:
            raise unreadable(Path(entry.path), error) from None
        if not stat.S_ISREG(status.st_mode):
            return host_node(Path(entry.path), mtime=self._mtime, limits=self._limits)
        content: Buffer | LazyContent
        if status.st_size >= LEAST_LAZY_BYTES and self._kept_bytes >= KEPT_BYTES:
            load = partial(load_unchanged, Path(entry.path), status, self._limits)
            content = LazyContent(status.st_size, load=load)
        else:
            content = load_of_size(entry.path, status.st_size, limits=self._limits)
            self._kept_bytes += len(content)
        head = loaded(content) if ON_WINDOWS else b""
        return File(metadata=_metadata(status, head, self._mtime, folder=False), content=content)
