"""Define how ldconfig differs between glibc releases.

Source: elf/{ldconfig,cache,readlib,readelflib}.c and sysdeps/**/{readelflib.c,dl-procinfo.h}
of all releases from 2.13 to 2.43; each rule names the commit that introduced or removed it.
"""

from __future__ import annotations

from purekernel.formats.ld_cache import CacheFormat
from purekernel.records import frozen

Release = tuple[int, int]

# The rules for a tree without a glibc: the newest release that still finds all libraries that older
# releases find.
DEFAULT_RELEASE: Release = (2, 36)


@frozen(kw_only=True)
class Rules:
    """The rules of one release.

    Attributes:
        release: major and minor number of the glibc.
        format: the default format of the cache.
        searches_root: whether ``/`` can be a folder to search.
        knows_machines: whether libraries for other machines of x86 are skipped, and x32 has flags
            of its own.
        knows_ia64: whether ldconfig of i386 accepts libraries of IA-64.
        aligns_notes: whether notes use the alignment of their segment.
        finds_strings_by_segment: whether the strings of a library are found through their own
            segment; else through the offset of the first segment.
        extra_hwcaps: whether ``ld.so.conf`` can define hardware folders.
        glibc_hwcaps: whether folders in ``glibc-hwcaps`` are searched.
        extended_cache: whether the strings of the cache are merged, and extensions follow.
        marks_byte_order: whether the cache has a mark of its byte order.
        knows_loader_names: whether ``ld.so.1`` and ``ld64.so.1`` are names of libraries.
        os_versions: whether the cache has the oldest Linux version that a library supports.
        library_types: whether libraries of older C libraries are detected, by their dependencies
            and by the type in ``ld.so.conf``.
        hardware_folders: whether folders such as ``tls`` or ``i686`` are searched.
        shortens_names: whether the default soname of a library is its name without the minor
            version.
        skips_temporary: whether temporary files of dpkg and RPM are skipped.
    """

    release: Release
    format: CacheFormat
    searches_root: bool
    knows_machines: bool
    knows_ia64: bool
    aligns_notes: bool
    finds_strings_by_segment: bool
    extra_hwcaps: bool
    glibc_hwcaps: bool
    extended_cache: bool
    marks_byte_order: bool
    knows_loader_names: bool
    os_versions: bool
    library_types: bool
    hardware_folders: bool
    shortens_names: bool
    skips_temporary: bool


def rules_of(release: Release, *, debian: bool = False) -> Rules:
    """Return the rules of a release; releases before 2.13 get those of 2.13.

    Args:
        release: major and minor number.
        debian: whether Debian built it. Debian's 2.31 has one rule of 2.33.
    """
    return Rules(
        release=release,
        format=CacheFormat.NEW if release >= (2, 32) else CacheFormat.COMPAT,  # cad64f778a
        searches_root=release < (2, 14),  # 00ee369c1c
        knows_machines=release >= (2, 16),  # f1a77b01f4
        knows_ia64=release < (2, 39),  # 460860f457
        aligns_notes=release >= (2, 27),  # 8d81ce0c6d
        finds_strings_by_segment=release >= (2, 31),  # 58e8f5fd2b
        extra_hwcaps=release < (2, 32),  # 31563b6841
        glibc_hwcaps=release >= (2, 33),  # b44ac4f4c7
        extended_cache=release >= (2, 33),  # dfb3f101c5, 73b6e50a22
        marks_byte_order=release >= ((2, 31) if debian else (2, 33)),  # 84ba719b26
        knows_loader_names=release >= (2, 34),  # 6bf789d69e
        os_versions=release < (2, 36),  # c628c22963
        library_types=release < (2, 37),  # 8ee878592c
        hardware_folders=release < (2, 37),  # b78ff5a25d
        # Introduced by mistake in 8ee878592c; removed in 1b0ea8c5d8.
        shortens_names=release == (2, 37),
        skips_temporary=release >= (2, 39),  # 2aa0974d25, cfb5a97a93
    )
