"""Define hardware folders, as used before ``glibc-hwcaps``.

Source: glibc 2.31 and 2.36, ``is_hwcap_platform`` and ``path_hwcap`` in elf/ldconfig.c.
"""

from __future__ import annotations

import re

from purekernel.rootfs.ldconfig.architecture import TLS_BIT, TLS_FOLDER, Architecture
from purekernel.rootfs.ldconfig.rules import Rules
from purekernel.tree import display

# The number of hardware bits in a cache entry.
BITS = 64

# Longer numbers cannot be the number of a bit.
_NUMBER = re.compile(rb"0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,20}|[1-9][0-9]{0,20}")


class Hwcaps:
    """The names of hardware folders, and the bit of each in the cache."""

    def __init__(self, architecture: Architecture, rules: Rules) -> None:
        known = architecture.hardware(rules.release)
        self._bits: dict[bytes, int] = {}
        self._searched: set[bytes] = set()
        if rules.hardware_folders:
            self._bits = {TLS_FOLDER: TLS_BIT, **known.bits}
            self._searched = {TLS_FOLDER, *known.searched}
        self._first_extra = architecture.first_extra_hwcap if rules.extra_hwcaps else None
        self._extras: dict[int, bytes] = {TLS_BIT: TLS_FOLDER}

    def define(self, words: bytes) -> str | None:
        """Add the number and folder name of a ``hwcap`` line.

        A kernel's vDSO used such numbers to select libraries: ``nosegneg`` for Xen. glibc exits on
        an invalid line; here it is skipped.

        Returns:
            The error in the line, ``None`` if it is valid.
        """
        if self._first_extra is None:
            return "the hwcap directive is no longer supported"
        number, _, name = words.strip(b" \t").replace(b"\t", b" ").partition(b" ")
        name = name.strip(b" ")
        index = _number(number)
        if index is None or not name or b" " in name:
            return "a hwcap line must have a number and a name"
        bit = self._first_extra + index
        if bit >= BITS:
            return f"the hwcap index must be at most {BITS - 1 - self._first_extra}, got {index}"
        known = self._extras.get(bit)
        if known is not None:
            return (
                None
                if known == name
                else f"the hwcap index {index} already belongs to {display(known)}"
            )
        if name in self._extras.values():
            return f"{display(name)} already has a hwcap index"
        self._extras[bit] = name
        self._bits.setdefault(name, bit)
        self._searched.add(name)
        return None

    def is_searched(self, name: bytes) -> bool:
        """Say whether folders of this name are searched."""
        return name in self._searched

    def of_path(self, path: bytes) -> int:
        """Return the bits of the hardware folders at the end of ``path``."""
        hwcap = 0
        # glibc ignores a first folder without a slash before it.
        for part in reversed(path.split(b"/")[1:]):
            bit = self._bits.get(part)
            if bit is None:
                break
            hwcap += 1 << bit
        return hwcap & (1 << BITS) - 1


def _number(text: bytes) -> int | None:
    """Parse a number as strtoul(3) does: ``0`` means octal, ``0x`` hexadecimal."""
    if not _NUMBER.fullmatch(text):
        return None
    if text[:2].lower() == b"0x":
        return int(text, 0)
    return int(text, 8 if text.startswith(b"0") else 10)
