"""The sections of a kernel module, which is a relocatable ELF object.

Source: System V Application Binary Interface, chapter 4; elf(5).
"""

from __future__ import annotations

import struct

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.elf import ByteOrder, ElfClass, is_elf
from purekernel.formats.elf.layout import CLASS_AT, DATA_AT, DATA_BIG, DATA_LITTLE, LAYOUTS
from purekernel.tree import Buffer

_IDENT_BYTES = 16

# sh_name, then what is passed over, then sh_offset and sh_size, then the rest.
_SECTION_HEADERS = {ElfClass.BITS_32: "I12xII16x", ElfClass.BITS_64: "I20xQQ24x"}


@frozen(kw_only=True)
class Sections:
    """Where each section of a module lies.

    Attributes:
        source: the module's name, for messages.
        data: the whole module, unpacked.
        elf_class: the width of its addresses.
        byte_order: of all its numbers.
        machine: ``e_machine``.
        by_index: offset and size of each section; ``None`` for one that is not in the file.
        by_name: the number of the first section of each name.
    """

    source: str
    data: memoryview = field(repr=False)
    elf_class: ElfClass
    byte_order: ByteOrder
    machine: int
    by_index: tuple[tuple[int, int] | None, ...]
    by_name: dict[bytes, int]

    @property
    def mark(self) -> str:
        """Return what :mod:`struct` calls the byte order."""
        return "<" if self.byte_order == "little" else ">"

    def place(self, name: bytes) -> tuple[int, int] | None:
        """Return offset and size in bytes of the section ``name``, ``None`` if there is none."""
        index = self.by_name.get(name)
        return None if index is None else self.by_index[index]

    def content(self, name: bytes) -> memoryview | None:
        """Return the bytes of the section ``name``, or ``None`` if there is none."""
        found = self.place(name)
        if found is None:
            return None
        offset, size_bytes = found
        return self.data[offset : offset + size_bytes]


def parse_sections(data: Buffer, *, source: str) -> Sections:
    """Return where the sections of an ELF file lie.

    Sections that claim to lie outside of the file are as if they were not there: those of
    kind NOBITS take no room in it, and libkmod passes over all of them.

    Raises:
        FormatError: it is no ELF file, or its table of sections lies outside of it.

    Source: libkmod/libkmod-elf.c of kmod, for what is refused and what is passed over.
    """
    view = memoryview(data)
    elf_class, byte_order = _identify(view, source)
    layout = LAYOUTS[elf_class, byte_order]
    if len(view) <= _IDENT_BYTES + layout.header.size:
        raise FormatError(
            source=source, offset=len(view), expected="an ELF header", got="the end of the file"
        )
    numbers = layout.header.unpack_from(view, _IDENT_BYTES)
    machine, table_at, entry_bytes, count, strings_index = (
        numbers[1],
        numbers[5],
        numbers[10],
        numbers[11],
        numbers[12],
    )
    mark = "<" if byte_order == "little" else ">"
    header = struct.Struct(mark + _SECTION_HEADERS[elf_class])
    if entry_bytes != header.size:
        raise FormatError(
            source=source, expected=f"section headers of {header.size} bytes", got=str(entry_bytes)
        )
    table_end = table_at + count * header.size
    if table_end > len(view):
        raise FormatError(
            source=source,
            offset=table_at,
            expected=f"{count} section headers",
            got=f"the end of the file at byte {len(view)}",
        )
    entries = list(header.iter_unpack(view[table_at:table_end]))
    file_bytes = len(view)
    by_index = tuple(
        [
            (offset, size_bytes) if offset + size_bytes <= file_bytes else None
            for _name, offset, size_bytes in entries
        ]
    )
    names = _section_names(view, by_index, strings_index, source)
    names_bytes = len(names)
    # Of several of one name, the first counts. That with the number 0 is none.
    by_name = {
        names[entry[0] : names.find(b"\0", entry[0])]: index
        for index, entry in reversed(list(enumerate(entries)))
        if index and entry[0] < names_bytes and by_index[index] is not None
    }
    return Sections(
        source=source,
        data=view,
        elf_class=elf_class,
        byte_order=byte_order,
        machine=machine,
        by_index=by_index,
        by_name=by_name,
    )


def _identify(view: memoryview, source: str) -> tuple[ElfClass, ByteOrder]:
    if not is_elf(view) or len(view) <= _IDENT_BYTES:
        raise FormatError(
            source=source, offset=0, expected="an ELF file", got=repr(bytes(view[:4]))
        )
    try:
        elf_class = ElfClass(view[CLASS_AT])
    except ValueError:
        raise FormatError(
            source=source, offset=CLASS_AT, expected="the class 1 or 2", got=str(view[CLASS_AT])
        ) from None
    if view[DATA_AT] == DATA_LITTLE:
        return elf_class, "little"
    if view[DATA_AT] == DATA_BIG:
        return elf_class, "big"
    raise FormatError(
        source=source, offset=DATA_AT, expected="the byte order 1 or 2", got=str(view[DATA_AT])
    )


def _section_names(
    view: memoryview, by_index: tuple[tuple[int, int] | None, ...], index: int, source: str
) -> bytes:
    place = by_index[index] if 0 < index < len(by_index) else None
    if place is None:
        raise FormatError(
            source=source,
            expected="a section with the names of sections",
            got=f"the number {index}, which is none in the file",
        )
    offset, size_bytes = place
    names = bytes(view[offset : offset + size_bytes])
    if not names.endswith(b"\0"):
        raise FormatError(
            source=source,
            offset=offset,
            expected="names of sections that end in a NUL",
            got=repr(names[-8:]),
        )
    return names
