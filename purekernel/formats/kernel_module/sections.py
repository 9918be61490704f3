"""Find the sections of a kernel module, which is a relocatable ELF object.

Source: System V Application Binary Interface, chapter 4; elf(5).
"""

from __future__ import annotations

import struct

from attrs import field

from purekernel.formats.detect import FileKind, detect, name_kind
from purekernel.formats.elf import ByteOrder, ElfClass
from purekernel.formats.elf.layout import CLASS_AT, DATA_AT, DATA_BIG, DATA_LITTLE, LAYOUTS
from purekernel.input import Input
from purekernel.records import frozen

_IDENT_BYTES = 16

# sh_name, fields that are skipped, sh_offset and sh_size, and further fields that are skipped.
_SECTION_HEADERS = {ElfClass.BITS_32: "I12xII16x", ElfClass.BITS_64: "I20xQQ24x"}


@frozen(kw_only=True)
class Sections:
    """The positions of the sections of a module.

    Attributes:
        file: the whole module, unpacked.
        data: its bytes.
        elf_class: the width of its addresses.
        byte_order: the byte order of its numbers.
        machine: ``e_machine``.
        by_index: offset and size in bytes of each section; ``None`` if it is not in the file.
        by_name: maps each name to the index of the first section with that name.
    """

    file: Input
    data: memoryview = field(repr=False)
    elf_class: ElfClass
    byte_order: ByteOrder
    machine: int
    by_index: tuple[tuple[int, int] | None, ...]
    by_name: dict[bytes, int]

    @property
    def mark(self) -> str:
        """Return the character for the byte order in formats of :mod:`struct`."""
        return "<" if self.byte_order == "little" else ">"

    def span(self, name: bytes) -> tuple[int, int] | None:
        """Return offset and size in bytes of the section ``name``, ``None`` if it is missing."""
        index = self.by_name.get(name)
        return None if index is None else self.by_index[index]

    def content(self, name: bytes) -> memoryview | None:
        """Return the bytes of the section ``name``, ``None`` if it is missing."""
        span = self.span(name)
        if span is None:
            return None
        offset, size_bytes = span
        return self.data[offset : offset + size_bytes]


def parse_sections(file: Input) -> Sections:
    """Return the positions of the sections of an ELF file.

    Sections that exceed the file are treated as missing: those of type NOBITS occupy no space in
    it, and libkmod skips all of them.

    Raises:
        FormatError: the file is not an ELF file, or its section headers or names are damaged.

    Source: libkmod/libkmod-elf.c of kmod, for what is refused and what is skipped.
    """
    view = file.view
    elf_class, byte_order = _identify(file)
    layout = LAYOUTS[elf_class, byte_order]
    if len(view) <= _IDENT_BYTES + layout.header.size:
        raise file.fail(len(view), "an ELF header", "the end of the file")
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
        raise file.fail(None, f"section headers of {header.size} bytes", str(entry_bytes))
    table_end = table_at + count * header.size
    if table_end > len(view):
        raise file.fail(
            table_at, f"{count} section headers", f"the end of the file at byte {len(view)}"
        )
    entries = list(header.iter_unpack(view[table_at:table_end]))
    file_bytes = len(view)
    by_index = tuple(
        [
            (offset, size_bytes) if offset + size_bytes <= file_bytes else None
            for _name, offset, size_bytes in entries
        ]
    )
    names = _section_names(file, by_index, strings_index)
    names_bytes = len(names)
    # Of sections with the same name, the first counts. Section 0 is always empty.
    by_name = {
        names[entry[0] : names.find(b"\0", entry[0])]: index
        for index, entry in reversed(list(enumerate(entries)))
        if index and entry[0] < names_bytes and by_index[index] is not None
    }
    return Sections(
        file=file,
        data=view,
        elf_class=elf_class,
        byte_order=byte_order,
        machine=machine,
        by_index=by_index,
        by_name=by_name,
    )


def _identify(file: Input) -> tuple[ElfClass, ByteOrder]:
    view = file.view
    if detect(view) is not FileKind.ELF:
        raise file.fail_kind(0, "an ELF file", name_kind(view), repr(bytes(view[:4])))
    if len(view) <= _IDENT_BYTES:
        raise file.fail(len(view), "the header of an ELF file", "the end of the file")
    try:
        elf_class = ElfClass(view[CLASS_AT])
    except ValueError:
        raise file.fail(CLASS_AT, "the class 1 or 2", str(view[CLASS_AT])) from None
    if view[DATA_AT] == DATA_LITTLE:
        return elf_class, "little"
    if view[DATA_AT] == DATA_BIG:
        return elf_class, "big"
    raise file.fail(DATA_AT, "the byte order 1 or 2", str(view[DATA_AT]))


def _section_names(file: Input, by_index: tuple[tuple[int, int] | None, ...], index: int) -> bytes:
    span = by_index[index] if 0 < index < len(by_index) else None
    if span is None:
        raise file.fail(
            None,
            "a section with the names of sections",
            f"section {index}, which is not in the file",
        )
    offset, size_bytes = span
    names = bytes(file.view[offset : offset + size_bytes])
    if not names.endswith(b"\0"):
        raise file.fail(offset, "names of sections that end in a NUL", repr(names[-8:]))
    return names
