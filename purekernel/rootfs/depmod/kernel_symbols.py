"""What a kernel exports, from the files that its build leaves: System.map, Module.symvers.

Source: depmod_load_symvers() and depmod_load_system_map() in tools/depmod.c of kmod.
"""

from __future__ import annotations

import re

from attrs import field, frozen

from purekernel.tree import Buffer

# What the kernel's loader puts in by itself: the module's own structure, and what two
# processors call their table of addresses.
_FAKED = (b"__this_module", b"_GLOBAL_OFFSET_TABLE_", b"TOC.")

_MAP_PREFIX = b"__ksymtab_"
_BLANKS = re.compile(rb"[ \t]+")
_HEX = re.compile(rb"(?:0[xX])?[0-9a-fA-F]{1,16}")


@frozen(kw_only=True)
class KernelSymbols:
    """The symbols of a kernel.

    Attributes:
        symbols: the checksum of each; 0 where the file has none.
        has_versions: whether the checksums mean anything.
    """

    symbols: dict[bytes, int] = field(repr=False)
    has_versions: bool


def parse_system_map(data: Buffer) -> KernelSymbols:
    """Return the symbols that a System.map says are exported."""
    symbols = {}
    for line in bytes(data).split(b"\n"):
        words = line.split(b" ", 2)
        if len(words) == 3 and words[2].startswith(_MAP_PREFIX):
            symbols[words[2][len(_MAP_PREFIX) :]] = 0
    return KernelSymbols(symbols={**symbols, **dict.fromkeys(_FAKED, 0)}, has_versions=False)


def parse_symvers(data: Buffer) -> KernelSymbols:
    """Return the symbols of the kernel itself that a Module.symvers has, with checksums."""
    symbols = {}
    for line in bytes(data).split(b"\n"):
        words = [word for word in _BLANKS.split(line) if word]
        if len(words) > 3 and words[2] == b"vmlinux" and _HEX.fullmatch(words[0]):
            symbols[words[1]] = int(words[0], 16)
    return KernelSymbols(symbols={**symbols, **dict.fromkeys(_FAKED, 0)}, has_versions=True)
