"""Read and write cpio "newc" archives as the Linux kernel unpacks an initramfs."""

from purekernel.formats.cpio.reader import count_archives, early_names, parse_cpio
from purekernel.formats.cpio.writer import (
    CpioMember,
    build_cpio,
    build_trailer,
    iter_members,
    join_members,
)

__all__ = [
    "CpioMember",
    "build_cpio",
    "build_trailer",
    "count_archives",
    "early_names",
    "iter_members",
    "join_members",
    "parse_cpio",
]
