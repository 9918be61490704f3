"""Read Portable Executable (PE) files of UEFI, and add sections to one: a unified kernel image.

A unified kernel image is the stub of systemd with a kernel, its initrd and its command line as
further sections. Firmware starts it like any other program.

Source: Microsoft's "PE Format"; UEFI Specification 2.10, 2.1.1; systemd-stub(7); the UAPI Group's
"Unified Kernel Image" specification.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import Enum

from attrs import field

from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer
from purekernel.tree.path import escape

_DOS_MAGIC = b"MZ"
_MAGIC = b"PE\0\0"
_POINTER_OFFSET = 0x3C
_FILE_HEADER_BYTES = 24  # with the magic number
_SECTION_BYTES = 40
# The loader of Windows accepts 96; real files of UEFI have at most about 20.
_MAX_SECTIONS = 96

_PE32, _PE32_PLUS = 0x10B, 0x20B
_SECURITY_DIRECTORY = 4

# Of the optional header, which begins at the same offset in both forms up to here.
_SECTION_ALIGNMENT = 32
_SIZE_OF_IMAGE = 56
_SIZE_OF_HEADERS = 60
_CHECKSUM = 64
_SUBSYSTEM = 68
_FIXED_BYTES = 70

# Programs, drivers of boot services and of runtime (UEFI 2.10, 2.1.1).
_SUBSYSTEMS = (10, 11, 12)
_APPLICATION = 10

# Contains initialized data, can be read.
_DATA = 0x4000_0040

_PAGE_BYTES = 4096
_MIN_ALIGNMENT, _MAX_ALIGNMENT = 16, 1 << 16
_MAX_BYTES = 0xFFFF_FFFF

# Sums are taken of pieces, so that a large file is not copied as a whole.
_SUM_BYTES = 1 << 20


class Machine(Enum):
    """A processor that UEFI runs on.

    Attributes:
        number: the number in the file header.
        title: the processor, for messages.
        boot_name: the name of the program that firmware starts from a removable medium, in
            ``EFI/BOOT`` (UEFI 2.10, 3.5.1.1).
    """

    def __init__(self, number: int, title: str, boot_name: str) -> None:
        self.number = number
        self.title = title
        self.boot_name = boot_name

    IA32 = 0x014C, "x86 (ia32)", "BOOTIA32.EFI"
    X64 = 0x8664, "x86_64 (x64)", "BOOTX64.EFI"
    ARM = 0x01C2, "ARM", "BOOTARM.EFI"
    AA64 = 0xAA64, "aarch64 (aa64)", "BOOTAA64.EFI"
    RISCV64 = 0x5064, "RISC-V (riscv64)", "BOOTRISCV64.EFI"


@frozen(kw_only=True)
class PeSection:
    """A section of a PE file.

    Attributes:
        name: its name, without padding.
        address: where it is loaded, relative to the image.
        memory_bytes: its size in memory.
        content: its bytes in the file, with the padding to the file's alignment.
    """

    name: bytes
    address: int
    memory_bytes: int
    content: memoryview = field(repr=False)

    @property
    def data(self) -> memoryview:
        """The content without padding."""
        return self.content[: self.memory_bytes]


@frozen(kw_only=True)
class PeImage:
    """A PE file.

    Attributes:
        file: the file.
        machine: the processor; ``None`` for one that UEFI does not run on.
        subsystem: what the file is for; 10 for a program of UEFI.
        sections: its sections in order.
        image_bytes: its size in memory.
        is_signed: whether it has signatures. They cover the whole file.
        header: the offset of the file header.
        table: the offset of the section table.
    """

    file: Input = field(repr=False)
    machine: Machine | None
    subsystem: int
    sections: tuple[PeSection, ...]
    image_bytes: int
    is_signed: bool
    header: int
    table: int

    @property
    def is_program(self) -> bool:
        """Whether firmware can start it."""
        return self.machine is not None and self.subsystem == _APPLICATION

    def section(self, name: bytes) -> memoryview | None:
        """Return the data of the first section with this name, without padding."""
        return next((each.data for each in self.sections if each.name == name), None)


def parse_pe(file: Input) -> PeImage:
    """Return the headers and sections of a PE file for UEFI.

    Raises:
        FormatError: the file is no PE file, is not for UEFI, or is damaged.
    """
    view = file.view
    if bytes(view[:2]) != _DOS_MAGIC or len(view) < _POINTER_OFFSET + 4:
        got = bytes(view[:4]).hex(" ") or "nothing"
        raise file.fail(0, "a PE file, which begins with 'MZ'", got)
    (header,) = struct.unpack_from("<I", view, _POINTER_OFFSET)
    optional = header + _FILE_HEADER_BYTES
    if bytes(view[header : header + 4]) != _MAGIC or len(view) < optional + _FIXED_BYTES:
        raise file.fail(_POINTER_OFFSET, "the offset of a PE header", f"{header}")
    number, count = struct.unpack_from("<HH", view, header + 4)
    (optional_bytes,) = struct.unpack_from("<H", view, header + 20)
    (magic,) = struct.unpack_from("<H", view, optional)
    directories = optional + {_PE32: 92, _PE32_PLUS: 108}.get(magic, 0)
    table = optional + optional_bytes
    if magic not in (_PE32, _PE32_PLUS) or directories + 4 > table:
        raise file.fail(optional, "an optional header of PE32 or PE32+", f"magic {magic:#06x}")
    if count > _MAX_SECTIONS or table + count * _SECTION_BYTES > len(view):
        raise file.fail(header + 6, f"at most {_MAX_SECTIONS} sections in the file", f"{count}")
    (subsystem,) = struct.unpack_from("<H", view, optional + _SUBSYSTEM)
    if subsystem not in _SUBSYSTEMS:
        raise file.fail(
            optional + _SUBSYSTEM, "a program for UEFI (subsystem 10)", f"subsystem {subsystem}"
        )
    return PeImage(
        file=file,
        machine=next((each for each in Machine if each.number == number), None),
        subsystem=subsystem,
        sections=tuple(_sections(file, table, count)),
        image_bytes=struct.unpack_from("<I", view, optional + _SIZE_OF_IMAGE)[0],
        is_signed=_is_signed(file, directories, table),
        header=header,
        table=table,
    )


def _sections(file: Input, table: int, count: int) -> Sequence[PeSection]:
    view = file.view
    sections = []
    for start in range(table, table + count * _SECTION_BYTES, _SECTION_BYTES):
        name = bytes(view[start : start + 8]).rstrip(b"\0")
        memory_bytes, address, size_bytes, offset = struct.unpack_from("<IIII", view, start + 8)
        if size_bytes and offset + size_bytes > len(view):
            raise file.fail(
                start + 16,
                f"the section {escape(name)} inside the file",
                f"{size_bytes} bytes at {offset} of {len(view)}",
            )
        sections.append(
            PeSection(
                name=name,
                address=address,
                memory_bytes=memory_bytes,
                content=view[offset : offset + size_bytes] if size_bytes else view[:0],
            )
        )
    return sections


def _is_signed(file: Input, directories: int, table: int) -> bool:
    """Return whether the certificate table has a certificate."""
    (count,) = struct.unpack_from("<I", file.view, directories)
    entry = directories + 4 + 8 * _SECURITY_DIRECTORY
    if count <= _SECURITY_DIRECTORY or entry + 8 > table:
        return False
    offset, size_bytes = struct.unpack_from("<II", file.view, entry)
    if offset + size_bytes > len(file):
        raise file.fail(entry, "a certificate table inside the file", f"{size_bytes} at {offset}")
    return bool(size_bytes)


@frozen(kw_only=True)
class NewSection:
    """A section to add to a PE file.

    Attributes:
        name: its name, of at most 8 bytes.
        content: its content, in pieces.
        memory_bytes: its size in memory, if that is larger.
    """

    name: bytes
    content: Sequence[Buffer] = field(repr=False)
    memory_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """The size of its content."""
        return sum(len(piece) for piece in self.content)


def add_sections(image: PeImage, added: Sequence[NewSection]) -> Buffer:
    """Return the PE file with sections after its own, and the checksum of the whole.

    The bytes that the file has stay where they are. Symbols after the sections, which nothing reads
    at run time, are dropped.

    Raises:
        FormatError: the file is signed, has no room for the headers of more sections, has a section
            of one of the names, or would be larger than 4 GiB.
    """
    file, view = image.file, image.file.view
    _check_room(image, added)
    optional = image.header + _FILE_HEADER_BYTES
    alignment, file_alignment = struct.unpack_from("<II", view, optional + _SECTION_ALIGNMENT)
    head = bytearray(view[: _end_of_sections(image)])
    head += bytes(-len(head) % file_alignment)
    pieces: list[Buffer] = [head]
    offset = len(head)
    address = max(
        (each.address + max(each.memory_bytes, len(each.content)) for each in image.sections),
        default=0,
    )
    data_bytes = 0
    table = image.table + len(image.sections) * _SECTION_BYTES
    for section in added:
        # Whole pages, so that the kernel and the firmware can protect each section.
        address = _aligned(max(address, 1), max(alignment, _PAGE_BYTES))
        size_bytes = section.size_bytes
        stored_bytes = _aligned(size_bytes, file_alignment)
        memory_bytes = max(size_bytes, section.memory_bytes)
        if max(address + memory_bytes, offset + stored_bytes) > _MAX_BYTES:
            raise file.fail(None, "at most 4 GiB of sections", f"{address + memory_bytes} bytes")
        fields = (section.name, memory_bytes, address, stored_bytes, offset, 0, 0, 0, 0, _DATA)
        struct.pack_into("<8sIIIIIIHHI", head, table, *fields)
        pieces += [*section.content, bytes(stored_bytes - size_bytes)]
        table += _SECTION_BYTES
        offset += stored_bytes
        address += memory_bytes
        data_bytes += stored_bytes
    struct.pack_into("<H", head, image.header + 6, len(image.sections) + len(added))
    struct.pack_into("<II", head, image.header + 12, 0, 0)  # the symbols
    (old_data_bytes,) = struct.unpack_from("<I", head, optional + 8)
    struct.pack_into("<I", head, optional + 8, (old_data_bytes + data_bytes) & _MAX_BYTES)
    struct.pack_into("<I", head, optional + _SIZE_OF_IMAGE, _aligned(address, alignment))
    struct.pack_into("<I", head, optional + _CHECKSUM, 0)
    whole = bytearray().join(pieces)
    struct.pack_into("<I", whole, optional + _CHECKSUM, _checksum(memoryview(whole)))
    return memoryview(whole).toreadonly()


def _check_room(image: PeImage, added: Sequence[NewSection]) -> None:
    """Refuse what cannot get more sections."""
    file = image.file
    if image.is_signed:
        raise file.fail(
            None,
            "a file without a signature, as more sections change it",
            "a signed file",
            hint="use the unsigned file, and sign the result",
        )
    taken = {each.name for each in image.sections}
    for section in added:
        if section.name in taken:
            raise file.fail(None, f"no section {escape(section.name)}", "one of that name")
    optional = image.header + _FILE_HEADER_BYTES
    alignment, file_alignment = struct.unpack_from("<II", file.view, optional + _SECTION_ALIGNMENT)
    for each in (alignment, file_alignment):
        if each & (each - 1) or not _MIN_ALIGNMENT <= each <= _MAX_ALIGNMENT:
            raise file.fail(
                optional + _SECTION_ALIGNMENT, "alignments that are powers of two", f"{each}"
            )
    (headers_bytes,) = struct.unpack_from("<I", file.view, optional + _SIZE_OF_HEADERS)
    end = image.table + (len(image.sections) + len(added)) * _SECTION_BYTES
    if end > min(headers_bytes, len(file)):
        raise file.fail(
            image.table,
            f"room for the headers of {len(added)} more sections",
            f"{max(0, headers_bytes - image.table)} bytes for all",
            hint="use a stub of another release of systemd",
        )


def _end_of_sections(image: PeImage) -> int:
    """Return where the last section ends in the file."""
    view = image.file.view
    table_end = image.table + len(image.sections) * _SECTION_BYTES
    (headers_bytes,) = struct.unpack_from(
        "<I", view, image.header + _FILE_HEADER_BYTES + _SIZE_OF_HEADERS
    )
    ends: list[int] = [min(headers_bytes, len(view)), table_end]
    for start in range(image.table, table_end, _SECTION_BYTES):
        size_bytes, offset = struct.unpack_from("<II", view, start + 16)
        ends.append(offset + size_bytes if size_bytes else 0)
    return max(ends)


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _checksum(view: memoryview) -> int:
    """Return the checksum of an image whose checksum field is 0.

    It is the ones' complement sum of all 16-bit words, plus the size. Such a sum is the remainder
    of the division by 65535 of the whole as one number.
    """
    total = 0
    for start in range(0, len(view), _SUM_BYTES):
        total += int.from_bytes(view[start : start + _SUM_BYTES], "little") % 0xFFFF
    total %= 0xFFFF
    checksum: int = (total or 0xFFFF) + len(view) & _MAX_BYTES
    return checksum
