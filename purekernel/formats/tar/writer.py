"""Write a tree as an uncompressed tar archive.

The usual format is GNU's, because busybox, with which Tiny Core unpacks, supports long names and
large numbers only in it. GNU tar and bsdtar support it, too. For archives that other systems
import, and that hold extended attributes, it is that of POSIX (PAX).

Source: POSIX.1-2017, pax, "pax Interchange Format"; star(5) for ``SCHILY.xattr``.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from purekernel.errors import UnrepresentableError
from purekernel.formats.tar.headers import (
    BLOCK_BYTES,
    CHECKSUM,
    END_BLOCK,
    GID,
    LINK_NAME,
    MAGIC,
    MAJOR,
    MINOR,
    MODE,
    MTIME,
    NAME,
    PREFIX,
    SIZE,
    TYPE,
    UID,
)
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
    describe,
    display,
)

# This encoding maps each byte to a character, so that any name round-trips.
ONE_TO_ONE = "iso-8859-1"

# Archives are padded to tape records of 20 blocks, which programs that read from pipes expect.
RECORD_BYTES = 20 * BLOCK_BYTES

# The magic number with the version "00". (Source: POSIX.1-2017, pax.)
_USTAR = slice(MAGIC.start, MAGIC.start + 8)
_XATTR = b"SCHILY.xattr."
_NAME_BYTES, _PREFIX_BYTES = NAME.stop - NAME.start, PREFIX.stop - PREFIX.start


def build_tar(tree: Tree, *, top: bool = False) -> bytes:
    """Return ``tree`` as one uncompressed archive in GNU format.

    See :func:`iter_tar` for the members, the arguments and the errors.
    """
    return b"".join(iter_tar(tree, top=top))


def iter_tar(tree: Tree, *, top: bool = False, pax: bool = False) -> Iterator[Buffer]:
    """Yield the pieces of an archive of ``tree``.

    Members are in walking order, so that parents precede children. Names have no leading ``./``.
    Owners are numbers; the names of users and groups are empty. The content of hard-linked files
    is with their first name.

    Args:
        tree: the tree to write.
        top: whether to write the root too, as ``./``. Unpacking then changes the metadata of the
            target folder.
        pax: whether to write the format of POSIX, which holds extended attributes; otherwise that
            of GNU, without them.

    Raises:
        UnrepresentableError: the tree contains a socket, or a number that does not fit its field.
    """
    header = _pax_header if pax else _gnu_header
    size_bytes = 0
    first_names: dict[int, bytes] = {}
    for path, node in tree.walk():
        if path == ROOT and not top:
            continue
        first = first_names.setdefault(tree.inode(path), path)
        content: Buffer = node.content if isinstance(node, File) and first == path else b""
        for piece in (header(path, node, first), content, bytes(-len(content) % BLOCK_BYTES)):
            size_bytes += len(piece)
            yield piece
    yield build_end(size_bytes)


def build_end(size_bytes: int) -> bytes:
    """Return the end of an archive whose members have ``size_bytes``."""
    return END_BLOCK * 2 + bytes(-(size_bytes + 2 * BLOCK_BYTES) % RECORD_BYTES)


def _gnu_header(path: bytes, node: Node, first: bytes) -> bytes:
    """Return the header blocks of a member, with those of long names."""
    info = tarfile.TarInfo((path or b".").decode(ONE_TO_ONE))
    metadata = node.metadata
    info.mode, info.uid, info.gid = metadata.mode, metadata.uid, metadata.gid
    info.mtime = metadata.mtime
    kind, link = _kind(path, node, first)
    info.type, info.linkname = kind, link.decode(ONE_TO_ONE)
    if kind == tarfile.REGTYPE and isinstance(node, File):
        info.size = node.size_bytes
    if isinstance(node, Device) and first == path:
        info.devmajor, info.devminor = node.major, node.minor
    try:
        return info.tobuf(tarfile.GNU_FORMAT, ONE_TO_ONE, "strict")
    except ValueError as error:
        raise UnrepresentableError(f"{display(path)}: {error}") from None


def _kind(path: bytes, node: Node, first: bytes) -> tuple[bytes, bytes]:
    """Return the type of a member, and the target of a link."""
    if first != path:
        return tarfile.LNKTYPE, first
    if isinstance(node, Symlink):
        return tarfile.SYMTYPE, node.target
    if isinstance(node, File):
        return tarfile.REGTYPE, b""
    if isinstance(node, Directory):
        return tarfile.DIRTYPE, b""
    if isinstance(node, Device):
        is_character = node.kind is DeviceKind.CHARACTER
        return (tarfile.CHRTYPE if is_character else tarfile.BLKTYPE), b""
    if isinstance(node, Fifo):
        return tarfile.FIFOTYPE, b""
    raise UnrepresentableError(
        f"{display(path)}: a tar archive cannot contain {describe(node)}", hint="leave it out"
    )


# The format of POSIX. A value that does not fit in its field is in a record of a header before.


def _pax_header(path: bytes, node: Node, first: bytes) -> bytes:
    """Return the header block of a member, after those of its extended header, if it needs one."""
    kind, link = _kind(path, node, first)
    written = path + b"/" if kind == tarfile.DIRTYPE else path
    if path == ROOT:
        written = b"./"
    records: dict[bytes, bytes] = {}
    block = bytearray(BLOCK_BYTES)
    if (parts := _split(written)) is None:
        records[b"path"] = written
        parts = written[:_NAME_BYTES], b""
    block[NAME], block[PREFIX] = _padded(parts[0], NAME), _padded(parts[1], PREFIX)
    if len(link) > LINK_NAME.stop - LINK_NAME.start:
        records[b"linkpath"] = link
    block[LINK_NAME] = _padded(link, LINK_NAME)
    metadata = node.metadata
    size = node.size_bytes if kind == tarfile.REGTYPE and isinstance(node, File) else 0
    for keyword, field_of, number in (
        (b"uid", UID, metadata.uid),
        (b"gid", GID, metadata.gid),
        (b"size", SIZE, size),
        (b"mtime", MTIME, metadata.mtime),
    ):
        block[field_of] = _number(number, field_of) or _number(0, field_of)
        if not _number(number, field_of):
            records[keyword] = str(number).encode()
    if first == path:
        records |= _attributes(path, metadata)
    block[MODE] = _number(metadata.mode, MODE)
    block[TYPE] = kind
    if isinstance(node, Device) and first == path:
        for field_of, number in ((MAJOR, node.major), (MINOR, node.minor)):
            block[field_of] = _number(number, field_of) or _refuse_device(path, number)
    return _extended_header(written, records, metadata) + _finished(block)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Return a name and its prefix, which a slash joins; ``None`` if the fields are too small."""
    if len(name) <= _NAME_BYTES:
        return name, b""
    start = len(name) - _NAME_BYTES - 1
    # The slash at the end of a folder's name is part of the name.
    slash = name.find(b"/", start, len(name) - 1)
    if not 0 < slash <= _PREFIX_BYTES:
        return None
    return name[slash + 1 :], name[:slash]


def _padded(text: bytes, field_of: slice) -> bytes:
    width = field_of.stop - field_of.start
    return text[:width].ljust(width, b"\0")


def _number(number: int, field_of: slice) -> bytes:
    """Return octal digits and a NUL; empty if they do not fit."""
    width = field_of.stop - field_of.start
    digits = b"%0*o\0" % (width - 1, number) if number >= 0 else b""
    return digits if len(digits) == width else b""


def _refuse_device(path: bytes, number: int) -> bytes:
    raise UnrepresentableError(
        f"{display(path)}: a tar archive cannot contain the device number {number}"
    )


def _attributes(path: bytes, metadata: Metadata) -> dict[bytes, bytes]:
    records = {}
    for name, value in metadata.xattrs:
        if b"=" in name:
            raise UnrepresentableError(
                f"{display(path)}: a tar archive cannot contain the extended attribute "
                f"{display(name)}, whose name has '='"
            )
        records[_XATTR + name] = value
    return records


def _extended_header(name: bytes, records: dict[bytes, bytes], metadata: Metadata) -> bytes:
    if not records:
        return b""
    if any(not _is_utf8(records.get(keyword, b"")) for keyword in (b"path", b"linkpath")):
        records = {b"hdrcharset": b"BINARY", **records}
    content = b"".join(_record(*each) for each in records.items())
    block = bytearray(BLOCK_BYTES)
    last = name.rstrip(b"/").rpartition(b"/")[2]
    block[NAME] = _padded(b"PaxHeaders/" + last, NAME)
    for field_of, number in ((MODE, 0o644), (UID, 0), (GID, 0), (SIZE, len(content))):
        block[field_of] = _number(number, field_of)
    block[MTIME] = _number(metadata.mtime, MTIME) or _number(0, MTIME)
    block[TYPE] = tarfile.XHDTYPE
    return _finished(block) + content + bytes(-len(content) % BLOCK_BYTES)


def _record(keyword: bytes, value: bytes) -> bytes:
    """Return a record: its length in decimal digits, which counts itself, and the rest."""
    rest = b" " + keyword + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(rest) + len(str(length)) != length:
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _finished(block: bytearray) -> bytes:
    """Return a header with its magic number and checksum."""
    block[_USTAR] = b"ustar\x0000"
    block[CHECKSUM] = b" " * 8
    block[CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)
