"""Define the structures and constants of ELF files, for both classes and byte orders.

Source: System V Application Binary Interface, chapters 4 and 5; elf(5); the processor supplements
for machine numbers and flags; the Linux Standard Base, "Symbol Versioning".
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Literal

from purekernel.formats.detect import FileKind
from purekernel.records import frozen

MAGIC = FileKind.ELF.magic

ByteOrder = Literal["little", "big"]

# The offsets of the class and the byte order in e_ident, and the values of the byte order.
CLASS_AT, DATA_AT = 4, 5
DATA_LITTLE, DATA_BIG = 1, 2

# The offsets of e_type and e_machine, which are equal in both classes.
TYPE_AT, MACHINE_AT = 16, 18

ET_EXEC, ET_DYN = 2, 3

EM_386, EM_PPC64, EM_S390, EM_ARM, EM_IA_64 = 3, 21, 22, 40, 50
EM_X86_64, EM_AARCH64, EM_RISCV = 62, 183, 243

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_GNU_PROPERTY = 1, 2, 3, 4, 0x6474E553

DT_NULL, DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 0, 1, 5, 14, 15, 29
DT_FLAGS_1 = 0x6FFFFFFB
# The versions that a file defines, and those that it needs of libraries.
DT_VERDEF, DT_VERNEED = 0x6FFFFFFC, 0x6FFFFFFE

# In DT_FLAGS_1: do not search the default folders.
DF_1_NODEFLIB = 0x800

# In vna_flags: the library may lack the version.
VER_FLG_WEAK = 2

NT_GNU_ABI_TAG, NT_GNU_PROPERTY_TYPE_0 = 1, 5


class ElfClass(Enum):
    """The width of addresses, with its value in ``e_ident``."""

    BITS_32 = 1
    BITS_64 = 2


@frozen(kw_only=True)
class ElfLayout:
    """The structures of one class in one byte order.

    Attributes:
        header: the fields after the 16 bytes of ``e_ident``.
        program_header: type, offset, vaddr, filesz and align of a segment.
        dynamic: tag and value of an entry of the dynamic section.
        word: a 32-bit number; notes consist of these.
        verneed: count of versions, name of the library, offsets of the first version and of the
            next library.
        vernaux: flags, name, and offset of the next version.
        verdef: offsets of the first name and of the next version.
        word_bytes: the size of an address; notes and properties are aligned to it.
    """

    header: struct.Struct
    program_header: struct.Struct
    dynamic: struct.Struct
    word: struct.Struct
    verneed: struct.Struct
    vernaux: struct.Struct
    verdef: struct.Struct
    word_bytes: int


def _layout(mark: str, elf_class: ElfClass) -> ElfLayout:
    wide = elf_class is ElfClass.BITS_64
    return ElfLayout(
        header=struct.Struct(mark + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")),
        program_header=struct.Struct(mark + ("I4xQQ8xQ8xQ" if wide else "III4xI8xI")),
        dynamic=struct.Struct(mark + ("QQ" if wide else "II")),
        word=struct.Struct(mark + "I"),
        verneed=struct.Struct(mark + "2xHIII"),
        vernaux=struct.Struct(mark + "4xH2xII"),
        verdef=struct.Struct(mark + "12xII"),
        word_bytes=8 if wide else 4,
    )


LAYOUTS: dict[tuple[ElfClass, ByteOrder], ElfLayout] = {
    (ElfClass.BITS_32, "little"): _layout("<", ElfClass.BITS_32),
    (ElfClass.BITS_32, "big"): _layout(">", ElfClass.BITS_32),
    (ElfClass.BITS_64, "little"): _layout("<", ElfClass.BITS_64),
    (ElfClass.BITS_64, "big"): _layout(">", ElfClass.BITS_64),
}
