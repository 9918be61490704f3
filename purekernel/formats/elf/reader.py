"""Read the header, the segments and the dynamic section of an ELF file.

Contents are views into the file, and each offset is checked against its end. Sections are not
read: a loader does not need them, and a stripped file may have none.

Source: System V Application Binary Interface, chapters 4 and 5; elf(5).
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import field

from purekernel.formats.elf.layout import (
    CLASS_AT,
    DATA_AT,
    DATA_BIG,
    DATA_LITTLE,
    DT_NULL,
    LAYOUTS,
    MAGIC,
    PT_LOAD,
    ByteOrder,
    ElfClass,
    ElfLayout,
)
from purekernel.input import Input
from purekernel.records import frozen

IDENT_BYTES = 16

# The names of libraries are file names, which PATH_MAX of Linux limits to this. Without a limit, a
# file with many pointers into one long string would take unbounded memory.
MAX_STRING_BYTES = 4096

# A dynamic section ends with an end mark, not where its segment ends. Real ones have tens of
# entries, and one for each library needed; Linux loads no file with more segments than fit a page
# (ELF_MIN_ALIGN in fs/binfmt_elf.c), and counts have 16 bits.
MAX_DYNAMIC_ENTRIES = 65_536


class ElfSegment(NamedTuple):
    """A program header, with the field names of elf(5) without their ``p_``."""

    type: int
    offset: int
    vaddr: int
    filesz: int
    align: int


@frozen(kw_only=True)
class ElfHeader:
    """The header of an ELF file.

    Attributes:
        elf_class: the width of its addresses.
        byte_order: the byte order of its numbers.
        type: ``e_type``; 3 is a shared object.
        machine: ``e_machine``.
        flags: ``e_flags``; their meaning depends on the machine.
        phoff: the offset of the program headers, in bytes.
        phnum: the number of program headers.
        layout: the structures of this class and byte order.
    """

    elf_class: ElfClass
    byte_order: ByteOrder
    type: int
    machine: int
    flags: int
    phoff: int
    phnum: int
    layout: ElfLayout = field(init=False, repr=False, eq=False)

    @layout.default
    def _find_layout(self) -> ElfLayout:
        return LAYOUTS[self.elf_class, self.byte_order]


@frozen(kw_only=True)
class Elf:
    """An ELF file with its header and segments.

    Attributes:
        file: the whole file.
        segments: the program headers, in the order of the file.
        pointer_bytes: the size of a pointer on the machine that runs ldconfig. ldconfig adds
            offsets as pointers, which wrap around in damaged files.
        view: the bytes of the file.
    """

    file: Input
    header: ElfHeader
    segments: tuple[ElfSegment, ...]
    pointer_bytes: int = 8
    view: memoryview = field(init=False, repr=False, eq=False)

    @view.default
    def _make_view(self) -> memoryview:
        return self.file.view

    @property
    def layout(self) -> ElfLayout:
        """Return the structures of this class and byte order."""
        return self.header.layout

    def dynamic_entries(self, offset: int) -> list[tuple[int, int]]:
        """Return the tags and values of the dynamic section at ``offset``, without its end mark.

        Raises:
            FormatError: the section has no end mark, or exceeds the file.
        """
        entry = self.layout.dynamic
        end = min(len(self.view), offset + MAX_DYNAMIC_ENTRIES * entry.size)
        whole = end - (end - offset) % entry.size
        entries: list[tuple[int, int]] = []
        if offset < whole:
            for tag, value in entry.iter_unpack(self.view[offset:whole]):
                if tag == DT_NULL:
                    return entries
                entries.append((tag, value))
        got = "one without an end mark" if whole > offset else "the end of the file"
        raise self.file.fail(offset, "a dynamic section that ends", got)

    def file_offset(self, address: int) -> int:
        """Return the file offset of what is loaded at ``address``.

        Like ldconfig, take an address outside of all loaded segments as an offset. The same
        applies to a segment that is loaded one byte before its offset: glibc uses that value to
        mark the absence of a segment.
        """
        for segment in self.segments:
            if segment.type == PT_LOAD and 0 <= address - segment.vaddr < segment.filesz:
                return self.wrap(address - (self._shift(segment) or 0))
        return address

    def offset_by_first(self, address: int) -> int:
        """Return the file offset of what is loaded at ``address``, using the first segment."""
        shifts = (self._shift(segment) for segment in self.segments if segment.type == PT_LOAD)
        return self.wrap(address - next((shift for shift in shifts if shift is not None), 0))

    def _shift(self, segment: ElfSegment) -> int | None:
        """Return the load address of a segment less its offset; ``None`` for glibc's mark."""
        values = 1 << 8 * self.layout.word_bytes
        shift = (segment.vaddr - segment.offset) % values
        return None if shift == values - 1 else shift

    def wrap(self, offset: int) -> int:
        """Return ``offset`` modulo the size of a pointer on the machine that runs ldconfig."""
        return offset % (1 << 8 * self.pointer_bytes)

    def string(self, offset: int) -> bytes:
        """Return the string at ``offset``, which must not be negative, without its NUL.

        Raises:
            FormatError: the string is outside of the file, too long, or has no end.
        """
        piece = bytes(self.view[offset : offset + MAX_STRING_BYTES])
        text, nul, _rest = piece.partition(b"\0")
        if not nul:
            raise self.file.fail(
                offset,
                f"a string of less than {MAX_STRING_BYTES} bytes that ends in a NUL",
                "the end of the file" if len(piece) < MAX_STRING_BYTES else "a longer one",
            )
        return text


def parse_elf_header(file: Input, *, byte_order: ByteOrder | None = None) -> ElfHeader:
    """Return the header of an ELF file.

    Args:
        file: the whole file.
        byte_order: the byte order to use; ``None`` for that which the file declares.

    Raises:
        FormatError: the file is not an ELF file, or its header is truncated.
    """
    elf_class, order = _read_ident(file, byte_order)
    layout = LAYOUTS[elf_class, order]
    if len(file) < IDENT_BYTES + layout.header.size:
        raise file.fail(len(file), "an ELF header", "the end of the file")
    (kind, machine, _version, _entry, phoff, _shoff, flags, _ehsize, _phentsize, phnum,
     _shentsize, _shnum, _shstrndx) = layout.header.unpack_from(file.data, IDENT_BYTES)  # fmt: skip
    return ElfHeader(
        elf_class=elf_class,
        byte_order=order,
        type=kind,
        machine=machine,
        flags=flags,
        phoff=phoff,
        phnum=phnum,
    )


def parse_elf(file: Input, header: ElfHeader, *, pointer_bytes: int = 8) -> Elf:
    """Return an ELF file with its segments; it keeps views into ``file``.

    Args:
        file: the whole file.
        header: its header.
        pointer_bytes: the size of a pointer on the machine that runs ldconfig.

    Raises:
        FormatError: the program headers are truncated.
    """
    end = header.phoff + header.phnum * header.layout.program_header.size
    if end > len(file):
        raise file.fail(header.phoff, f"{header.phnum} program headers", "the end of the file")
    headers = header.layout.program_header.iter_unpack(file.view[header.phoff : end])
    return Elf(
        file=file,
        header=header,
        segments=tuple(map(ElfSegment._make, headers)),
        pointer_bytes=pointer_bytes,
    )


def _read_ident(file: Input, order: ByteOrder | None) -> tuple[ElfClass, ByteOrder]:
    ident = bytes(file.data[:IDENT_BYTES])
    if not ident.startswith(MAGIC) or len(ident) < IDENT_BYTES:
        raise file.fail(0, "an ELF file", repr(ident[:4]))
    try:
        elf_class = ElfClass(ident[CLASS_AT])
    except ValueError:
        raise file.fail(
            CLASS_AT, "ELF class 1 (32 bits) or 2 (64 bits)", str(ident[CLASS_AT])
        ) from None
    if order is not None:
        return elf_class, order
    if ident[DATA_AT] not in (DATA_LITTLE, DATA_BIG):
        raise file.fail(DATA_AT, "byte order 1 (little) or 2 (big)", str(ident[DATA_AT]))
    return elf_class, "little" if ident[DATA_AT] == DATA_LITTLE else "big"
