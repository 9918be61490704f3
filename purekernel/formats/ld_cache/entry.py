"""What the loader's cache holds."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from purekernel.formats.elf.layout import ByteOrder


class CacheFormat(Enum):
    """The formats, under ldconfig's names for them."""

    OLD = "old"
    COMPAT = "compat"
    NEW = "new"


@frozen(kw_only=True)
class CacheEntry:
    """One library.

    Attributes:
        name: what programs ask for, mostly a soname.
        path: where it is, from the root of the image.
        flags: its kind (3 for a library of glibc) and ABI (0x300 for x86-64).
        hwcap: the hardware that a folder such as ``i686/sse2`` stands for, as bits.
        hwcaps: the name of its folder in ``glibc-hwcaps``; ``hwcap`` is 0 then.
        isa_level: the level of instructions needed, 0 to 1023; kept where ``hwcaps`` is
            said, and nowhere else.
        os_version: the oldest Linux needed, ``0x020620`` for 2.6.32. Loaders up to glibc
            2.35 look at it, ldconfig of later ones writes 0.
    """

    name: bytes
    path: bytes
    flags: int
    hwcap: int = 0
    hwcaps: bytes | None = None
    isa_level: int = 0
    os_version: int = 0


@frozen(kw_only=True)
class LdCache:
    """A cache that was read.

    Attributes:
        entries: in the cache's order, from its new part where it has one.
        generator: the program that wrote it, as it says itself; empty where it does not.
    """

    format: CacheFormat
    byte_order: ByteOrder
    entries: tuple[CacheEntry, ...]
    generator: bytes
