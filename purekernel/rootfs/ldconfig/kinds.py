"""Work out the flags of libraries in the cache: C library and ABI.

Source: glibc 2.36, sysdeps/generic/ldconfig.h, elf/readelflib.c and
sysdeps/unix/sysv/linux/*/readelflib.c; glibc 2.13 and 2.41, the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from purekernel.formats.elf import ElfClass, ElfHeader, SharedLibrary
from purekernel.formats.elf.layout import EM_386, EM_IA_64, EM_X86_64
from purekernel.rootfs.ldconfig.rules import Rules

# C library unknown; libc 4, 5 and 6, which is glibc.
ELF = 0x0001
LIBC4, ELF_LIBC5, ELF_LIBC6 = 0x0000, 0x0002, 0x0003

# The ABI, combined with the C library.
IA64_LIB64, X8664_LIB64, S390_LIB64, POWERPC_LIB64 = 0x0200, 0x0300, 0x0400, 0x0500
X8664_LIBX32, ARM_LIBHF, AARCH64_LIB64, ARM_LIBSF = 0x0800, 0x0900, 0x0A00, 0x0B00
RISCV_FLOAT_ABI_SOFT, RISCV_FLOAT_ABI_DOUBLE = 0x0F00, 0x1000

# In e_flags. Source: the ELF supplements for ARM and RISC-V.
ARM_EABI_MASK, ARM_EABI_5 = 0xFF000000, 0x05000000
ARM_FLOAT_SOFT, ARM_FLOAT_HARD = 0x200, 0x400
RISCV_COMPRESSED, RISCV_FLOAT_MASK = 0x1, 0x6
RISCV_FLOAT_SOFT, RISCV_FLOAT_DOUBLE = 0x0, 0x4


class Family(Enum):
    """The families of architectures that share one ldconfig."""

    X86 = "x86"
    I386 = "i386"
    ARM = "arm"
    RISCV = "riscv"
    S390 = "s390"
    POWERPC = "powerpc"


def knows_machine(family: Family, header: ElfHeader, rules: Rules) -> bool:
    """Say whether the family's ldconfig accepts the machine of a file.

    Only the ldconfig of x86 checks it; others accept any file with the right byte order.
    """
    if family not in (Family.X86, Family.I386):
        return True
    wide = header.elf_class is ElfClass.BITS_64
    if header.machine == EM_X86_64:
        return True
    if header.machine == EM_IA_64 and wide and family is Family.I386:
        return rules.knows_ia64
    if not rules.knows_machines:
        # All 32-bit files were accepted, and on x86-64 all 64-bit files, too.
        return not wide or family is Family.X86
    return header.machine == EM_386 and not wide


def soname_and_libc(
    library: SharedLibrary,
    *,
    known_loaders: Mapping[bytes, int],
    known_libraries: Mapping[bytes, int],
    rules: Rules,
) -> tuple[bytes | None, int]:
    """Return a library's soname, and its C library according to its loader and dependencies.

    Raises:
        FormatError: a name that must be read is damaged.
    """
    libc = ELF if rules.library_types else ELF_LIBC6
    if rules.library_types:
        for loader in library.interpreters:
            libc = known_loaders.get(loader, libc)
    soname: bytes | None = None
    for name in library.names:
        if not name.is_soname and not rules.library_types:
            continue
        if name.fault is not None:
            raise name.fault
        if name.is_soname:
            soname = name.name
        elif libc == ELF:
            libc = known_libraries.get(name.name, libc)
        # Of several sonames, the last one before the end of the loop counts.
        if soname is not None and libc != ELF:
            break
    return soname, libc


def flags_of(family: Family, header: ElfHeader, libc: int, rules: Rules) -> int | None:
    """Return the flags of a library's cache entry; ``None`` if glibc does not support its ABI."""
    if family is Family.RISCV:
        return _riscv_flags(header.flags, libc)
    if family is Family.ARM:
        return _arm_flags(header, libc)
    if family in (Family.X86, Family.I386):
        return _x86_flags(family, header, libc, rules)
    if header.elf_class is ElfClass.BITS_64:
        return (S390_LIB64 if family is Family.S390 else POWERPC_LIB64) | ELF_LIBC6
    return libc


def _x86_flags(family: Family, header: ElfHeader, libc: int, rules: Rules) -> int:
    wide = header.elf_class is ElfClass.BITS_64
    if not rules.knows_machines and (not wide or family is Family.X86):
        return X8664_LIB64 | ELF_LIBC6 if wide else libc
    if header.machine == EM_X86_64:
        return (X8664_LIB64 if wide else X8664_LIBX32) | ELF_LIBC6
    return IA64_LIB64 | ELF_LIBC6 if header.machine == EM_IA_64 else libc


def _arm_flags(header: ElfHeader, libc: int) -> int:
    if header.elf_class is ElfClass.BITS_64:
        return AARCH64_LIB64 | ELF_LIBC6
    if header.flags & ARM_EABI_MASK != ARM_EABI_5:
        return libc
    if header.flags & ARM_FLOAT_HARD:
        return ARM_LIBHF | ELF_LIBC6
    # Older files without these marks are accepted by both ABIs.
    return ARM_LIBSF | ELF_LIBC6 if header.flags & ARM_FLOAT_SOFT else ELF_LIBC6


def _riscv_flags(flags: int, libc: int) -> int | None:
    if flags & ~(RISCV_FLOAT_MASK | RISCV_COMPRESSED):
        return None
    if flags & RISCV_FLOAT_MASK == RISCV_FLOAT_SOFT:
        return libc | RISCV_FLOAT_ABI_SOFT
    if flags & RISCV_FLOAT_MASK == RISCV_FLOAT_DOUBLE:
        return libc | RISCV_FLOAT_ABI_DOUBLE
    return None
