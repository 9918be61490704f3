"""Read and write cpio "newc" archives as the Linux kernel unpacks an initramfs."""

from purekernel.formats.cpio.reader import (
    Initramfs,
    Segment,
    count_archives,
    early_names,
    find_early_end,
    iter_records,
    parse_cpio,
    parse_initrds,
    read_initramfs,
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
    "Segment",
    "build_cpio",
    "build_trailer",
    "count_archives",
    "early_names",
    "find_early_end",
    "iter_members",
    "iter_records",
    "join_members",
    "parse_cpio",
    "parse_initrds",
    "read_initramfs",
]
