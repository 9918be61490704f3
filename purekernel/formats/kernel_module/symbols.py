"""The symbols that a module offers to others, and those that it needs of them.

Modules have hundreds of symbols of which these are a few, so the columns of the table are
sliced out whole and searched, and only what is found is looked at one by one.

Source: libkmod/libkmod-elf.c of kmod, whose choices these are; include/linux/export.h and
scripts/mod/modpost.c of Linux, which write what is read here.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import NamedTuple, cast

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.elf import ElfClass
from purekernel.formats.kernel_module.sections import Sections
from purekernel.tree import Buffer

CRC_PREFIX = b"__crc_"
SHN_UNDEF, SHN_ABS = 0, 0xFFF1
STB_WEAK = 2


# Registers that SPARC's compiler names in the table are not wanted from anybody.
EM_SPARC, EM_SPARCV9 = 2, 43
STT_REGISTER = 13


# struct modversion_info: a CRC of the machine's long, and a name that fills up the rest.
VERSION_BYTES = 64


# The kernel's own bound is KSYM_NAME_LEN, 512. Only damaged tables hold longer ones.
MAX_NAME_BYTES = 4096


# What a checksum is taken for that lies outside of its section, as libkmod has it.
NO_CRC = 0xFFFFFFFFFFFFFFFF


MODINFO = b".modinfo"


class Export(NamedTuple):
    """A symbol that a module offers, with the checksum of its type (0 where it has none)."""

    name: bytes
    crc: int


class Requirement(NamedTuple):
    """A symbol that a module needs, with the checksum it was built for; a weak one it may lack."""

    name: bytes
    crc: int
    weak: bool


# There are hundreds of thousands, and tuples' own constructor takes a fifth of the time.
_requirement = cast(
    "Callable[[tuple[bytes, int, bool]], Requirement]", partial(tuple.__new__, Requirement)
)


@frozen(kw_only=True)
class SymbolTable:
    """Columns of ``.symtab``, without its first symbol, which is none, and its strings.

    Attributes:
        strings: with the NUL that ends the last, wherever in the file that is.
        strings_bytes: how many of them are the section's own.
        name_at: where each symbol's name begins.
        section: the number of the section that each lies in.
        info: binding and type of each.
        value: of each.
    """

    strings: bytes = field(repr=False)
    strings_bytes: int
    name_at: Sequence[int] = field(repr=False)
    section: Sequence[int] = field(repr=False)
    info: bytes = field(repr=False)
    value: Sequence[int] = field(repr=False)

    def name(self, index: int) -> bytes:
        """Return the name of a symbol."""
        start = self.name_at[index]
        end = self.strings.find(b"\0", start, start + MAX_NAME_BYTES)
        return self.strings[start : end if end >= 0 else start + MAX_NAME_BYTES]


def read_symbol_table(sections: Sections) -> SymbolTable | None:
    """Return a module's table of symbols, ``None`` where it has none or a broken one."""
    strings = sections.content(b".strtab")
    table = sections.content(b".symtab")
    if strings is None or table is None:
        return None
    wide = sections.elf_class is ElfClass.BITS_64
    entry_bytes = 24 if wide else 16
    if len(table) % entry_bytes:
        return None
    body = table[entry_bytes:]
    text = bytes(strings)
    if text and text[-1]:
        # The last may lack its NUL, and then ends at the next one in the file.
        strings_at, strings_bytes = sections.place(b".strtab") or (0, 0)
        text += _text_at(sections, strings_at + strings_bytes) + b"\0"
    return SymbolTable(
        strings=text,
        strings_bytes=len(strings),
        name_at=_column(sections, body, "I", 0, 6 if wide else 4),
        section=_column(sections, body, "H", 3 if wide else 7, 12 if wide else 8),
        info=bytes(body[4 if wide else 12 :: entry_bytes]),
        value=_column(sections, body, "Q" if wide else "I", 1, 3 if wide else 4),
    )


# What a module says of itself: ``key=value`` strings parted by NULs.
#
# Source: include/linux/moduleparam.h of Linux (``__MODULE_INFO``); libkmod/libkmod-elf.c and
# libkmod-module.c of kmod.


def parse_modinfo(data: Buffer) -> tuple[tuple[bytes, bytes], ...]:
    """Return keys and values in the order in which they stand.

    A string without ``=`` is a key with an empty value. Empty strings are padding.
    """
    pairs = []
    for text in split_strings(data):
        key, _equals, value = text.partition(b"=")
        pairs.append((key, value))
    return tuple(pairs)


def split_strings(data: Buffer) -> list[bytes]:
    """Return the strings of a section that is all strings, without the padding between them.

    One byte alone is taken for padding too, whatever it is.
    """
    strings = bytes(data).lstrip(b"\0")
    return [text for text in strings.split(b"\0") if text] if len(strings) > 1 else []


def read_modinfo(sections: Sections) -> tuple[tuple[bytes, bytes], ...]:
    """Return keys and values of a module; none where it has no ``.modinfo``."""
    content = sections.content(MODINFO)
    return () if content is None else parse_modinfo(content)


def read_exports(sections: Sections, table: SymbolTable | None) -> list[Export]:
    """Return what a module exports: its checksums' symbols, else its list of names."""
    if table is not None:
        exports = _exports_by_crc(sections, table)
        if exports:
            return exports
    names = sections.content(b"__ksymtab_strings")
    if names is None:
        return []
    return [Export(name, 0) for name in split_strings(names)]


def read_requirements(sections: Sections, table: SymbolTable) -> list[Requirement]:
    """Return what a module needs: undefined symbols, then versions that none of them has.

    Raises:
        FormatError: a symbol's name is none of the strings.
    """
    undefined = [index for index, section in enumerate(table.section) if section == SHN_UNDEF]
    if sections.machine in (EM_SPARC, EM_SPARCV9):
        undefined = [index for index in undefined if table.info[index] & 0xF != STT_REGISTER]
    places = [table.name_at[index] for index in undefined]
    if max(places, default=-1) >= table.strings_bytes:
        raise FormatError(
            source=sections.source,
            expected=f"a symbol's name among {table.strings_bytes} bytes of strings",
            got=f"one at byte {max(places)}",
        )
    strings = table.strings
    ends = [strings.find(b"\0", start, start + MAX_NAME_BYTES) for start in places]
    if -1 in ends:
        names = [table.name(index) for index in undefined]
    else:
        names = [strings[start:end] for start, end in zip(places, ends, strict=True)]
    versions = read_versions(sections)
    # Of several of one name, the first counts.
    crcs = map(dict(reversed(versions)).get, names, repeat(0))
    weak = [table.info[index] >> 4 == STB_WEAK for index in undefined]
    found = [one for one in map(_requirement, zip(names, crcs, weak, strict=True)) if one[0]]
    # module_layout, which no code mentions, and yet must fit.
    mentioned = set(names)
    for name, crc in versions:
        if name and name in mentioned:
            mentioned.remove(name)
        else:
            found.append(Requirement(name, crc, False))
    return found


def read_versions(sections: Sections) -> list[tuple[bytes, int]]:
    """Return names and checksums in ``__versions``, in order."""
    content = sections.content(b"__versions")
    if content is None or len(content) % VERSION_BYTES:
        return []
    wide = sections.elf_class is ElfClass.BITS_64
    entry = struct.Struct(sections.mark + ("Q56s" if wide else "I60s"))
    start = (sections.place(b"__versions") or (0, 0))[0] + (8 if wide else 4)
    versions = []
    for index, (crc, field_bytes) in enumerate(entry.iter_unpack(content)):
        name, nul, _rest = field_bytes.partition(b"\0")
        versions.append((name if nul else _text_at(sections, start + index * VERSION_BYTES), crc))
    return versions


def _text_at(sections: Sections, offset: int) -> bytes:
    """Return what stands at ``offset`` up to the next NUL, or the end of the file."""
    return bytes(sections.data[offset : offset + MAX_NAME_BYTES]).partition(b"\0")[0]


def _column(
    sections: Sections, body: memoryview, code: str, first: int, step: int
) -> Sequence[int]:
    """Return every ``step``-th of the numbers that ``body`` is made of, from ``first`` on."""
    numbers = array(code)
    numbers.frombytes(body)
    column = numbers[first::step]
    if sections.byte_order != sys.byteorder:
        column.byteswap()
    return column


def _exports_by_crc(sections: Sections, table: SymbolTable) -> list[Export]:
    if CRC_PREFIX not in table.strings or max(table.name_at, default=0) >= table.strings_bytes:
        return []
    starts = {match.start() for match in re.finditer(CRC_PREFIX, table.strings)}
    return [
        Export(
            table.name(index)[len(CRC_PREFIX) :],
            _resolve_crc(sections, table.value[index], table.section[index]),
        )
        for index, start in enumerate(table.name_at)
        if start in starts and table.name(index) != CRC_PREFIX
    ]


def _resolve_crc(sections: Sections, value: int, section: int) -> int:
    """Return a checksum: the symbol's value, or what its section has at that offset."""
    if section in (SHN_UNDEF, SHN_ABS):
        return value
    place = sections.by_index[section] if section < len(sections.by_index) else None
    if place is None:
        return NO_CRC
    offset, size_bytes = place
    # libkmod does not check sections that are too small for any.
    end = offset + value + 4
    if (size_bytes >= 4 and value > size_bytes - 4) or end > len(sections.data):
        return NO_CRC
    crc: int = struct.unpack_from(sections.mark + "I", sections.data, end - 4)[0]
    return crc
