"""Read the segments and the dynamic section of ELF files, as ldconfig and the loader do."""

from purekernel.formats.elf.layout import ET_DYN, ByteOrder, ElfClass
from purekernel.formats.elf.library import DynamicName, SharedLibrary, parse_shared_library
from purekernel.formats.elf.object import (
    ElfObject,
    NeededVersion,
    parse_object,
    read_object,
)
from purekernel.formats.elf.reader import Elf, ElfHeader, ElfSegment, parse_elf, parse_elf_header

__all__ = [
    "ET_DYN",
    "ByteOrder",
    "DynamicName",
    "Elf",
    "ElfClass",
    "ElfHeader",
    "ElfObject",
    "ElfSegment",
    "NeededVersion",
    "SharedLibrary",
    "parse_elf",
    "parse_elf_header",
    "parse_object",
    "parse_shared_library",
    "read_object",
]
