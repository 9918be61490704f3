"""Define how ldconfig differs between processor architectures.

Each ldconfig handles only the libraries of its own family. That of x86-64 also handles i386 and
x32, and that of AArch64 also handles 32-bit ARM.

Source: glibc 2.36, sysdeps/unix/sysv/linux/*/{dl-cache,ldconfig,dl-procinfo}.h,
sysdeps/{x86,s390,powerpc}/dl-procinfo.[ch], and their configure.ac for the folders; the
folders of Debian by its ldconfig. For the hardware of x86 before that, glibc 2.13, 2.26 and
2.27, sysdeps/i386/dl-procinfo.[ch], sysdeps/x86/dl-{procinfo.c,hwcap.h}. On other processors,
older releases have fewer words, with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field

from purekernel.formats.elf import ByteOrder
from purekernel.records import frozen
from purekernel.rootfs.ldconfig.kinds import (
    ELF_LIBC5,
    ELF_LIBC6,
    Family,
)
from purekernel.rootfs.ldconfig.rules import Release

# Up to 2.36, ldconfig treats a folder of this name as a hardware folder, although all loaders since
# glibc 2.4 support thread-local storage.
TLS_FOLDER = b"tls"
TLS_BIT = 63


@frozen(kw_only=True)
class Hardware:
    """The names of hardware folders.

    Attributes:
        bits: the bit of each name in the cache.
        searched: the names of folders that are searched. The others count only in the path of a
            configured folder.
    """

    bits: Mapping[bytes, int]
    searched: frozenset[bytes]


NO_HARDWARE = Hardware(bits={}, searched=frozenset())


@frozen(kw_only=True)
class Architecture:
    """The ldconfig of one architecture.

    Attributes:
        name: the name of the architecture, as in Debian.
        family: the family whose libraries it handles.
        byte_order: the byte order in which it reads files, whatever their headers say, and writes
            the cache.
        signed_bytes: whether ``char`` is signed.
        header_bytes: the size of the ELF header of its own class; shorter files are not ELF.
        loaders: the paths of its dynamic loader, by which the architecture is detected.
        folders: the default folders, in the order of glibc.
        multiarch: the name of Debian's folders for it in ``lib`` and ``usr/lib``.
        known_loaders: the kind of libraries that request each of these loaders.
        known_libraries: the kind of libraries that depend on each of these libraries.
        hardwares: sets of hardware folders, each with the first release that has it, in order of
            release.
        first_extra_hwcap: the bit of the first name that ``ld.so.conf`` may add, ``None`` if it is
            not known.
    """

    name: str
    family: Family
    byte_order: ByteOrder = "little"
    signed_bytes: bool = False
    header_bytes: int = 64
    loaders: tuple[bytes, ...]
    folders: tuple[bytes, ...]
    multiarch: bytes
    known_loaders: Mapping[bytes, int]
    known_libraries: Mapping[bytes, int] = field(
        factory=lambda: {b"libc.so.6": ELF_LIBC6, b"libm.so.6": ELF_LIBC6}
    )
    hardwares: tuple[tuple[Release, Hardware], ...] = ()
    first_extra_hwcap: int | None = None

    def hardware(self, release: Release) -> Hardware:
        """Return the hardware folders of ldconfig in ``release``."""
        known = [hardware for since, hardware in self.hardwares if since <= release]
        return known[-1] if known else NO_HARDWARE


def _both(*folders: bytes) -> tuple[bytes, ...]:
    """Return ``folders``, then the same folders below ``/usr``."""
    return (*folders, *(b"/usr" + folder for folder in folders))


def _libc6(*names: bytes) -> dict[bytes, int]:
    return dict.fromkeys(names, ELF_LIBC6)


def _hardware(
    *, hwcaps: str, searched: str, first_platform: int = 0, platforms: str = ""
) -> Hardware:
    """Return hardware from the names of capabilities (bits from 0 on) and of platforms."""
    bits: dict[bytes, int] = {}
    for index, word in enumerate(platforms.split()):
        bits[word.encode()] = first_platform + index
    for index, word in enumerate(hwcaps.split()):
        if word != "-":
            bits[word.encode()] = index
    return Hardware(bits=bits, searched=frozenset(searched.encode().split()))


_X86_FIRST_PLATFORM = 48
_OLD_X86_PLATFORMS = "i386 i486 i586 i686"
_X86_PLATFORMS = "i586 i686 haswell xeon_phi"
_X86_HARDWARES: tuple[tuple[Release, Hardware], ...] = (
    (
        (2, 0),
        _hardware(
            hwcaps="fpu vme de pse tsc msr pae mce cx8 apic 10 sep mtrr pge mca cmov pat pse36 pn "
            "clflush 20 dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe",
            first_platform=_X86_FIRST_PLATFORM,
            platforms=_OLD_X86_PLATFORMS,
            searched=f"sse2 {_OLD_X86_PLATFORMS}",
        ),
    ),
    *(
        (
            since,
            _hardware(
                hwcaps=hwcaps,
                first_platform=_X86_FIRST_PLATFORM,
                platforms=_X86_PLATFORMS,
                searched=f"{hwcaps} {_X86_PLATFORMS}",
            ),
        )
        for since, hwcaps in (((2, 26), "sse2 avx512_1"), ((2, 27), "sse2 x86_64 avx512_1"))
    ),
)
# The bit after the platforms; all releases have four.
_X86_FIRST_EXTRA = _X86_FIRST_PLATFORM + 4
_X86_64_LOADERS = _libc6(
    b"/lib/ld-linux.so.2",
    b"/lib/ld-linux-x86-64.so.2",
    b"/lib64/ld-linux-x86-64.so.2",
    b"/libx32/ld-linux-x32.so.2",
)
_X86_64_FOLDERS = _both(b"/lib", b"/lib64", b"/libx32")

_ARM_LOADERS = _libc6(b"/lib/ld-linux.so.3", b"/lib/ld-linux-armhf.so.3")
_ARM_HARDWARE = _hardware(
    hwcaps="swp half thumb 26bit fastmult fpa vfp edsp java iwmmxt crunch thumbee neon vfpv3 "
    "vfpv3d16 tls vfpv4 idiva idivt vfpd32 lpae evtstrm aes pmull sha1 sha2 crc32",
    searched="vfp neon",
)
_AARCH64_HARDWARE = _hardware(
    hwcaps="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm "
    "jscvt fcma lrcpc dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm "
    "ssbs sb paca pacg",
    searched="atomics",
)

_S390_PLATFORMS = "g5 z900 z990 z9-109 z10 z196 zEC12 z13 z14 z15 z16"
_S390_HARDWARE = _hardware(
    hwcaps="esan3 zarch stfle msa ldisp eimm dfp edat etf3eh highgprs te vx vxd vxe gs vxe2 "
    "vxp sort dflt vxp2 nnpa pcimio sie",
    first_platform=32,
    platforms=_S390_PLATFORMS,
    searched=f"{_S390_PLATFORMS} zarch ldisp eimm dfp vx vxe vxe2",
)

_POWER_PLATFORMS = (
    "power4 ppc970 power5 power5+ power6 ppc-cell-be power6x power7 ppca2 ppc405 ppc440 "
    "ppc464 ppc476 power8 power9 power10"
)
# Names such as "power4" are both a platform and a capability, and count as the capability.
_POWER_HARDWARE = _hardware(
    hwcaps="ppcle true_le - - - - archpmu vsx arch_2_06 power6x dfp pa6t arch_2_05 ic_snoop "
    "smt booke cellbe power5+ power5 power4 notb efpdouble efpsingle spe ucache 4xxmac mmu "
    "fpu altivec ppc601 ppc64 ppc32 - - - - - - - - - - - - - mma arch_3_1 htm-no-suspend "
    "scv darn ieee128 arch_3_00 htm-nosc vcrypto tar isel ebb dscr htm arch_2_07",
    first_platform=32,
    platforms=_POWER_PLATFORMS,
    searched=f"{_POWER_PLATFORMS} altivec dfp",
)

# The order decides which architecture is detected in a tree with several loaders: a 64-bit system
# with 32-bit libraries is a 64-bit system.
ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            name="x86_64",
            family=Family.X86,
            signed_bytes=True,
            loaders=(b"lib64/ld-linux-x86-64.so.2",),
            folders=_X86_64_FOLDERS,
            multiarch=b"x86_64-linux-gnu",
            known_loaders=_X86_64_LOADERS,
            hardwares=_X86_HARDWARES,
            first_extra_hwcap=_X86_FIRST_EXTRA,
        ),
        Architecture(
            name="x32",
            family=Family.X86,
            signed_bytes=True,
            header_bytes=52,
            loaders=(b"libx32/ld-linux-x32.so.2",),
            folders=_X86_64_FOLDERS,
            multiarch=b"x86_64-linux-gnux32",
            known_loaders={**_X86_64_LOADERS, **_libc6(b"/lib/ld-linux-x32.so.2")},
            hardwares=_X86_HARDWARES,
            first_extra_hwcap=_X86_FIRST_EXTRA,
        ),
        Architecture(
            name="i386",
            family=Family.I386,
            signed_bytes=True,
            header_bytes=52,
            loaders=(b"lib/ld-linux.so.2",),
            folders=_both(b"/lib"),
            multiarch=b"i386-linux-gnu",
            known_loaders={**_libc6(b"/lib/ld-linux.so.2"), b"/lib/ld-linux.so.1": ELF_LIBC5},
            known_libraries={
                **_libc6(b"libc.so.6", b"libm.so.6"),
                b"libc.so.5": ELF_LIBC5,
                b"libm.so.5": ELF_LIBC5,
            },
            hardwares=_X86_HARDWARES,
            first_extra_hwcap=_X86_FIRST_EXTRA,
        ),
        Architecture(
            name="aarch64",
            family=Family.ARM,
            loaders=(b"lib/ld-linux-aarch64.so.1",),
            folders=_both(b"/lib", b"/lib64", b"/libilp32"),
            multiarch=b"aarch64-linux-gnu",
            known_loaders={
                **_ARM_LOADERS,
                **_libc6(
                    b"/lib/ld-linux-aarch64.so.1",
                    b"/lib/ld-linux-aarch64_be.so.1",
                    b"/lib/ld-linux-aarch64_ilp32.so.1",
                    b"/lib/ld-linux-aarch64_be_ilp32.so.1",
                ),
            },
            hardwares=(((2, 0), _AARCH64_HARDWARE),),
        ),
        Architecture(
            name="armhf",
            family=Family.ARM,
            header_bytes=52,
            loaders=(b"lib/ld-linux-armhf.so.3",),
            folders=_both(b"/lib"),
            multiarch=b"arm-linux-gnueabihf",
            known_loaders=_ARM_LOADERS,
            hardwares=(((2, 0), _ARM_HARDWARE),),
        ),
        Architecture(
            name="arm",
            family=Family.ARM,
            header_bytes=52,
            loaders=(b"lib/ld-linux.so.3",),
            folders=_both(b"/lib"),
            multiarch=b"arm-linux-gnueabi",
            known_loaders=_ARM_LOADERS,
            hardwares=(((2, 0), _ARM_HARDWARE),),
        ),
        Architecture(
            name="riscv64",
            family=Family.RISCV,
            loaders=(b"lib/ld-linux-riscv64-lp64d.so.1", b"lib/ld-linux-riscv64-lp64.so.1"),
            folders=_both(
                b"/lib", b"/lib64/lp64d", b"/lib64/lp64", b"/lib32/ilp32d", b"/lib32/ilp32"
            ),
            multiarch=b"riscv64-linux-gnu",
            known_loaders=_libc6(
                b"/lib/ld-linux-riscv64-lp64d.so.1", b"/lib/ld-linux-riscv64-lp64.so.1"
            ),
        ),
        Architecture(
            name="ppc64le",
            family=Family.POWERPC,
            loaders=(b"lib64/ld64.so.2",),
            folders=(b"/lib64", b"/usr/lib64"),
            multiarch=b"powerpc64le-linux-gnu",
            known_loaders=_libc6(
                b"/lib/ld64.so.2", b"/lib/ld.so.1", b"/lib64/ld64.so.1", b"/lib64/ld64.so.2"
            ),
            hardwares=(((2, 0), _POWER_HARDWARE),),
        ),
        Architecture(
            name="s390x",
            family=Family.S390,
            byte_order="big",
            loaders=(b"lib/ld64.so.1",),
            folders=(b"/lib64", b"/usr/lib64"),
            multiarch=b"s390x-linux-gnu",
            known_loaders=_libc6(b"/lib/ld.so.1", b"/lib/ld64.so.1"),
            hardwares=(((2, 0), _S390_HARDWARE),),
        ),
    )
}
