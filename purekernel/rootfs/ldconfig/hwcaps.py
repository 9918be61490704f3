"""Folders for special hardware, as there were before ``glibc-hwcaps``.

Source: glibc 2.31 and 2.36, ``is_hwcap_platform`` and ``path_hwcap`` in elf/ldconfig.c.
"""

from __future__ import annotations

import re

from purekernel.rootfs.ldconfig.architecture import TLS_BIT, TLS_FOLDER, Architecture
from purekernel.rootfs.ldconfig.rules import Rules
from purekernel.tree import display

# The entries of the cache have so many bits for hardware.
BITS = 64

# No number of more digits is one of a bit.
_NUMBER = re.compile(rb"0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,20}|[1-9][0-9]{0,20}")


class Hwcaps:
    """The names of such folders, and the bit that each stands for in the cache."""

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
        """Take what a ``hwcap`` line says: a number, and the folder that it stands for.

        A kernel's vDSO used to say by such numbers which libraries suit it: ``nosegneg`` for
        Xen. glibc gives up on a wrong line; here it is passed over.

        Returns:
            What is wrong with it, ``None`` for nothing.
        """
        if self._first_extra is None:
            return "the hwcap directive means nothing any more"
        number, _, name = words.strip(b" \t").replace(b"\t", b" ").partition(b" ")
        name = name.strip(b" ")
        index = _number(number)
        if index is None or not name or b" " in name:
            return "bad syntax in a hwcap line"
        bit = self._first_extra + index
        if bit >= BITS:
            return f"hwcap index {index} is above {BITS - 1 - self._first_extra}"
        known = self._extras.get(bit)
        if known is not None:
            return None if known == name else f"hwcap index {index} is {display(known)} already"
        if name in self._extras.values():
            return f"there is a hwcap index of {display(name)} already"
        self._extras[bit] = name
        self._bits.setdefault(name, bit)
        self._searched.add(name)
        return None

    def is_searched(self, name: bytes) -> bool:
        """Say whether a folder of this name is looked into, wherever it is found."""
        return name in self._searched

    def of_path(self, path: bytes) -> int:
        """Return the bits that the last folders of ``path`` stand for."""
        hwcap = 0
        # A first folder with no slash before it does not count.
        for part in reversed(path.split(b"/")[1:]):
            bit = self._bits.get(part)
            if bit is None:
                break
            hwcap += 1 << bit
        return hwcap & (1 << BITS) - 1


def _number(text: bytes) -> int | None:
    """Return a number as strtoul(3) reads it: with ``0`` octal, with ``0x`` hexadecimal."""
    if not _NUMBER.fullmatch(text):
        return None
    if text[:2].lower() == b"0x":
        return int(text, 0)
    return int(text, 8 if text.startswith(b"0") else 10)
