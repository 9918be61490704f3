"""Read an initramfs into a tree, as the kernel unpacks it.

An initramfs is a sequence of cpio archives, each uncompressed or compressed, with zeros between
them. Later archives replace files of earlier ones. The streams of one compression that follow one
another are one part, as pigz, pzstd and xz -T write them.

Source: Documentation/driver-api/early-userspace/buffer-format.rst and init/initramfs.c of Linux.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping

from purekernel.errors import FormatError, LinkLoopError, PurekernelError, TreeError
from purekernel.formats.compression import COMPRESSED, unpack_streams
from purekernel.formats.cpio.layout import (
    ALIGNMENT,
    FOREIGN_MAGICS,
    HEADER_BYTES,
    MAGIC_CRC,
    MAGIC_NEWC,
    MAX_NAME_BYTES,
    TRAILER_NAME,
    Header,
    padding,
)
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.inflate import Inflated, Stream, skip_zeros
from purekernel.formats.member_names import MemberNames
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Node,
    Socket,
    Symlink,
    Tree,
    display,
    merge,
    plain_metadata,
    resolve,
)
from purekernel.tree.path import join, name, parent
from purekernel.tree.resolve import MAX_LINKS

# The maximum number of folders that have no record or are reached through links. Each needs a walk
# of up to a thousand steps. Archives made with find(1) have none.
MAX_DETOURS = 10_000


def parse_cpio(file: Input, *, first: Inflated | None = None) -> Tree:
    """Return the tree that the kernel would unpack ``file`` to.

    File contents are views into ``file``, or into its unpacked parts. Folders without a record
    belong to root, with mode 0755 and time 0. The last record of a path counts, in an archive and
    in a sequence of archives, but only a folder replaces a folder that is not empty, or one of the
    same archive. Links in a member's path are followed inside the tree; if the target of a link is
    missing, it is made as a folder. The trailer of an archive may be missing. Notes report records
    that replace earlier ones of their archive, absolute names, and missing trailers.

    Args:
        file: the archives.
        first: the content of the streams at the start of ``file``, if they are unpacked already.

    Raises:
        FormatError: an archive is damaged, truncated, or not in the newc format.
        LimitError: the data exceeds the limits.
        TreeError: members contradict each other.
    """
    return read_initramfs(file, first=first)[0]


@frozen(kw_only=True)
class Initramfs:
    """What several initrds unpack to together.

    Attributes:
        tree: the files and folders of all; of two with one path, the later.
        holders: for each path, a bit for each initrd that has a record for it: 1 for the first.
    """

    tree: Tree
    holders: Mapping[bytes, int]


def parse_initrds(parts: Iterable[Input | Tree | None]) -> Initramfs:
    """Return what the kernel unpacks from several initrds, which a boot loader joins.

    Args:
        parts: the initrds in order. A tree stands for an archive of its files, and ``None`` for an
            initrd that adds nothing.

    Raises:
        FormatError, LimitError, TreeError: as :func:`parse_cpio`.
    """
    reader = _CpioReader()
    holders: dict[bytes, int] = {}
    for index, part in enumerate(parts):
        reader.held.clear()
        if isinstance(part, Tree):
            reader.lay_over(part)
        elif part is not None:
            reader.unpack_all(part, None)
        for path in reader.held:
            holders[path] = holders.get(path, 0) | 1 << index
    kept = {path: bits for path, bits in holders.items() if path in reader.tree}
    return Initramfs(tree=reader.tree, holders=kept)


@frozen(kw_only=True)
class Segment:
    """A part of an initramfs: an archive without compression, or a compressed file of archives.

    Attributes:
        offset: where it starts, in bytes.
        end: the first byte after it, without the zeros that may follow.
        compression: its compression; ``None`` without any.
        unpacked_bytes: the size of its archives.
        archives: their number.
        members: the number of their records, without trailers.
        streams: the streams of the compression.
    """

    offset: int
    end: int
    compression: FileKind | None
    unpacked_bytes: int
    archives: int
    members: int
    streams: tuple[Stream, ...] = ()


def read_initramfs(
    file: Input, *, first: Inflated | None = None
) -> tuple[Tree, tuple[Segment, ...]]:
    """Return the tree of an initramfs, and the segments that it consists of.

    The arguments are those of :func:`parse_cpio`, and it raises the same errors.
    """
    reader = _CpioReader()
    try:
        reader.unpack_all(file, first)
    except PurekernelError as error:
        file.stop_at(error)
    return reader.tree, tuple(reader.segments)


def count_archives(file: Input) -> int:
    """Return the number of archives in an initramfs.

    Raises:
        FormatError, LimitError, TreeError: as :func:`parse_cpio`.
    """
    reader = _CpioReader()
    reader.unpack_all(file.quiet(), None)
    return reader.archives


# The kernel reads these folders in the uncompressed archives at the start, before it unpacks the
# initramfs. (Source: lib/earlycpio.c; arch/x86/kernel/cpu/microcode; drivers/acpi/tables.c.)
_EARLY_FOLDERS = (b"kernel/x86/microcode/", b"kernel/firmware/acpi/")


_EVERY_FIELD = frozenset({"mode", "uid", "gid", "mtime"})


# Read the records of one cpio archive in order.


@frozen(kw_only=True)
class Record:
    """A record of an archive.

    Attributes:
        offset: where the header starts, in bytes.
        end: the first byte after the content and its padding.
        header: the numbers.
        name: the raw name, without the NUL.
        content: a view of the content; empty for all types but files and symbolic links.
    """

    offset: int
    end: int
    header: Header
    name: bytes
    content: memoryview


def iter_records(file: Input, start: int) -> Iterator[Record]:
    """Yield the records of the archive at ``start``, with the trailer last.

    An archive without a trailer ends at the end of the file, or before zeros.

    Raises:
        FormatError: a record is damaged or truncated.
    """
    view = file.view
    offset = start
    while True:
        record = _read_record(file, offset, start)
        yield record
        offset = record.end
        if record.name == TRAILER_NAME or bytes(view[offset : offset + 1]) in (b"", b"\0"):
            return


def _read_record(file: Input, offset: int, start: int) -> Record:
    view = file.view
    header_end = offset + HEADER_BYTES
    _require(file, header_end, "a cpio header of 110 bytes")
    magic = bytes(view[offset : offset + 6])
    if magic not in (MAGIC_NEWC, MAGIC_CRC):
        raise file.fail(offset, "a cpio record (070701)", name_magic(magic))
    try:
        header = Header.unpack(bytes(view[offset + 6 : header_end]))
    except (ValueError, UnicodeDecodeError):
        raise file.fail(
            offset + 6, "104 hexadecimal digits", repr(bytes(view[offset + 6 : offset + 30])) + "…"
        ) from None
    name_end = header_end + header.namesize
    if not 0 < header.namesize <= MAX_NAME_BYTES:
        raise file.fail(offset, f"a name of 1 to {MAX_NAME_BYTES} bytes", str(header.namesize))
    _require(file, name_end, f"a name of {header.namesize} bytes")
    raw = bytes(view[header_end:name_end])
    # Some tools align contents with additional NULs after the name, which its size includes.
    name = raw.rstrip(b"\0")
    if raw[-1] != 0 or b"\0" in name:
        raise file.fail(header_end, "a name with NUL only at its end", repr(raw))
    content_start = name_end + padding(name_end - start)
    content_end = content_start + header.filesize
    _require(file, content_end, f"{header.filesize} bytes of content")
    content = view[content_start:content_end]
    # GNU cpio stores checksums for files only, and 0 for links.
    has_checksum = magic == MAGIC_CRC and stat.S_ISREG(header.mode) and header.filesize > 0
    checksum = sum(content) & 0xFFFFFFFF if has_checksum else header.check
    if checksum != header.check:
        raise file.fail(
            content_start, f"content with the checksum {header.check:#010x}", f"{checksum:#010x}"
        )
    return Record(
        offset=offset,
        end=content_end + padding(content_end - start),
        header=header,
        name=name,
        content=content,
    )


def name_magic(magic: bytes) -> str:
    """Return a description of ``magic``, which is not that of a newc record."""
    for prefix, kind in FOREIGN_MAGICS.items():
        if magic.startswith(prefix):
            return kind
    return repr(magic) if magic else "the end of the file"


def _require(file: Input, end: int, expected: str) -> None:
    if end > len(file):
        raise file.fail(len(file), expected, "the end of the archive")


def early_names(file: Input) -> tuple[bytes, ...]:
    """Return the names of the files that the kernel reads before it unpacks the initramfs.

    These are processor microcode and ACPI tables in the uncompressed archives at the start.

    Raises:
        FormatError: such an archive is damaged.
        LimitError: it has more members than the limit.
    """
    view = file.view
    names: list[bytes] = []
    members = 0
    position = skip_zeros(view, 0)
    while detect(view[position:]) is FileKind.CPIO:
        for record in iter_records(file, position):
            position = record.end
            members += 1
            file.check_members(members, record.offset)
            if record.name.startswith(_EARLY_FOLDERS) and stat.S_ISREG(record.header.mode):
                names.append(record.name)
        position = skip_zeros(view, position)
    return tuple(names)


def find_early_end(file: Input) -> int:
    """Return where the archives at the start end that hold only files to be read early; 0 for none.

    These are microcode and ACPI tables. The kernel reads them before it unpacks the initramfs, so
    they must stay in front and uncompressed.

    Raises:
        FormatError: such an archive is damaged.
        LimitError: it has more members than the limit.
    """
    view = file.view
    end = 0
    members = 0
    position = skip_zeros(view, 0)
    while detect(view[position:]) is FileKind.CPIO:
        found = False
        for record in iter_records(file, position):
            position = record.end
            members += 1
            file.check_members(members, record.offset)
            if stat.S_ISDIR(record.header.mode) or record.name == TRAILER_NAME:
                continue
            if not record.name.startswith(_EARLY_FOLDERS):
                return end
            found = True
        if not found:
            return end
        position = end = skip_zeros(view, position)
    return end


class _CpioReader:
    """Read a sequence of archives into one tree, and count members and bytes.

    Attributes:
        held: the paths that have a record.
        segments: the parts that were read, the last one perhaps not to its end.
    """

    def __init__(self) -> None:
        self.tree = Tree()
        self.archives = 0
        self.held: set[bytes] = set()
        self.segments: list[Segment] = []
        self._unpacked_bytes = 0
        self._members = 0
        self._is_open = False

    def lay_over(self, tree: Tree) -> None:
        """Add the files and folders of ``tree``, as from an archive."""
        # Folders of an archive change those that exist.
        stated = dict.fromkeys((path for path, _node in tree.walk()), _EVERY_FIELD)
        self.tree = merge(self.tree, tree, stated=stated)
        self.held.update(stated)

    def unpack_all(self, file: Input, first: Inflated | None) -> None:
        """Add all archives in ``file``; ``first`` as in :func:`parse_cpio`."""
        view = file.view
        position = skip_zeros(view, 0)
        if position == len(view):
            raise file.fail(0, "a cpio archive", "no data")
        while position < len(view):
            start, kind = position, detect(view[position:])
            archives, members = self.archives, self._members
            part: Inflated | None = None
            try:
                if kind is FileKind.CPIO:
                    position = self._unpack_aligned(file, position)
                elif kind in COMPRESSED:
                    part = first or unpack_streams(
                        file, position, already_bytes=self._unpacked_bytes
                    )
                    position = part.end
                    self._unpack_part(file.unpacked(part.content, is_cut=part.is_cut))
                else:
                    raise _no_archive(file, position)
            finally:
                self.segments.append(
                    Segment(
                        offset=start,
                        end=position if position > start else len(view),
                        compression=None if part is None else kind,
                        unpacked_bytes=position - start if part is None else len(part.content),
                        archives=self.archives - archives,
                        members=self._members - members,
                        streams=() if part is None else part.streams,
                    )
                )
            first = None
            position = skip_zeros(view, position)
        if self._is_open:
            file.note("the record TRAILER!!! at its end is missing, so it may have been cut off")

    def _unpack_part(self, part: Input) -> None:
        """Add all archives in an unpacked part. Each stream of it has an alignment of its own."""
        try:
            self._unpack_archives(part)
        except FormatError as error:
            if not part.is_cut:
                raise
            part.stop_at(error)

    def _unpack_archives(self, part: Input) -> None:
        view = part.view
        self._unpacked_bytes += len(part)
        position = skip_zeros(view, 0)
        if position == len(view):
            raise part.fail(0, "a cpio archive", "no data")
        while position < len(view):
            if detect(view[position:]) is not FileKind.CPIO:
                raise _no_archive(part, position)
            position = skip_zeros(view, self._unpack_archive(part, position))

    def _unpack_aligned(self, file: Input, position: int) -> int:
        if position % ALIGNMENT:
            raise file.fail(
                position,
                "an archive that starts at a multiple of 4 bytes",
                "an unaligned archive, which the kernel refuses",
            )
        return self._unpack_archive(file, position)

    def _unpack_archive(self, file: Input, start: int) -> int:
        archive = _CpioArchive(self.tree, file, members=self._members, held=self.held)
        self.archives += 1
        try:
            end = archive.unpack(start)
        finally:
            self._members = archive.members
        self._is_open |= archive.is_open
        return end


def _no_archive(file: Input, position: int) -> FormatError:
    magic = bytes(file.view[position : position + 6])
    return file.fail(position, "a cpio archive (070701), plain or compressed", name_magic(magic))


class _CpioArchive:
    """Read one archive into a tree, and track its paths and hard links."""

    def __init__(self, tree: Tree, file: Input, *, members: int, held: set[bytes]) -> None:
        self.members = members
        self._held = held
        self.is_open = True
        self._tree = tree
        self._file = file
        self._names = MemberNames(file)
        # The real paths of folders that are reached through links.
        self._followed: dict[bytes, bytes] = {}
        self._detours = 0
        # The path and inode of the first name of each hard-linked file.
        self._links: dict[tuple[int, int, int, int], tuple[bytes, int]] = {}

    def unpack(self, start: int) -> int:
        """Add the archive at ``start`` to the tree; return where it ends."""
        end = start
        for record in iter_records(self._file, start):
            end = record.end
            if record.name == TRAILER_NAME:
                self.is_open = False
                break
            self.members += 1
            self._file.check_members(self.members, record.offset)
            try:
                self._add(record)
            except TreeError as error:
                raise self._names.locate(error, record.offset) from None
        self._names.report()
        return end

    def _add(self, record: Record) -> None:
        path = self._names.parse(record.name)
        node = self._node(record)
        self._file.check_depth(path, record.offset)
        if path:
            # The path may lead through a link that an earlier member made.
            path = join(self._folder(parent(path), record), name(path))
        old = self._tree.get(path)
        if path == ROOT or self._names.is_placed(path):
            self._names.check_kind(path, old, node, record.offset)
        self._place(path, node, record)
        self._held.add(path)
        self._names.place(path, old, self._tree[path], record.offset)
        self._file.check_members(len(self._tree), record.offset)

    def _folder(self, folder: bytes, record: Record) -> bytes:
        """Return the real path of ``folder``: follow links, and make missing folders."""
        if isinstance(self._tree.get(folder), Directory):
            return folder
        if folder in self._followed:
            return self._followed[folder]
        real = ROOT
        links = 0
        for part in folder.split(b"/"):
            step = join(real, part)
            node = self._tree.get(step)
            if not isinstance(node, Directory):
                self._count_detour(record)
            if isinstance(node, Symlink):
                links += 1
                if links > MAX_LINKS:
                    raise LinkLoopError(
                        f"{display(folder)} passes through more than {MAX_LINKS} symbolic links"
                    )
                step = resolve(self._tree, step)
                node = self._tree.get(step)
            if node is None:
                self._tree.imply(step)
            real = step
        self._followed[folder] = real
        return real

    def _count_detour(self, record: Record) -> None:
        self._detours += 1
        if self._detours > MAX_DETOURS:
            raise self._file.exceed(
                record.offset,
                f"at most {MAX_DETOURS} folders that are missing or reached through links",
                "more",
                hint="the archive is damaged or hostile: pack it again with folders before files",
            )

    def _place(self, path: bytes, node: Node, record: Record) -> None:
        self._clear(path, node)
        header = record.header
        # The kernel ignores the link count of symbolic links and makes each separately.
        if header.nlink < 2 or isinstance(node, Directory | Symlink):
            self._tree.add(path, node)
            return
        # The kernel identifies hard links by these four fields (find_link in init/initramfs.c).
        key = (header.devmajor, header.devminor, header.ino, stat.S_IFMT(header.mode))
        first, inode = self._links.get(key, (b"", -1))
        if first not in self._tree or self._tree.inode(first) != inode:
            self._tree.add(path, node)
            self._links[key] = (path, self._tree.inode(path))
            return
        self._tree.link(path, first)
        if header.filesize:
            self._tree.replace(path, node)

    def _clear(self, path: bytes, node: Node) -> None:
        """Remove a node of another type that an earlier archive made (clean_path in Linux)."""
        old = self._tree.get(path)
        if isinstance(node, Symlink) or isinstance(old, Symlink):
            self._followed.clear()
        if old is None or isinstance(old, Directory) == isinstance(node, Directory):
            return
        if not self._names.is_placed(path) and not (
            isinstance(old, Directory) and self._tree.entries(path)
        ):
            self._tree.remove(path)

    def _node(self, record: Record) -> Node:
        header = record.header
        metadata = plain_metadata(stat.S_IMODE(header.mode), header.uid, header.gid, header.mtime)
        kind = stat.S_IFMT(header.mode)
        if kind == stat.S_IFREG:
            return File(metadata=metadata, content=record.content)
        if kind == stat.S_IFLNK:
            return Symlink(metadata=metadata, target=self._target(record))
        if header.filesize:
            raise self._file.fail(
                record.offset,
                f"no content in {display(record.name)}, which is not a file or link",
                f"{header.filesize} bytes",
            )
        if kind == stat.S_IFDIR:
            return Directory(metadata=metadata)
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            return Device(
                metadata=metadata,
                kind=DeviceKind.CHARACTER if kind == stat.S_IFCHR else DeviceKind.BLOCK,
                major=header.rdevmajor,
                minor=header.rdevminor,
            )
        if kind == stat.S_IFIFO:
            return Fifo(metadata=metadata)
        if kind == stat.S_IFSOCK:
            return Socket(metadata=metadata)
        raise self._file.fail(
            record.offset,
            "a file type that Linux supports",
            f"mode {header.mode:#o} for {display(record.name)}",
        )

    def _target(self, record: Record) -> bytes:
        if record.header.filesize >= MAX_NAME_BYTES:
            raise self._file.fail(
                record.offset,
                f"a target of at most {MAX_NAME_BYTES - 1} bytes, as the kernel requires",
                f"{record.header.filesize}",
            )
        target = bytes(record.content)
        if not target or b"\0" in target:
            raise self._file.fail(
                record.offset,
                f"a target for the link {display(record.name)}",
                "an empty target" if not target else f"{display(target)}, which has a NUL",
            )
        return target
