"""Read the symbols that a kernel exports, from its System.map or Module.symvers.

Source: depmod_load_symvers() and depmod_load_system_map() in tools/depmod.c of kmod.
"""

from __future__ import annotations

import re

from attrs import field

from purekernel.records import frozen
from purekernel.tree import Buffer

# Symbols that the kernel's module loader defines: the module's own structure, and the address
# tables of two processors.
_FAKED = (b"__this_module", b"_GLOBAL_OFFSET_TABLE_", b"TOC.")

_MAP_PREFIX = b"__ksymtab_"
_BLANKS = re.compile(rb"[ \t]+")
_HEX = re.compile(rb"(?:0[xX])?[0-9a-fA-F]{1,16}")


@frozen(kw_only=True)
class KernelSymbols:
    """The symbols of a kernel.

    Attributes:
        symbols: the checksum of each symbol; 0 if the file has none.
        has_versions: whether the checksums are meaningful.
    """

    symbols: dict[bytes, int] = field(repr=False)
    has_versions: bool


def parse_system_map(data: Buffer) -> KernelSymbols:
    """Return the exported symbols in a System.map."""
    symbols = {}
    for line in bytes(data).split(b"\n"):
        words = line.split(b" ", 2)
        if len(words) == 3 and words[2].startswith(_MAP_PREFIX):
            symbols[words[2][len(_MAP_PREFIX) :]] = 0
    return KernelSymbols(symbols={**symbols, **dict.fromkeys(_FAKED, 0)}, has_versions=False)


def parse_symvers(data: Buffer) -> KernelSymbols:
    """Return the symbols of vmlinux in a Module.symvers, with checksums."""
    symbols = {}
    for line in bytes(data).split(b"\n"):
        words = [word for word in _BLANKS.split(line) if word]
        if len(words) > 3 and words[2] == b"vmlinux" and _HEX.fullmatch(words[0]):
            symbols[words[1]] = int(words[0], 16)
    return KernelSymbols(symbols={**symbols, **dict.fromkeys(_FAKED, 0)}, has_versions=True)
