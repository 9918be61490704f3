"""Make and read the two names of a file: the long one, in UTF-16, and the short one (8.3).

A long name lies in front of the entry with the short one, in entries of 13 UTF-16 units each, the
last part first, with a checksum of the short name. A name that is a valid short name has no long
one. The others get a short alias: ``LONGFI~1.TXT``.

Source: Microsoft's "FAT: General Overview of On-Disk Format", 1.03, "Long Directory Entries" and
"Name Limits and Character Sets"; fs/fat/namei_vfat.c of Linux.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterable

MOST_UNITS = 255
"""The longest long name, in UTF-16 units: a character outside the BMP is two."""

UNITS_OF_ENTRY = 13
LONG_NAME = 0x0F
_LAST_PART = 0x40

_FORBIDDEN = frozenset('"*/:<>?\\|')
_SHORT = r"[A-Z0-9!#$%&'()@^_`{}~-]"
_PLAIN = re.compile(rf"({_SHORT}{{1,8}})(?:\.({_SHORT}{{1,3}}))?")
_NOT_SHORT = re.compile(rf"(?!{_SHORT}).", re.DOTALL)

_LONG_ENTRY = struct.Struct("<B10sBBB12sH4s")


def decode_name(raw: bytes) -> str | None:
    """Return a name of a tree as text; ``None`` if it is not UTF-8.

    Unpaired surrogates, which other systems write, are read and written as they are.
    """
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def fault_of_name(name: str) -> str:
    """Return why FAT cannot hold a name, as a clause after "name"; empty if it can."""
    if any(char < " " or char in _FORBIDDEN for char in name) or "\uffff" in name:
        return 'with a control character or one of " * / : < > ? \\ |'
    if name.endswith((".", " ")):
        return "that ends with a dot or a blank"
    if len(_units(name)) > 2 * MOST_UNITS:
        return f"of more than {MOST_UNITS} UTF-16 units"
    return ""


def fold(name: str) -> str:
    """Return a text that is equal for names that systems with FAT take for one: without case."""
    if name.isascii():
        return name.upper()
    return "".join(upper if len(upper := char.upper()) == 1 else char for char in name)


def short_names(names: Iterable[str], taken: Collection[bytes] = ()) -> dict[str, bytes]:
    """Return the short name of each name in a folder: 11 bytes, padded with blanks.

    Args:
        names: valid names, of which no two are equal without case. Aliases are numbered in this
            order.
        taken: the short names of other files in the folder.
    """
    shorts: dict[str, bytes] = {}
    aliases: list[tuple[str, str, str]] = []
    for name in names:
        # A name that differs from a short one only in case has that as its alias. No other can.
        match = _PLAIN.fullmatch(fold(name) if name.isascii() else name)
        short = b"" if match is None else _padded(match[1], match[2] or "")
        if short and short not in taken:
            shorts[name] = short
        else:
            aliases.append((name, *_basis(name)))
    taken = {*taken, *shorts.values()}
    numbers: dict[tuple[str, str], int] = {}
    for name, base, extension in aliases:
        # Names with the same start get the same aliases, so they count together.
        key = (base[:6], extension)
        number = numbers.get(key, 0)
        while True:
            number += 1
            tail = f"~{number}"
            short = _padded(base[: 8 - len(tail)] + tail, extension)
            if short not in taken:
                break
        numbers[key] = number
        taken.add(short)
        shorts[name] = short
    return shorts


def is_short(name: str, short: bytes) -> bool:
    """Return whether ``short`` alone says the name, so that it needs no long one."""
    base, extension = short[:8].rstrip(b" "), short[8:].rstrip(b" ")
    return name.encode("utf-8", "surrogatepass") == base + (b"." + extension if extension else b"")


def checksum(short: bytes) -> int:
    """Return the checksum of a short name, which connects the parts of its long name to it."""
    total = 0
    for byte in short:
        total = ((total >> 1 | (total & 1) << 7) + byte) & 0xFF
    return total


def count_long_entries(name: str) -> int:
    """Return how many entries a long name takes."""
    return -(-len(_units(name)) // (2 * UNITS_OF_ENTRY))


def build_long_entries(name: str, short: bytes) -> bytes:
    """Return the entries of a long name, which precede the one of its short name."""
    units = _units(name)
    if len(units) % (2 * UNITS_OF_ENTRY):
        units += b"\0\0"
    count = -(-len(units) // (2 * UNITS_OF_ENTRY))
    units = units.ljust(count * 2 * UNITS_OF_ENTRY, b"\xff")
    total = checksum(short)
    entries = []
    for number in range(count, 0, -1):
        part = units[(number - 1) * 2 * UNITS_OF_ENTRY : number * 2 * UNITS_OF_ENTRY]
        flag = _LAST_PART if number == count else 0
        entries.append(
            _LONG_ENTRY.pack(
                number | flag, part[:10], LONG_NAME, 0, total, part[10:22], 0, part[22:]
            )
        )
    return b"".join(entries)


class LongName:
    """Collect the parts of a long name, in the order in which they are found."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._next = 0
        self._checksum = 0

    def __bool__(self) -> bool:
        return bool(self._parts)

    def clear(self) -> None:
        """Forget all parts."""
        self._parts = []
        self._next = 0

    def add(self, entry: bytes) -> bool:
        """Add a part; return whether it continues the earlier parts, or begins a name."""
        number, first, _attributes, _kind, total, second, _cluster, third = _LONG_ENTRY.unpack(
            entry
        )
        if number & _LAST_PART:
            is_right = not self._parts
            self._parts, self._checksum = [], total
        elif is_right := number == self._next and total == self._checksum:
            pass
        else:
            self.clear()
            return False
        self._next = (number & 0x3F) - 1
        self._parts.insert(0, first + second + third)
        return is_right

    def take(self, short: bytes) -> str | None:
        """Return the name if it is complete and belongs to ``short``, and forget it."""
        is_whole = self._parts and not self._next and checksum(short) == self._checksum
        units = b"".join(self._parts)
        self.clear()
        if not is_whole:
            return None
        return units.decode("utf-16-le", "surrogatepass").partition("\0")[0]


def _units(name: str) -> bytes:
    return name.encode("utf-16-le", "surrogatepass")


def _padded(base: str, extension: str) -> bytes:
    return f"{base:8}{extension:3}".encode("ascii")


def _basis(name: str) -> tuple[str, str]:
    """Return the base and the extension from which an alias is made."""
    text = fold(name).lstrip(". ").replace(" ", "")
    base, dot, extension = text.rpartition(".")
    if not dot:
        base, extension = text, ""
    base = base.replace(".", "")
    return _NOT_SHORT.sub("_", base)[:8] or "_", _NOT_SHORT.sub("_", extension)[:3]
