"""Read the information and the symbols of a kernel module, compressed or not.

Modules have hundreds of symbols, of which only a few are exported or undefined. So the columns of
the symbol table are sliced and searched as a whole, and single symbols are read only if they match.

Source: libkmod/libkmod-elf.c and libkmod-module.c of kmod, for the choices between several sources;
include/linux/export.h, include/linux/moduleparam.h (``__MODULE_INFO``) and scripts/mod/modpost.c of
Linux, which define what is read.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import repeat
from typing import NamedTuple, cast

from attrs import field

from purekernel.errors import FormatError
from purekernel.formats.compression import unpack
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.elf import ElfClass
from purekernel.formats.kernel_module.sections import Sections, parse_sections
from purekernel.input import Input, Limits
from purekernel.records import frozen
from purekernel.tree import Buffer

# The largest modules, with debugging information, have about 100 MB; Debian's largest has 7, and
# all of its modules 350.
LIMITS = Limits(unpacked_bytes=256 << 20, total_bytes=4 << 30)

# The compressions that libkmod unpacks; all other files must be uncompressed modules.
_COMPRESSIONS = (FileKind.GZIP, FileKind.XZ, FileKind.ZSTD)

CRC_PREFIX = b"__crc_"
SHN_UNDEF, SHN_ABS = 0, 0xFFF1
STB_WEAK = 2

# SPARC's compiler lists registers in the symbol table, which are not needed from other modules.
EM_SPARC, EM_SPARCV9 = 2, 43
STT_REGISTER = 13

# The size of struct modversion_info: a CRC as long as the machine's long, and a name.
VERSION_BYTES = 64

# The kernel's own limit is KSYM_NAME_LEN, 512. Only damaged tables have longer names.
MAX_NAME_BYTES = 4096

# The value that libkmod uses for a checksum outside of its section.
NO_CRC = 0xFFFFFFFFFFFFFFFF

MODINFO = b".modinfo"


class ExportedSymbol(NamedTuple):
    """A symbol that a module exports, with the checksum of its type; 0 without one."""

    name: bytes
    crc: int


class NeededSymbol(NamedTuple):
    """A symbol that a module needs, with the expected checksum; a weak one may be missing."""

    name: bytes
    crc: int
    weak: bool


# A kernel has hundreds of thousands of these; the constructor of tuples takes a fifth of the time.
_make_needed = cast(
    "Callable[[tuple[bytes, int, bool]], NeededSymbol]", partial(tuple.__new__, NeededSymbol)
)


@frozen(kw_only=True)
class SymbolTable:
    """The columns of ``.symtab``, without its first symbol, which is empty, and its strings.

    Attributes:
        strings: the strings, up to the NUL that ends the last, even if that is outside the section.
        strings_bytes: the size of the section of strings.
        name_at: the offset of each symbol's name in the strings.
        section: the index of each symbol's section.
        info: binding and type of each symbol.
        value: the value of each symbol.
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


@frozen(kw_only=True)
class KernelModule:
    """The properties of a module that other modules depend on.

    Attributes:
        information: the keys and values of ``.modinfo``, in order; keys may be repeated.
        exports: the symbols that it exports, in the order of its table.
        needs: the symbols that it needs, in the order of its table.
    """

    information: tuple[tuple[bytes, bytes], ...]
    exports: tuple[ExportedSymbol, ...]
    needs: tuple[NeededSymbol, ...]

    def values(self, key: bytes) -> list[bytes]:
        """Return all values of ``key``, in order."""
        return [value for other, value in self.information if other == key]


def parse_kernel_module(file: Input) -> KernelModule:
    """Return the information, exports and needed symbols of a module.

    If the symbol table is missing or damaged, the module counts as one that needs no symbols.

    Args:
        file: a ``.ko``, uncompressed or compressed with gzip, xz or zstd.

    Raises:
        FormatError: the file is not a module, is damaged, or has another compression.
        LimitError: the module exceeds the limits of ``file``; see :data:`LIMITS`.
    """
    if detect(file.data) in _COMPRESSIONS:
        file = file.unpacked(unpack(file))
    sections = parse_sections(file)
    table = read_symbol_table(sections)
    needs: list[NeededSymbol] = []
    if table is not None:
        with suppress(FormatError):
            needs = read_needed_symbols(sections, table)
    return KernelModule(
        information=read_modinfo(sections),
        exports=tuple(read_exports(sections, table)),
        needs=tuple(needs),
    )


def read_symbol_table(sections: Sections) -> SymbolTable | None:
    """Return the symbol table of a module; ``None`` if it is missing or damaged."""
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
        # A last string without a NUL ends at the next NUL in the file.
        strings_at, strings_bytes = sections.span(b".strtab") or (0, 0)
        text += _text_at(sections, strings_at + strings_bytes) + b"\0"
    return SymbolTable(
        strings=text,
        strings_bytes=len(strings),
        name_at=_column(sections, body, "I", 0, 6 if wide else 4),
        section=_column(sections, body, "H", 3 if wide else 7, 12 if wide else 8),
        info=bytes(body[4 if wide else 12 :: entry_bytes]),
        value=_column(sections, body, "Q" if wide else "I", 1, 3 if wide else 4),
    )


def parse_modinfo(data: Buffer) -> tuple[tuple[bytes, bytes], ...]:
    """Return the keys and values of a ``.modinfo`` section, in order.

    The section has ``key=value`` strings, separated by NULs. A string without ``=`` is a key with
    an empty value. Empty strings are padding.
    """
    pairs = []
    for text in split_strings(data):
        key, _equals, value = text.partition(b"=")
        pairs.append((key, value))
    return tuple(pairs)


def split_strings(data: Buffer) -> list[bytes]:
    """Return the strings of a section of strings, without the padding between them.

    A single byte counts as padding, whatever its value.
    """
    strings = bytes(data).lstrip(b"\0")
    return [text for text in strings.split(b"\0") if text] if len(strings) > 1 else []


def read_modinfo(sections: Sections) -> tuple[tuple[bytes, bytes], ...]:
    """Return the keys and values of a module; empty if it has no ``.modinfo``."""
    content = sections.content(MODINFO)
    return () if content is None else parse_modinfo(content)


def read_exports(sections: Sections, table: SymbolTable | None) -> list[ExportedSymbol]:
    """Return the exports of a module: the symbols with checksums, else its list of names."""
    if table is not None:
        exports = _exports_by_crc(sections, table)
        if exports:
            return exports
    names = sections.content(b"__ksymtab_strings")
    if names is None:
        return []
    return [ExportedSymbol(name, 0) for name in split_strings(names)]


def read_needed_symbols(sections: Sections, table: SymbolTable) -> list[NeededSymbol]:
    """Return the undefined symbols of a module, then versions without an undefined symbol.

    Raises:
        FormatError: the name of a symbol is outside of the strings.
    """
    undefined = [index for index, section in enumerate(table.section) if section == SHN_UNDEF]
    if sections.machine in (EM_SPARC, EM_SPARCV9):
        undefined = [index for index in undefined if table.info[index] & 0xF != STT_REGISTER]
    starts = [table.name_at[index] for index in undefined]
    if max(starts, default=-1) >= table.strings_bytes:
        raise sections.file.fail(
            None,
            f"a symbol's name among {table.strings_bytes} bytes of strings",
            f"one at byte {max(starts)}",
        )
    strings = table.strings
    ends = [strings.find(b"\0", start, start + MAX_NAME_BYTES) for start in starts]
    if -1 in ends:
        names = [table.name(index) for index in undefined]
    else:
        names = [strings[start:end] for start, end in zip(starts, ends, strict=True)]
    versions = read_versions(sections)
    # Of versions with the same name, the first counts.
    crcs = map(dict(reversed(versions)).get, names, repeat(0))
    weak = [table.info[index] >> 4 == STB_WEAK for index in undefined]
    needed = [
        symbol for symbol in map(_make_needed, zip(names, crcs, weak, strict=True)) if symbol[0]
    ]
    # module_layout is not an undefined symbol, but its version must match the kernel's.
    undefined_names = set(names)
    for name, crc in versions:
        if name and name in undefined_names:
            undefined_names.remove(name)
        else:
            needed.append(NeededSymbol(name, crc, False))
    return needed


def read_versions(sections: Sections) -> list[tuple[bytes, int]]:
    """Return the names and checksums in ``__versions``, in order."""
    content = sections.content(b"__versions")
    if content is None or len(content) % VERSION_BYTES:
        return []
    wide = sections.elf_class is ElfClass.BITS_64
    entry = struct.Struct(sections.mark + ("Q56s" if wide else "I60s"))
    start = (sections.span(b"__versions") or (0, 0))[0] + (8 if wide else 4)
    versions = []
    for index, (crc, field_bytes) in enumerate(entry.iter_unpack(content)):
        name, nul, _rest = field_bytes.partition(b"\0")
        versions.append((name if nul else _text_at(sections, start + index * VERSION_BYTES), crc))
    return versions


def _text_at(sections: Sections, offset: int) -> bytes:
    """Return the bytes from ``offset`` to the next NUL or the end of the file."""
    return bytes(sections.data[offset : offset + MAX_NAME_BYTES]).partition(b"\0")[0]


def _column(
    sections: Sections, body: memoryview, code: str, first: int, step: int
) -> Sequence[int]:
    """Return every ``step``-th number in ``body``, starting at index ``first``."""
    numbers = array(code)
    numbers.frombytes(body)
    column = numbers[first::step]
    if sections.byte_order != sys.byteorder:
        column.byteswap()
    return column


def _exports_by_crc(sections: Sections, table: SymbolTable) -> list[ExportedSymbol]:
    if CRC_PREFIX not in table.strings or max(table.name_at, default=0) >= table.strings_bytes:
        return []
    starts = {match.start() for match in re.finditer(CRC_PREFIX, table.strings)}
    return [
        ExportedSymbol(
            table.name(index)[len(CRC_PREFIX) :],
            _resolve_crc(sections, table.value[index], table.section[index]),
        )
        for index, start in enumerate(table.name_at)
        if start in starts and table.name(index) != CRC_PREFIX
    ]


def _resolve_crc(sections: Sections, value: int, section: int) -> int:
    """Return a checksum: the symbol's value, or the number at that offset of its section."""
    if section in (SHN_UNDEF, SHN_ABS):
        return value
    span = sections.by_index[section] if section < len(sections.by_index) else None
    if span is None:
        return NO_CRC
    offset, size_bytes = span
    # libkmod does not check sections that are too small for a checksum.
    end = offset + value + 4
    if (size_bytes >= 4 and value > size_bytes - 4) or end > len(sections.data):
        return NO_CRC
    crc: int = struct.unpack_from(sections.mark + "I", sections.data, end - 4)[0]
    return crc
