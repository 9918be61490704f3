"""Read the names, the ISA level and the oldest kernel version from a shared library.

Source: System V Application Binary Interface, chapter 5, "Dynamic Section"; Linux Extensions to
gABI, "Program Property"; the x86-64 psABI, "ISA needed"; the Linux Standard Base, "ABI note tag".
"""

from __future__ import annotations

from attrs import field

from purekernel.errors import FormatError
from purekernel.formats.elf.layout import (
    DT_NEEDED,
    DT_SONAME,
    DT_STRTAB,
    ET_DYN,
    NT_GNU_ABI_TAG,
    NT_GNU_PROPERTY_TYPE_0,
    PT_DYNAMIC,
    PT_GNU_PROPERTY,
    PT_INTERP,
    PT_NOTE,
)
from purekernel.formats.elf.reader import Elf, ElfHeader, ElfSegment, parse_elf
from purekernel.input import Input
from purekernel.records import frozen

# The levels that a file needs, as bits: 0 is the baseline, 1 is x86-64-v2, and so on.
GNU_PROPERTY_X86_ISA_1_NEEDED = 0xC0008002

NOTE_HEADER_BYTES = 12
OWNER = b"GNU\0"

# The header, the owner, and four words: the system and three parts of the version.
ABI_NOTE_BYTES = 32


@frozen
class DynamicName:
    """A name in a dynamic section: a needed library, or the file's own soname.

    Attributes:
        name: the name; empty if it has a fault.
        is_soname: whether the name is the file's soname.
        fault: the error in the name, such as an offset outside of the file. ldconfig reads no
            more names than it needs, so that some faults do not matter to it.
    """

    name: bytes
    is_soname: bool
    fault: FormatError | None = field(default=None, eq=False)


@frozen(kw_only=True)
class SharedLibrary:
    """A shared object, or a program that is loaded like one.

    Attributes:
        interpreters: the paths of loaders: one in a program, none in most libraries.
        names: sonames and needed libraries, in the order of the dynamic section.
        isa_level: the highest level of x86 instructions needed; 0 is the baseline.
        os_version: the oldest system needed, ``0x020620`` for Linux 2.6.32; 0 if the file does not
            declare one. Systems other than Linux have a number in the highest byte.
    """

    interpreters: tuple[bytes, ...]
    names: tuple[DynamicName, ...]
    isa_level: int
    os_version: int


def parse_shared_library(
    file: Input,
    header: ElfHeader,
    *,
    pointer_bytes: int = 8,
    aligned_notes: bool = True,
    strings_by_segment: bool = True,
) -> SharedLibrary | None:
    """Return the properties of a shared library; ``None`` for other ELF files.

    Other files are those of another type, and those without a dynamic section, such as the
    debugging symbols that were split from a library.

    Args:
        file: the whole file.
        header: its header.
        pointer_bytes: the size of a pointer on the machine that runs ldconfig.
        aligned_notes: whether to read notes with the alignment of their segment; otherwise all
            are aligned to 4 bytes.
        strings_by_segment: whether to find the strings in the segment that contains their
            address; otherwise their offset is computed from the first loaded segment.

    Raises:
        FormatError: the file is damaged, other than in its names.
    """
    if header.type != ET_DYN:
        return None
    elf = parse_elf(file, header, pointer_bytes=pointer_bytes)
    # If there are several, ldconfig uses the last.
    dynamic = [segment for segment in elf.segments if segment.type == PT_DYNAMIC]
    if not dynamic or not dynamic[-1].filesz:
        return None
    # ldconfig keeps this one offset in 32 bits.
    entries = elf.dynamic_entries(dynamic[-1].offset & 0xFFFFFFFF)
    strings = next((value for tag, value in entries if tag == DT_STRTAB), None)
    if strings is None:
        return None
    offset = elf.file_offset(strings) if strings_by_segment else elf.offset_by_first(strings)
    if offset > len(file):
        raise file.fail(offset, "a table of strings", "the end of the file")
    return SharedLibrary(
        interpreters=tuple(
            elf.string(segment.offset) for segment in elf.segments if segment.type == PT_INTERP
        ),
        names=tuple(
            _read_name(elf, elf.wrap(offset + value), is_soname=tag == DT_SONAME)
            for tag, value in entries
            if tag in (DT_NEEDED, DT_SONAME)
        ),
        isa_level=read_isa_level(elf),
        os_version=read_os_version(elf, aligned=aligned_notes),
    )


def _read_name(elf: Elf, offset: int, *, is_soname: bool) -> DynamicName:
    try:
        return DynamicName(elf.string(offset), is_soname)
    except FormatError as fault:
        return DynamicName(b"", is_soname, fault)


def read_isa_level(elf: Elf) -> int:
    """Return the highest level of x86 instructions that the file needs; 0 by default.

    As in ldconfig, the declared length of a note counts, even if it exceeds its segment.
    """
    level = 0
    for segment in elf.segments:
        if segment.type == PT_GNU_PROPERTY and segment.align == elf.layout.word_bytes:
            level = _read_needed_level(elf, _find_properties(elf, segment), level)
    return level


def _find_properties(elf: Elf, segment: ElfSegment) -> memoryview:
    """Return the content of the first property note in ``segment``; empty without one."""
    word = elf.layout.word
    position = 0
    while position + NOTE_HEADER_BYTES < segment.filesz:
        start = segment.offset + position
        if start + NOTE_HEADER_BYTES + len(OWNER) > len(elf.view):
            break
        name_bytes, content_bytes, kind = (
            word.unpack_from(elf.view, start + index * word.size)[0] for index in range(3)
        )
        content = start + NOTE_HEADER_BYTES + len(OWNER)
        if (name_bytes, kind) == (len(OWNER), NT_GNU_PROPERTY_TYPE_0) and (
            elf.view[start + NOTE_HEADER_BYTES : content] == OWNER
        ):
            if content_bytes < 2 * word.size or content_bytes % elf.layout.word_bytes:
                break
            return elf.view[content : content + content_bytes]
        position += _note_bytes(name_bytes, content_bytes, segment.align)
    return elf.view[:0]


def _read_needed_level(elf: Elf, properties: memoryview, level: int) -> int:
    """Return the level in the content of a property note; ``level`` if it has none."""
    word = elf.layout.word
    position = 0
    last = 0
    while len(properties) - position >= 2 * word.size:
        (kind,) = word.unpack_from(properties, position)
        (size,) = word.unpack_from(properties, position + word.size)
        position += 2 * word.size
        # Linkers sort properties by kind: a smaller kind after a greater one is damage.
        if kind < last or position + size > len(properties):
            break
        last = kind
        if kind >= GNU_PROPERTY_X86_ISA_1_NEEDED:
            if kind == GNU_PROPERTY_X86_ISA_1_NEEDED and size == word.size:
                (needed,) = word.unpack_from(properties, position)
                return int(needed).bit_length() - 1 if needed else level
            break
        position += _align(size, elf.layout.word_bytes)
    return level


def read_os_version(elf: Elf, *, aligned: bool = True) -> int:
    """Return the oldest system that the file runs on: 0x020600 for Linux 2.6.0.

    Return 0 if the file does not declare one. Systems other than Linux have a number in the
    highest byte. As in ldconfig of glibc 2.13 to 2.35, the last note of a segment is ignored if
    fewer than 32 bytes are left for it, and so are segments with other alignments than 4 and 8.

    Args:
        elf: the file.
        aligned: whether notes are aligned as their segment is, as in glibc 2.27 and later;
            before, all were aligned to 4 bytes.
    """
    for segment in elf.segments:
        if segment.type != PT_NOTE or segment.filesz < ABI_NOTE_BYTES or segment.align < 4:
            continue
        if aligned and segment.align not in (4, 8):
            continue
        version = _read_abi_version(elf, segment, align=segment.align if aligned else 4)
        if version:
            return version
    return 0


def _read_abi_version(elf: Elf, segment: ElfSegment, *, align: int) -> int:
    """Return the version in the ABI note of a segment; 0 without one."""
    word = elf.layout.word
    position = segment.offset
    left = segment.filesz
    while position + ABI_NOTE_BYTES <= len(elf.view):
        name_bytes, content_bytes, kind = (
            word.unpack_from(elf.view, position + index * word.size)[0] for index in range(3)
        )
        name = elf.view[position + NOTE_HEADER_BYTES : position + NOTE_HEADER_BYTES + len(OWNER)]
        if (name_bytes, content_bytes, kind) == (len(OWNER), 16, NT_GNU_ABI_TAG) and name == OWNER:
            system, major, minor, sub = (
                word.unpack_from(elf.view, position + 16 + index * word.size)[0]
                for index in range(4)
            )
            numbers = bytes(number & 0xFF for number in (system, major, minor, sub))
            return int.from_bytes(numbers, "big")
        note_bytes = _note_bytes(name_bytes, content_bytes, align)
        if left - ABI_NOTE_BYTES < note_bytes:
            break
        left -= note_bytes
        position += note_bytes
    return 0


def _note_bytes(name_bytes: int, content_bytes: int, align: int) -> int:
    return _align(_align(NOTE_HEADER_BYTES + name_bytes, align) + content_bytes, align)


def _align(size: int, alignment: int) -> int:
    return size + -size % alignment
