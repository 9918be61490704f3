"""What a shared library says of itself that a loader's cache needs."""

from __future__ import annotations

from attrs import frozen

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
    """A name in a dynamic section: that of a library needed, or the file's own soname."""

    name: bytes
    is_soname: bool


@frozen(kw_only=True)
class SharedLibrary:
    """A shared object, or a program that is loaded like one.

    Attributes:
        interpreters: the loaders that it asks for: one in a program, none in most libraries.
        names: sonames and libraries needed, in the order of the dynamic section.
        isa_level: the highest level of x86 instructions needed; 0 is the baseline.
        os_version: the oldest Linux needed, ``0x020620`` for 2.6.32; 0 where nothing is said.
    """

    interpreters: tuple[bytes, ...]
    names: tuple[DynamicName, ...]
    isa_level: int
    os_version: int


def parse_shared_library(data: Buffer, header: ElfHeader, *, source: str) -> SharedLibrary | None:
    """Return what a shared library says of itself; ``None`` where it is no such thing.

    That is an ELF file of another type, or one without a dynamic section, such as the
    debugging symbols that were split from a library.

    Args:
        data: the whole file.
        header: its header.
        source: for messages.

    Raises:
        FormatError: it is damaged.

    Source: System V Application Binary Interface, chapter 5, "Dynamic Section".
    """
    if header.type != ET_DYN:
        return None
    elf = parse_elf(data, header, source=source)
    # Where there are several, ldconfig believes the last.
    dynamic = [segment for segment in elf.segments if segment.type == PT_DYNAMIC]
    if not dynamic or not dynamic[-1].filesz:
        return None
    entries = elf.dynamic_entries(dynamic[-1].offset)
    strings = next((value for tag, value in entries if tag == DT_STRTAB), None)
    if strings is None:
        return None
    return SharedLibrary(
        interpreters=tuple(
            elf.string(segment.offset) for segment in elf.segments if segment.type == PT_INTERP
        ),
        names=_names(elf, entries, elf.file_offset(strings)),
        isa_level=read_isa_level(elf),
        os_version=read_os_version(elf),
    )


def _names(elf: Elf, entries: list[tuple[int, int]], strings: int) -> tuple[DynamicName, ...]:
    return tuple(
        DynamicName(elf.string(strings + value), tag == DT_SONAME)
        for tag, value in entries
        if tag in (DT_NEEDED, DT_SONAME)
    )
