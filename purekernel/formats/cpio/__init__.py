"""Read and write cpio "newc" archives as the Linux kernel unpacks an initramfs."""

from purekernel.formats.cpio.reader import (
    Initramfs,
    count_archives,
    early_names,
    find_early_end,
    parse_cpio,
    parse_initrds,
)
from purekernel.formats.cpio.writer import (
    CpioMember,
    build_cpio,
    build_trailer,
    iter_members,
    join_members,
)

__all__ = [
    "CpioMember",
    "Initramfs",
    "build_cpio",
    "build_trailer",
    "count_archives",
    "early_names",
    "find_early_end",
    "iter_members",
    "join_members",
    "parse_cpio",
    "parse_initrds",
]
