"""Read an initramfs into a tree, as the kernel unpacks it.

An initramfs is any number of cpio archives in a row, each by itself plain or compressed,
with zeros between them; later ones win. A part that is not gzip must be the last, for its end is
not looked for. (Source: buffer-format.rst; init/initramfs.c.)
"""

from __future__ import annotations

import stat
from collections.abc import Iterator

from attrs import frozen

from purekernel.errors import FormatError, LimitError, LinkLoopError, TreeError
from purekernel.formats.compression import is_compressed, unpack
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
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.gzip import parse_member
from purekernel.formats.inflate import skip_zeros
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
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
    Socket,
    Symlink,
    Tree,
    display,
    parse_path,
    resolve,
)
from purekernel.tree.path import join, name, parent
from purekernel.tree.resolve import MAX_LINKS

# How many folders of an archive may be missing from it, or be reached through links, each of
# which means a walk of up to a thousand steps. Archives that find(1) lists have none.
MAX_DETOURS = 10_000


def parse_cpio(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> Tree:
    """Return the tree that the kernel would unpack ``data`` to.

    File contents are views into ``data``, or into what it unpacks to. Folders that no
    record makes are root's, 0755, of 1970. Within one archive a path may stand once (a
    folder more often); in a later archive it replaces what an earlier one brought, save
    that nothing but a folder replaces a folder that holds something. Links on the way to a
    member are followed inside the tree; where one dangles, the folder it leads to is made.

    Raises:
        FormatError: an archive is damaged, truncated, or not of the newc kind.
        LimitError: it unpacks to more than ``limits`` allow.
        TreeError: its members contradict one another.
    """
    reader = _Reader(source, limits)
    reader.unpack(memoryview(data), compressed=False)
    return reader.tree


def count_archives(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> int:
    """Return how many archives an initramfs is, all in a row.

    Raises:
        FormatError, LimitError, TreeError: as :func:`parse_cpio`.
    """
    reader = _Reader(source, limits)
    reader.unpack(memoryview(data), compressed=False)
    return reader.archives


# Where the kernel looks in the uncompressed front of an initramfs before it unpacks anything.
# (Source: lib/earlycpio.c; arch/x86/kernel/cpu/microcode; drivers/acpi/tables.c.)
_EARLY_FOLDERS = (b"kernel/x86/microcode/", b"kernel/firmware/acpi/")


# Read the records of one cpio archive, one after the other, as they lie.


@frozen(kw_only=True)
class Record:
    """One record.

    Attributes:
        offset: where its header starts, in bytes.
        end: the first byte after its content and padding.
        header: its numbers.
        name: as it lies there, without the NUL.
        content: a view of its bytes; empty for all but files and symbolic links.
    """

    offset: int
    end: int
    header: Header
    name: bytes
    content: memoryview


def iter_records(view: memoryview, start: int, *, source: str) -> Iterator[Record]:
    """Yield the records of the archive at ``start``, its trailer last.

    Raises:
        FormatError: a record is damaged, or the archive ends without its trailer.
    """
    here = start
    while True:
        record = _read_record(view, here, start, source)
        yield record
        if record.name == TRAILER_NAME:
            return
        here = record.end


def _read_record(view: memoryview, offset: int, start: int, source: str) -> Record:
    header_end = offset + HEADER_BYTES
    _require(view, header_end, "a cpio header of 110 bytes", source)
    magic = bytes(view[offset : offset + 6])
    if magic not in (MAGIC_NEWC, MAGIC_CRC):
        raise FormatError(
            source=source, offset=offset, expected="a cpio record (070701)", got=name_magic(magic)
        )
    try:
        header = Header.unpack(bytes(view[offset + 6 : header_end]))
    except (ValueError, UnicodeDecodeError):
        raise FormatError(
            source=source,
            offset=offset + 6,
            expected="104 hexadecimal digits",
            got=repr(bytes(view[offset + 6 : offset + 30])) + "…",
        ) from None
    name_end = header_end + header.namesize
    if not 0 < header.namesize <= MAX_NAME_BYTES:
        raise FormatError(
            source=source,
            offset=offset,
            expected=f"a name of 1 to {MAX_NAME_BYTES} bytes",
            got=str(header.namesize),
        )
    _require(view, name_end, f"a name of {header.namesize} bytes", source)
    raw = bytes(view[header_end:name_end])
    # Some tools align contents by more NULs behind the name, counted in its size.
    name = raw.rstrip(b"\0")
    if raw[-1] != 0 or b"\0" in name:
        raise FormatError(
            source=source, offset=header_end, expected="a name that ends at its NUL", got=repr(raw)
        )
    content_start = name_end + padding(name_end - start)
    content_end = content_start + header.filesize
    _require(view, content_end, f"{header.filesize} bytes of content", source)
    content = view[content_start:content_end]
    # GNU cpio adds up files alone, and leaves 0 for links.
    checked = magic == MAGIC_CRC and stat.S_ISREG(header.mode) and header.filesize > 0
    added = sum(content) & 0xFFFFFFFF if checked else header.check
    if added != header.check:
        raise FormatError(
            source=source,
            offset=content_start,
            expected=f"content whose bytes add up to {header.check:#010x}",
            got=f"{added:#010x}",
        )
    return Record(
        offset=offset,
        end=content_end + padding(content_end - start),
        header=header,
        name=name,
        content=content,
    )


def name_magic(magic: bytes) -> str:
    """Say what ``magic`` is, when it is not a record's."""
    for prefix, kind in FOREIGN_MAGICS.items():
        if magic.startswith(prefix):
            return kind
    return repr(magic) if magic else "the end of the file"


def _require(view: memoryview, end: int, expected: str, source: str) -> None:
    if end > len(view):
        raise FormatError(
            source=source, offset=len(view), expected=expected, got="the end of the archive"
        )


def early_names(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, ...]:
    """Return the names of what the kernel reads from an initramfs before it unpacks anything.

    Processor microcode and ACPI tables, in the uncompressed archives at the front.

    Raises:
        FormatError: such an archive is damaged.
        LimitError: it has more members than ``limits`` allow.
    """
    view = memoryview(data).cast("B")
    names: list[bytes] = []
    members = 0
    here = skip_zeros(view, 0)
    while bytes(view[here : here + 6]) in (MAGIC_NEWC, MAGIC_CRC):
        for record in iter_records(view, here, source=source):
            here = record.end
            members += 1
            limits.check_members(members, source=source, offset=record.offset)
            if record.name.startswith(_EARLY_FOLDERS) and stat.S_ISREG(record.header.mode):
                names.append(record.name)
        here = skip_zeros(view, here)
    return tuple(names)


class _Reader:
    """Archives in a row on their way into one tree, and how much they came to so far."""

    def __init__(self, source: str, limits: Limits) -> None:
        self.tree = Tree()
        self.archives = 0
        self._source = source
        self._limits = limits
        self._unpacked_bytes = 0
        self._members = 0

    def unpack(self, view: memoryview, *, compressed: bool) -> None:
        """Add all archives in ``view``, which is itself what a compressed part held or not."""
        here = skip_zeros(view, 0)
        if here == len(view):
            raise self._error(0, "a cpio archive", "nothing")
        while here < len(view):
            magic = bytes(view[here : here + 6])
            if magic in (MAGIC_NEWC, MAGIC_CRC):
                here = self._unpack_archive(view, here)
            elif not compressed and magic.startswith(GZIP_MAGIC):
                member = parse_member(
                    view,
                    here,
                    source=self._source,
                    limits=self._limits,
                    already_bytes=self._unpacked_bytes,
                )
                self._unpack_part(member.content)
                here = member.end
            elif not compressed and is_compressed(view[here:]):
                content = unpack(
                    view[here:],
                    source=self._source,
                    limits=self._limits,
                    already_bytes=self._unpacked_bytes,
                )
                self._unpack_part(content)
                here = len(view)
            else:
                raise self._error(
                    here, "a cpio archive (070701), plain or compressed", name_magic(magic)
                )
            here = skip_zeros(view, here)

    def _unpack_part(self, content: Buffer) -> None:
        self._unpacked_bytes += len(content)
        self.unpack(memoryview(content), compressed=True)

    def _unpack_archive(self, view: memoryview, here: int) -> int:
        if here % ALIGNMENT:
            raise self._error(
                here,
                "an archive that starts at a multiple of 4 bytes",
                "one that does not, which the kernel refuses",
            )
        archive = _Archive(self.tree, self._source, self._limits, members=self._members)
        end = archive.unpack(view, here)
        self._members = archive.members
        self.archives += 1
        return end

    def _error(self, offset: int, expected: str, got: str) -> FormatError:
        return FormatError(source=self._source, offset=offset, expected=expected, got=got)


class _Archive:
    """One archive on its way into a tree: what it has named so far, and its hard links."""

    def __init__(self, tree: Tree, source: str, limits: Limits, *, members: int) -> None:
        self.members = members
        self._tree = tree
        self._source = source
        self._limits = limits
        self._seen: set[bytes] = set()
        self._placed: set[bytes] = set()
        # Where folders turned out to be that are reached through links.
        self._followed: dict[bytes, bytes] = {}
        self._detours = 0
        # The path and inode of the first name of each hard-linked file.
        self._links: dict[tuple[int, int, int, int], tuple[bytes, int]] = {}

    def unpack(self, view: memoryview, start: int) -> int:
        """Add the archive at ``start`` to the tree; return where it ends."""
        end = start
        for record in iter_records(view, start, source=self._source):
            end = record.end
            if record.name == TRAILER_NAME:
                break
            self.members += 1
            self._limits.check_members(self.members, source=self._source, offset=record.offset)
            try:
                self._add(record)
            except TreeError as error:
                raise error.within(f"{self._source}, byte {record.offset}") from None
        return end

    def _add(self, record: Record) -> None:
        path = parse_path(record.name)
        node = self._node(record)
        self._limits.check_depth(path, source=self._source, offset=record.offset)
        if path in self._seen and not isinstance(node, Directory):
            raise self._twice(path, record)
        self._seen.add(path)
        if not path:
            if not isinstance(node, Directory):
                raise FormatError(
                    source=self._source,
                    offset=record.offset,
                    expected="a folder at the root",
                    got="something else",
                )
            self._tree.replace(path, node)
            return
        # An earlier member may be a link that this one's path leads through.
        path = join(self._folder(parent(path), record), name(path))
        if path in self._placed and not isinstance(node, Directory):
            raise self._twice(path, record)
        self._place(path, node, record)
        self._placed.add(path)
        self._limits.check_members(len(self._tree), source=self._source, offset=record.offset)

    def _twice(self, path: bytes, record: Record) -> FormatError:
        return FormatError(
            source=self._source,
            offset=record.offset,
            expected="each name once",
            got=f"{display(path)} again",
        )

    def _folder(self, folder: bytes, record: Record) -> bytes:
        """Return where ``folder`` really is, making what is missing, links followed."""
        if isinstance(self._tree.get(folder), Directory):
            return folder
        if folder in self._followed:
            return self._followed[folder]
        here = ROOT
        links = 0
        for part in folder.split(b"/"):
            step = join(here, part)
            found = self._tree.get(step)
            if not isinstance(found, Directory):
                self._count_detour(record)
            if isinstance(found, Symlink):
                links += 1
                if links > MAX_LINKS:
                    raise LinkLoopError(
                        f"{display(folder)} passes through more than {MAX_LINKS} symbolic links"
                    )
                step = resolve(self._tree, step)
                found = self._tree.get(step)
            if found is None:
                self._tree.imply(step)
            here = step
        self._followed[folder] = here
        return here

    def _count_detour(self, record: Record) -> None:
        self._detours += 1
        if self._detours > MAX_DETOURS:
            raise LimitError(
                source=self._source,
                offset=record.offset,
                expected=f"at most {MAX_DETOURS} folders that are missing or reached through links",
                got="more",
                hint="the archive is damaged or hostile: real ones name folders before files",
            )

    def _place(self, path: bytes, node: Node, record: Record) -> None:
        self._clear(path, node)
        header = record.header
        # The kernel makes each symbolic link anew, whatever its link count says.
        if header.nlink < 2 or isinstance(node, Directory | Symlink):
            self._tree.add(path, node)
            return
        # The kernel tells hard links by just these four (find_link in init/initramfs.c).
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
        """Take away what an earlier archive left of another type (clean_path, there)."""
        found = self._tree.get(path)
        if isinstance(node, Symlink) or isinstance(found, Symlink):
            self._followed.clear()
        if found is None or isinstance(found, Directory) == isinstance(node, Directory):
            return
        if path not in self._placed and not (
            isinstance(found, Directory) and self._tree.entries(path)
        ):
            self._tree.remove(path)

    def _node(self, record: Record) -> Node:
        header = record.header
        metadata = Metadata(
            mode=stat.S_IMODE(header.mode), uid=header.uid, gid=header.gid, mtime=header.mtime
        )
        kind = stat.S_IFMT(header.mode)
        if kind == stat.S_IFREG:
            return File(metadata=metadata, content=record.content)
        if kind == stat.S_IFLNK:
            return Symlink(metadata=metadata, target=self._target(record))
        if header.filesize:
            raise FormatError(
                source=self._source,
                offset=record.offset,
                expected=f"no content in {display(record.name)}, which is neither file nor link",
                got=f"{header.filesize} bytes",
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
        raise FormatError(
            source=self._source,
            offset=record.offset,
            expected="a file type that Linux knows",
            got=f"mode {header.mode:#o} for {display(record.name)}",
        )

    def _target(self, record: Record) -> bytes:
        if record.header.filesize >= MAX_NAME_BYTES:
            raise FormatError(
                source=self._source,
                offset=record.offset,
                expected=f"a target of at most {MAX_NAME_BYTES - 1} bytes, as the kernel does",
                got=f"{record.header.filesize}",
            )
        target = bytes(record.content)
        if not target or b"\0" in target:
            raise FormatError(
                source=self._source,
                offset=record.offset,
                expected=f"a target for the link {display(record.name)}",
                got="none" if not target else f"{display(target)}, with a NUL",
            )
        return target
