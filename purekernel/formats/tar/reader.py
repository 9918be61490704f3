"""Read a tar archive into a tree."""

from __future__ import annotations

import tarfile

from purekernel.errors import FormatError, TreeError
from purekernel.formats.compression import unpack
from purekernel.formats.tar.headers import (
    DUMP_FOLDER,
    FILE_TYPES,
    VOLUME_LABEL,
    Member,
    is_tar,
    iter_members,
)
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.tree import (
    ROOT,
    Buffer,
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Metadata,
    Node,
    Symlink,
    Tree,
    display,
    parse_path,
)
from purekernel.tree.node import PERMISSIONS

# uid_t, gid_t and the two parts of a device number are unsigned 32-bit numbers.
MAX_NUMBER = 0xFFFFFFFF


def parse_tar(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> Tree:
    """Return the tree in an archive, which may be compressed.

    File contents are views into the unpacked archive. Owners are the numbers in the archive. The
    names of users and groups are ignored, because they are valid only on the machine that made the
    archive. Extended attributes are ignored. Folders without a member belong to root, with mode
    0755 and time 0. A member ``.`` sets the metadata of the root.

    Only folders and hard links may repeat a path. The metadata of the last folder counts; a hard
    link must refer to the file at its path. The target of a hard link must precede it.

    Raises:
        FormatError: the archive is damaged or truncated, or contains sparse files, parts of
            multi-volume archives or unknown types.
        LimitError: it exceeds ``limits``.
        TreeError: a name or link leaves the archive with "..", or members contradict each other.
    """
    # The first name of an uncompressed archive may start with the magic of a compression.
    plain = data if is_tar(data) else unpack(Input(data, name=source, limits=limits))
    tree = Tree()
    for member in iter_members(memoryview(plain), source=source, limits=limits):
        if member.type == VOLUME_LABEL:
            continue
        try:
            _add(tree, member, source, limits)
        except TreeError as error:
            raise error.within(f"{source}, byte {member.offset}") from None
    return tree


def _add(tree: Tree, member: Member, source: str, limits: Limits) -> None:
    path = parse_path(member.name)
    limits.check_depth(path, source=source, offset=member.offset)
    old = tree.get(path)
    if member.type == tarfile.LNKTYPE:
        target = _link_target(tree, member, source)
        if old is not None and tree.inode(path) == tree.inode(target):
            return
        if old is not None:
            raise _duplicate(path, member, source)
        tree.add_parents(path)
        tree.link(path, target)
        return
    node = _node(member, source)
    if isinstance(node, Directory) and (old is None or isinstance(old, Directory)):
        tree.add_parents(path)
        tree.add(path, node)
        return
    if path == ROOT:
        raise FormatError(
            source=source,
            offset=member.offset,
            expected="a folder at '.'",
            got="another type of file",
        )
    if old is not None:
        raise _duplicate(path, member, source)
    tree.add_parents(path)
    tree.add(path, node)


def _link_target(tree: Tree, member: Member, source: str) -> bytes:
    target = parse_path(member.target)
    if target not in tree or isinstance(tree[target], Directory):
        raise FormatError(
            source=source,
            offset=member.offset,
            expected=f"an earlier file as the target of the hard link {display(member.name)}",
            got=display(member.target),
        )
    return target


def _node(member: Member, source: str) -> Node:
    metadata = _metadata(member, source)
    # In archives older than POSIX, only the slash marks a folder.
    if member.type in (tarfile.DIRTYPE, DUMP_FOLDER) or (
        member.type in FILE_TYPES and member.name.endswith(b"/")
    ):
        return Directory(metadata=metadata)
    if member.type in FILE_TYPES:
        return File(metadata=metadata, content=member.content)
    if member.type == tarfile.SYMTYPE:
        return Symlink(metadata=metadata, target=_symlink_target(member, source))
    if member.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        character = member.type == tarfile.CHRTYPE
        return Device(
            metadata=metadata,
            kind=DeviceKind.CHARACTER if character else DeviceKind.BLOCK,
            major=_number(member.major, "a major number", member, source),
            minor=_number(member.minor, "a minor number", member, source),
        )
    if member.type == tarfile.FIFOTYPE:
        return Fifo(metadata=metadata)
    raise FormatError(
        source=source,
        offset=member.offset,
        expected="a file, folder, link, device or fifo",
        got=f"{display(member.name)} of type {display(member.type)}",
        hint="pack the archive again with --format=gnu or --format=pax",
    )


def _symlink_target(member: Member, source: str) -> bytes:
    if not member.target or b"\0" in member.target:
        raise FormatError(
            source=source,
            offset=member.offset,
            expected=f"a target for the link {display(member.name)}",
            got=(
                f"{display(member.target)}, which has a NUL" if member.target else "an empty target"
            ),
        )
    return member.target


def _metadata(member: Member, source: str) -> Metadata:
    if member.mode < 0:
        raise FormatError(
            source=source,
            offset=member.offset,
            expected=f"a mode of at least 0 for {display(member.name)}",
            got=f"{member.mode}",
        )
    return Metadata(
        # In some archives the mode includes the file type.
        mode=member.mode & PERMISSIONS,
        uid=_number(member.uid, "an owner", member, source),
        gid=_number(member.gid, "a group", member, source),
        mtime=_time(member, source),
    )


def _time(member: Member, source: str) -> int:
    if not -(1 << 63) <= member.mtime < 1 << 63:
        raise FormatError(
            source=source,
            offset=member.offset,
            expected=f"a 64-bit time for {display(member.name)}",
            got=f"{member.mtime}",
        )
    return member.mtime


def _number(value: int, what: str, member: Member, source: str) -> int:
    if not 0 <= value <= MAX_NUMBER:
        raise FormatError(
            source=source,
            offset=member.offset,
            expected=f"{what} from 0 to {MAX_NUMBER} for {display(member.name)}",
            got=f"{value}",
        )
    return value


def _duplicate(path: bytes, member: Member, source: str) -> FormatError:
    return FormatError(
        source=source,
        offset=member.offset,
        expected="each name once",
        got=f"{display(path)} again",
        hint="pack the archive again with only one file of this name",
    )
