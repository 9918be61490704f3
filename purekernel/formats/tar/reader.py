"""Read a tar archive into a tree."""

from __future__ import annotations

import tarfile

from purekernel.errors import PurekernelError, TreeError
from purekernel.formats.compression import unpack
from purekernel.formats.detect import FileKind, detect, name_kind
from purekernel.formats.member_names import MemberNames
from purekernel.formats.tar.headers import (
    DUMP_FOLDER,
    FILE_TYPES,
    VOLUME_LABEL,
    TarMember,
    iter_members,
)
from purekernel.formats.tar.pax import CAPABILITIES
from purekernel.input import Input
from purekernel.tree import (
    ROOT,
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
    plain_metadata,
    with_example,
)
from purekernel.tree.node import PERMISSIONS
from purekernel.tree.path import join

# uid_t, gid_t and the two parts of a device number are unsigned 32-bit numbers.
MAX_NUMBER = 0xFFFFFFFF

# The folders that are looked up through links, and the steps of each. Real archives have a few.
MAX_DETOURS = 10_000
MAX_STEPS = 1000


def parse_tar(file: Input) -> Tree:
    """Return the tree in an archive, which may be compressed.

    File contents are views into the unpacked archive. Owners are the numbers in the archive. The
    names of users and groups are ignored, because they are valid only on the machine that made the
    archive. Folders without a member belong to root, with mode
    0755 and time 0. A member ``.`` sets the metadata of the root.

    The last member of a name counts, as for programs that unpack to a disk; other names of a hard
    link keep the earlier file. Leading slashes of names and of the targets of hard links are
    removed. The target of a hard link must precede it. A name may pass through a link of the
    archive that GNU tar follows: its target is relative, without "..", and a folder of the archive.
    Notes report replaced members, absolute names, data after the end of the archive, and extended
    attributes, ACLs and file flags, which are ignored.

    Raises:
        FormatError: the archive is damaged or truncated, contains parts of multi-volume archives
            or unknown types, or has both a folder and another file of one name.
        LimitError: it exceeds the limits.
        TreeError: a name or link leaves the archive with "..", or a name passes through another
            link.
    """
    archive = file
    if detect(file.data) is FileKind.TAR:
        file.count_data()
    else:
        archive = file.unpacked(unpack(file))
    if detect(archive.data) is not FileKind.TAR and bytes(archive.view[257:262]) != b"ustar":
        named = name_kind(archive.data)
        if named is not None:
            raise archive.fail_kind(0, "a tar archive", named, "")
    tree = Tree()
    names = MemberNames(archive)
    folders = _Folders(tree, archive)
    lost = _LostAttributes()
    try:
        for member in iter_members(archive):
            if member.type == VOLUME_LABEL:
                continue
            lost.count(member)
            try:
                _add(tree, member, archive, names, folders)
            except TreeError as error:
                raise names.locate(error, member.offset) from None
    except PurekernelError as error:
        archive.stop_at(error)
    names.report()
    lost.report(archive)
    return tree


class _LostAttributes:
    """Count the members with attributes that are ignored, for one note."""

    def __init__(self) -> None:
        self._members = 0
        self._name = self._member = b""

    def count(self, member: TarMember) -> None:
        """Count a member if it has such attributes."""
        if not member.lost:
            return
        self._members += 1
        if not self._name or (member.lost == CAPABILITIES != self._name):
            self._name, self._member = member.lost, member.name

    def report(self, file: Input) -> None:
        """Send a note with the count and an example."""
        if not self._members:
            return
        example = f"{display(self._name)[1:-1]} of {display(self._member)}"
        which = with_example(self._members, "member", example)
        file.note(f"ignored the extended attributes, ACLs or file flags of {which}")


class _Folders:
    """Find the folders of names, through the links that GNU tar follows.

    GNU tar unpacks a link with an absolute target, or one with "..", after all other members, so
    that no name can pass through it.
    """

    def __init__(self, tree: Tree, file: Input) -> None:
        self._tree = tree
        self._file = file
        self._found: dict[bytes, bytes] = {}
        self._detours = 0

    def real_path(self, path: bytes, offset: int) -> bytes:
        """Return the path that a name leads to; ``path`` itself if its folder is not reachable."""
        folder, _slash, entry = path.rpartition(b"/")
        if isinstance(self._tree.get(folder), Directory):
            return path
        found = self._found.get(folder)
        if found is None:
            found = self._found[folder] = self._follow(folder, offset)
        return join(found, entry)

    def forget(self) -> None:
        """Look up all folders again, after a link was made or replaced."""
        self._found.clear()

    def _count_detour(self, offset: int) -> None:
        self._detours += 1
        if self._detours > MAX_DETOURS:
            raise self._file.exceed(
                offset,
                f"at most {MAX_DETOURS} folders that are reached through links",
                "more",
                hint="pack the archive again without members below a link",
            )

    def _follow(self, folder: bytes, offset: int) -> bytes:
        here = ROOT
        pending = folder.split(b"/")[::-1]
        # How many parts of the name are behind the link that is being followed.
        behind = len(pending)
        for _step in range(MAX_STEPS):
            if not pending:
                return here
            path = join(here, pending.pop())
            node = self._tree.get(path)
            if isinstance(node, Symlink):
                self._count_detour(offset)
                parts = node.target.split(b"/")
                if b".." in parts or not parts[0]:
                    return folder
                behind = min(behind, len(pending))
                pending += [part for part in reversed(parts) if part not in (b"", b".")]
            elif isinstance(node, Directory):
                here = path
            elif node is None and len(pending) < behind:
                return b"/".join((path, *reversed(pending)))  # to be made, as by mkdir -p
            else:
                return folder
        return folder


def _add(tree: Tree, member: TarMember, file: Input, names: MemberNames, folders: _Folders) -> None:
    path = folders.real_path(names.parse(member.name), member.offset)
    file.check_depth(path, member.offset)
    old = tree.get(path)
    if member.type == tarfile.LNKTYPE:
        target = _link_target(tree, member, file, names, folders)
        names.check_kind(path, old, tree[target], member.offset)
        if old is not None and tree.inode(path) == tree.inode(target):
            return
        tree.add_parents(path)
        tree.link(path, target)
    else:
        node = _node(member, file)
        names.check_kind(path, old, node, member.offset)
        tree.add_parents(path)
        tree.add(path, node)
        if isinstance(node, Symlink) or isinstance(old, Symlink):
            folders.forget()
    names.place(path, old, tree[path], member.offset)


def _link_target(
    tree: Tree, member: TarMember, file: Input, names: MemberNames, folders: _Folders
) -> bytes:
    target = folders.real_path(names.parse(member.target), member.offset)
    if target not in tree or isinstance(tree[target], Directory):
        raise file.fail(
            member.offset,
            f"an earlier file as the target of the hard link {display(member.name)}",
            display(member.target),
            hint="pack the archive again with the target of the link, or with --hard-dereference",
        )
    return target


def _node(member: TarMember, file: Input) -> Node:
    metadata = _metadata(member, file)
    # In archives older than POSIX, only the slash marks a folder.
    if member.type in (tarfile.DIRTYPE, DUMP_FOLDER) or (
        member.type in FILE_TYPES and member.name.endswith(b"/")
    ):
        return Directory(metadata=metadata)
    if member.type in FILE_TYPES:
        return File(metadata=metadata, content=member.content)
    if member.type == tarfile.SYMTYPE:
        return Symlink(metadata=metadata, target=_symlink_target(member, file))
    if member.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        character = member.type == tarfile.CHRTYPE
        return Device(
            metadata=metadata,
            kind=DeviceKind.CHARACTER if character else DeviceKind.BLOCK,
            major=_number(member.major, "a major number", member, file),
            minor=_number(member.minor, "a minor number", member, file),
        )
    if member.type == tarfile.FIFOTYPE:
        return Fifo(metadata=metadata)
    raise file.fail(
        member.offset,
        "a file, folder, link, device or fifo",
        f"{display(member.name)} of type {display(member.type)}",
        hint="pack the archive again with --format=gnu or --format=pax",
    )


def _symlink_target(member: TarMember, file: Input) -> bytes:
    if not member.target or b"\0" in member.target:
        raise file.fail(
            member.offset,
            f"a target for the link {display(member.name)}",
            f"{display(member.target)}, which has a NUL" if member.target else "an empty target",
        )
    return member.target


def _metadata(member: TarMember, file: Input) -> Metadata:
    if member.mode < 0:
        raise file.fail(
            member.offset, f"a mode of at least 0 for {display(member.name)}", f"{member.mode}"
        )
    return plain_metadata(
        member.mode & PERMISSIONS,  # in some archives the mode includes the file type
        _number(member.uid, "an owner", member, file),
        _number(member.gid, "a group", member, file),
        _time(member, file),
    )


def _time(member: TarMember, file: Input) -> int:
    if not -(1 << 63) <= member.mtime < 1 << 63:
        raise file.fail(
            member.offset, f"a 64-bit time for {display(member.name)}", f"{member.mtime}"
        )
    return member.mtime


def _number(value: int, what: str, member: TarMember, file: Input) -> int:
    if not 0 <= value <= MAX_NUMBER:
        raise file.fail(
            member.offset, f"{what} from 0 to {MAX_NUMBER} for {display(member.name)}", f"{value}"
        )
    return value
