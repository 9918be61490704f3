"""Read the header, the segments and the dynamic section of an ELF file.

Nothing is copied but what is asked for, and every offset is held against the file's end.
Sections are not looked at: a loader does not, and a stripped file may have none.
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import field, frozen

from purekernel.errors import FormatError
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
    Layout,
)
from purekernel.tree import Buffer

IDENT_BYTES = 16

# Names of libraries are names of files: PATH_MAX of Linux. A longer one is damage, and a
# file full of pointers into one long string would take memory without end.
MAX_STRING_BYTES = 4096

# A dynamic section ends where it says so, not where its segment does. Real ones have some
# tens of entries, and one for each library needed; Linux loads no file with more segments
# than fit a page (ELF_MIN_ALIGN in fs/binfmt_elf.c), yet counts have 16 bits.
MAX_DYNAMIC_ENTRIES = 65_536


class Segment(NamedTuple):
    """One program header, under the names of elf(5) without their ``p_``."""

    type: int
    offset: int
    vaddr: int
    filesz: int
    align: int


@frozen(kw_only=True)
class ElfHeader:
    """The header of an ELF file.

    Attributes:
        byte_order: in which its numbers were read.
        type: ``e_type``; 3 is a shared object.
        machine: ``e_machine``.
        flags: ``e_flags``, which mean something to each machine alone.
        phoff: where the program headers are.
        phnum: how many.
        layout: the structures that this file is made of.
    """

    elf_class: ElfClass
    byte_order: ByteOrder
    type: int
    machine: int
    flags: int
    phoff: int
    phnum: int
    layout: Layout = field(init=False, repr=False, eq=False)

    @layout.default
    def _find_layout(self) -> Layout:
        return LAYOUTS[self.elf_class, self.byte_order]


@frozen(kw_only=True)
class Elf:
    """An ELF file whose header and segments are known.

    Attributes:
        source: what was read, for messages.
        view: all of it.
        segments: in the file's order.
        pointer_bytes: of the machine that reads it. Offsets are added up by pointers there,
            which wrap around; it shows in damaged files alone.
    """

    source: str
    view: memoryview
    header: ElfHeader
    segments: tuple[Segment, ...]
    pointer_bytes: int = 8

    @property
    def layout(self) -> Layout:
        """Return the structures that this file is made of."""
        return self.header.layout

    def dynamic_entries(self, offset: int) -> list[tuple[int, int]]:
        """Return tags and values of the dynamic section at ``offset``, without its end mark.

        Raises:
            FormatError: the file ends before the section does.
        """
        entry = self.layout.dynamic
        end = min(len(self.view), offset + MAX_DYNAMIC_ENTRIES * entry.size)
        whole = end - (end - offset) % entry.size
        found: list[tuple[int, int]] = []
        if offset < whole:
            for tag, value in entry.iter_unpack(self.view[offset:whole]):
                if tag == DT_NULL:
                    return found
                found.append((tag, value))
        raise FormatError(
            source=self.source,
            offset=offset,
            expected="a dynamic section that ends",
            got="one that does not" if whole > offset else "the end of the file",
        )

    def file_offset(self, address: int) -> int:
        """Return where in the file lies what is loaded to ``address``.

        An address in no loaded segment is taken for an offset, as ldconfig takes it; and so
        is one in a segment that is loaded one byte before its offset, which glibc has for a
        mark of no segment at all.
        """
        for segment in self.segments:
            if segment.type == PT_LOAD and 0 <= address - segment.vaddr < segment.filesz:
                return self.wrap(address - (self._shift(segment) or 0))
        return address

    def offset_by_first(self, address: int) -> int:
        """Return where in the file lies what is loaded to ``address``, by the first segment."""
        shifts = (self._shift(segment) for segment in self.segments if segment.type == PT_LOAD)
        return self.wrap(address - next((shift for shift in shifts if shift is not None), 0))

    def _shift(self, segment: Segment) -> int | None:
        """Return how far behind its offset a segment is loaded, ``None`` for the mark."""
        values = 1 << 8 * self.layout.word_bytes
        shift = (segment.vaddr - segment.offset) % values
        return None if shift == values - 1 else shift

    def wrap(self, offset: int) -> int:
        """Return ``offset`` as a pointer of the reading machine holds it."""
        return offset % (1 << 8 * self.pointer_bytes)

    def string(self, offset: int) -> bytes:
        """Return the string at ``offset``, which is not negative, without its NUL.

        Raises:
            FormatError: it lies outside, or has no end.
        """
        # A string must end, and a name that is longer than a path is none.
        piece = bytes(self.view[offset : offset + MAX_STRING_BYTES])
        text, end, _rest = piece.partition(b"\0")
        if not end:
            raise FormatError(
                source=self.source,
                offset=offset,
                expected=f"a string of less than {MAX_STRING_BYTES} bytes with a NUL behind it",
                got="the end of the file" if len(piece) < MAX_STRING_BYTES else "a longer one",
            )
        return text


def parse_elf_header(
    data: Buffer, *, source: str, byte_order: ByteOrder | None = None
) -> ElfHeader:
    """Return the header of an ELF file.

    Args:
        data: the whole file.
        source: for messages.
        byte_order: in which to read it, whatever it says; ``None`` for what it says.

    Raises:
        FormatError: it is no ELF file, or ends before its header does.
    """
    view = memoryview(data)
    elf_class, order = _read_ident(view, source, byte_order)
    layout = LAYOUTS[elf_class, order]
    if len(view) < IDENT_BYTES + layout.header.size:
        raise FormatError(
            source=source, offset=len(view), expected="an ELF header", got="the end of the file"
        )
    (kind, machine, _version, _entry, phoff, _shoff, flags, _ehsize, _phentsize, phnum,
     _shentsize, _shnum, _shstrndx) = layout.header.unpack_from(view, IDENT_BYTES)  # fmt: skip
    return ElfHeader(
        elf_class=elf_class,
        byte_order=order,
        type=kind,
        machine=machine,
        flags=flags,
        phoff=phoff,
        phnum=phnum,
    )


def parse_elf(data: Buffer, header: ElfHeader, *, source: str, pointer_bytes: int = 8) -> Elf:
    """Return an ELF file with its segments; views into ``data`` are kept.

    Args:
        data: the whole file.
        header: its header.
        source: for messages.
        pointer_bytes: of the machine that is to read it.

    Raises:
        FormatError: it ends before its program headers do.
    """
    view = memoryview(data)
    end = header.phoff + header.phnum * header.layout.program_header.size
    if end > len(view):
        raise FormatError(
            source=source,
            offset=header.phoff,
            expected=f"{header.phnum} program headers",
            got="the end of the file",
        )
    headers = header.layout.program_header.iter_unpack(view[header.phoff : end])
    return Elf(
        source=source,
        view=view,
        header=header,
        segments=tuple(map(Segment._make, headers)),
        pointer_bytes=pointer_bytes,
    )


def _read_ident(
    view: memoryview, source: str, order: ByteOrder | None
) -> tuple[ElfClass, ByteOrder]:
    ident = bytes(view[:IDENT_BYTES])
    if not ident.startswith(MAGIC) or len(ident) < IDENT_BYTES:
        raise FormatError(source=source, offset=0, expected="an ELF file", got=repr(ident[:4]))
    try:
        elf_class = ElfClass(ident[CLASS_AT])
    except ValueError:
        raise FormatError(
            source=source,
            offset=CLASS_AT,
            expected="ELF class 1 (32 bits) or 2 (64 bits)",
            got=str(ident[CLASS_AT]),
        ) from None
    if order is not None:
        return elf_class, order
    if ident[DATA_AT] not in (DATA_LITTLE, DATA_BIG):
        raise FormatError(
            source=source,
            offset=DATA_AT,
            expected="byte order 1 (little) or 2 (big)",
            got=str(ident[DATA_AT]),
        )
    return elf_class, "little" if ident[DATA_AT] == DATA_LITTLE else "big"
