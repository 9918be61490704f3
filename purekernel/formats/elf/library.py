"""What a shared library says of itself that a loader's cache needs."""

from __future__ import annotations

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.elf.layout import (
    DT_NEEDED,
    DT_SONAME,
    DT_STRTAB,
    ET_DYN,
    PT_DYNAMIC,
    PT_INTERP,
)
from purekernel.formats.elf.notes import read_isa_level, read_os_version
from purekernel.formats.elf.reader import Elf, ElfHeader, parse_elf
from purekernel.tree import Buffer


@frozen
class DynamicName:
    """A name in a dynamic section: that of a library needed, or the file's own soname.

    Attributes:
        name: empty where there is a fault.
        is_soname: which of the two.
        fault: what is wrong with it, such as lying outside of the file. ldconfig looks at no
            more names than it needs, so that not every fault is one of the library.
    """

    name: bytes
    is_soname: bool
    fault: FormatError | None = field(default=None, eq=False)


@frozen(kw_only=True)
class SharedLibrary:
    """A shared object, or a program that is loaded like one.

    Attributes:
        interpreters: the loaders that it asks for: one in a program, none in most libraries.
        names: sonames and libraries needed, in the order of the dynamic section.
        isa_level: the highest level of x86 instructions needed; 0 is the baseline.
        os_version: the oldest system needed, ``0x020620`` for Linux 2.6.32; 0 where nothing
            is said. Other systems have a number in the highest byte.
    """

    interpreters: tuple[bytes, ...]
    names: tuple[DynamicName, ...]
    isa_level: int
    os_version: int


def parse_shared_library(
    data: Buffer,
    header: ElfHeader,
    *,
    source: str,
    pointer_bytes: int = 8,
    aligned_notes: bool = True,
    strings_by_segment: bool = True,
) -> SharedLibrary | None:
    """Return what a shared library says of itself; ``None`` where it is no such thing.

    That is an ELF file of another type, or one without a dynamic section, such as the
    debugging symbols that were split from a library.

    Args:
        data: the whole file.
        header: its header.
        source: for messages.
        pointer_bytes: of the machine that is to read it.
        aligned_notes: whether to read notes by the alignment of their segment; else all are
            aligned to 4 bytes.
        strings_by_segment: whether to look for the strings in the segment that they are
            loaded with; else their address is taken to be as far from their offset as those
            of the first segment are.

    Raises:
        FormatError: it is damaged, beyond its names.

    Source: System V Application Binary Interface, chapter 5, "Dynamic Section".
    """
    if header.type != ET_DYN:
        return None
    elf = parse_elf(data, header, source=source, pointer_bytes=pointer_bytes)
    # Where there are several, ldconfig believes the last.
    dynamic = [segment for segment in elf.segments if segment.type == PT_DYNAMIC]
    if not dynamic or not dynamic[-1].filesz:
        return None
    # ldconfig keeps this one offset in 32 bits.
    entries = elf.dynamic_entries(dynamic[-1].offset & 0xFFFFFFFF)
    strings = next((value for tag, value in entries if tag == DT_STRTAB), None)
    if strings is None:
        return None
    place = elf.file_offset(strings) if strings_by_segment else elf.offset_by_first(strings)
    if place > len(elf.view):
        raise FormatError(
            source=source, offset=place, expected="a table of strings", got="the end of the file"
        )
    return SharedLibrary(
        interpreters=tuple(
            elf.string(segment.offset) for segment in elf.segments if segment.type == PT_INTERP
        ),
        names=_names(elf, entries, place),
        isa_level=read_isa_level(elf),
        os_version=read_os_version(elf, aligned=aligned_notes),
    )


def _names(elf: Elf, entries: list[tuple[int, int]], strings: int) -> tuple[DynamicName, ...]:
    return tuple(
        _name(elf, elf.wrap(strings + value), is_soname=tag == DT_SONAME)
        for tag, value in entries
        if tag in (DT_NEEDED, DT_SONAME)
    )


def _name(elf: Elf, offset: int, *, is_soname: bool) -> DynamicName:
    try:
        return DynamicName(elf.string(offset), is_soname)
    except FormatError as fault:
        return DynamicName(b"", is_soname, fault)
