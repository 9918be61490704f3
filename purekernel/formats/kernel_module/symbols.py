"""The symbols that a module offers to others, and those that it needs of them.

Modules have hundreds of symbols of which these are a few, so the columns of the table are
sliced out whole and searched, and only what is found is looked at one by one.

Source: libkmod/libkmod-elf.c of kmod, whose choices these are; include/linux/export.h and
scripts/mod/modpost.c of Linux, which write what is read here.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.elf import ElfClass
from purekernel.formats.kernel_module.modinfo import split_strings
from purekernel.formats.kernel_module.sections import Sections

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


class Export(NamedTuple):
    """A symbol that a module offers, with the checksum of its type (0 where it has none)."""

    name: bytes
    crc: int


class Requirement(NamedTuple):
    """A symbol that a module needs, with the checksum it was built for; a weak one it may lack."""

    name: bytes
    crc: int
    weak: bool


@frozen(kw_only=True)
class _SymbolTable:
    """Columns of ``.symtab``, its strings, and what follows these up to a NUL."""

    strings: bytes = field(repr=False)
    behind: bytes = field(repr=False)
    name_at: list[int]
    section: list[int]
    info: bytes
    value: list[int]

    def name(self, index: int) -> bytes:
        start = self.name_at[index]
        end = self.strings.find(b"\0", start, start + MAX_NAME_BYTES)
        if end >= 0:
            return self.strings[start:end]
        # The last may lack its NUL, and then ends at the next one in the file.
        name = self.strings[start : start + MAX_NAME_BYTES] + self.behind
        return name[:MAX_NAME_BYTES]


def read_exports(sections: Sections) -> list[Export]:
    """Return what a module exports: its checksums' symbols, else its list of names."""
    table = _read_table(sections)
    if table is not None and max(table.name_at, default=0) < len(table.strings):
        exports = _exports_by_crc(sections, table)
        if exports:
            return exports
    names = sections.content(b"__ksymtab_strings")
    if names is None:
        return []
    return [Export(name, 0) for name in split_strings(names)]


def read_requirements(sections: Sections) -> list[Requirement]:
    """Return what a module needs: undefined symbols, then versions that none of them has.

    Raises:
        FormatError: it has no table of symbols, or a broken one.
    """
    table = _read_table(sections)
    if table is None:
        raise FormatError(
            source=sections.source, expected="a table of symbols", got="none, or a broken one"
        )
    versions = _read_versions(sections)
    first: dict[bytes, int] = {}
    for index, (name, _crc) in enumerate(versions):
        first.setdefault(name, index)
    registers = sections.machine in (EM_SPARC, EM_SPARCV9)
    seen: set[int] = set()
    found: list[Requirement] = []
    for index, section in enumerate(table.section):
        if section != SHN_UNDEF:
            continue
        info = table.info[index]
        if registers and info & 0xF == STT_REGISTER:
            continue
        if table.name_at[index] >= len(table.strings):
            raise FormatError(
                source=sections.source,
                expected=f"a symbol's name among {len(table.strings)} bytes of strings",
                got=f"one at byte {table.name_at[index]}",
            )
        name = table.name(index)
        if not name:
            continue
        version = first.get(name)
        crc = 0
        if version is not None:
            seen.add(version)
            crc = versions[version][1]
        found.append(Requirement(name, crc, info >> 4 == STB_WEAK))
    # module_layout, which no code mentions, and yet must fit.
    found += [
        Requirement(name, crc, False)
        for index, (name, crc) in enumerate(versions)
        if index not in seen
    ]
    return found


def read_versions(sections: Sections) -> list[tuple[bytes, int]]:
    """Return names and checksums in ``__versions``, in order."""
    return _read_versions(sections)


def _read_table(sections: Sections) -> _SymbolTable | None:
    strings = sections.content(b".strtab")
    table = sections.content(b".symtab")
    if strings is None or table is None:
        return None
    wide = sections.elf_class is ElfClass.BITS_64
    entry_bytes = 24 if wide else 16
    if len(table) % entry_bytes:
        return None
    strings_at, strings_bytes = sections.place(b".strtab") or (0, 0)
    strings_end = strings_at + strings_bytes
    # The first symbol is none.
    body = table[entry_bytes:]
    count = len(body) // entry_bytes
    halves = _numbers(sections, body, "H")
    words = _numbers(sections, body, "I")
    values = _numbers(sections, body, "Q")[1::3] if wide else words[1::4]
    return _SymbolTable(
        strings=bytes(strings),
        behind=_text_at(sections, strings_end) if strings and strings[-1] else b"",
        name_at=words[:: 6 if wide else 4],
        section=halves[3::12] if wide else halves[7::8],
        info=bytes(body[4::24] if wide else body[12::16])[:count],
        value=values,
    )


def _text_at(sections: Sections, offset: int) -> bytes:
    """Return what stands at ``offset`` up to the next NUL, or the end of the file."""
    return bytes(sections.data[offset : offset + MAX_NAME_BYTES]).partition(b"\0")[0]


def _numbers(sections: Sections, body: memoryview, code: str) -> list[int]:
    count = len(body) // struct.calcsize("=" + code)
    return list(struct.unpack_from(f"{sections.mark}{count}{code}", body))


def _exports_by_crc(sections: Sections, table: _SymbolTable) -> list[Export]:
    starts = {match.start() for match in re.finditer(CRC_PREFIX, table.strings)}
    if not starts:
        return []
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


def _read_versions(sections: Sections) -> list[tuple[bytes, int]]:
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
