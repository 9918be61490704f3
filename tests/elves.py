"""Make small shared libraries: ELF files of any class and byte order."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from purekernel.formats.elf import ByteOrder
from purekernel.formats.elf.layout import (
    DT_FLAGS_1,
    DT_NEEDED,
    DT_NULL,
    DT_RPATH,
    DT_RUNPATH,
    DT_SONAME,
    DT_STRTAB,
    DT_VERDEF,
    DT_VERNEED,
    EM_X86_64,
    ET_DYN,
    PT_DYNAMIC,
    PT_GNU_PROPERTY,
    PT_INTERP,
    PT_LOAD,
    PT_NOTE,
    VER_FLG_WEAK,
)

BASE = 0x10000


def _version_definitions(
    mark: str, versions: Sequence[bytes], places: Mapping[bytes, int]
) -> bytes:
    """Return the table of defined versions: Elf_Verdef and Elf_Verdaux, one after the other."""
    table = b""
    for index, name in enumerate(versions):
        following = 0 if index == len(versions) - 1 else 28
        table += struct.pack(mark + "HHHHIII", 1, 0, index + 1, 1, 0, 20, following)
        table += struct.pack(mark + "II", places[name], 0)
    return table


def _version_needs(
    mark: str,
    needed: Mapping[bytes, Sequence[bytes]],
    weak: Sequence[bytes],
    places: Mapping[bytes, int],
) -> bytes:
    """Return the table of needed versions: an Elf_Verneed for each library, and its Vernaux."""
    table = b""
    for index, (library, names) in enumerate(needed.items()):
        following = 0 if index == len(needed) - 1 else 16 + 16 * len(names)
        table += struct.pack(mark + "HHIII", 1, len(names), places[library], 16, following)
        for number, name in enumerate(names):
            step = 0 if number == len(names) - 1 else 16
            flags = VER_FLG_WEAK if name in weak else 0
            table += struct.pack(mark + "IHHII", 0, flags, 2, places[name], step)
    return table


def make_library(
    soname: bytes | None = b"libx.so.1",
    *needed: bytes,
    machine: int = EM_X86_64,
    bits: int = 64,
    byte_order: ByteOrder = "little",
    kind: int = ET_DYN,
    flags: int = 0,
    interpreter: bytes | None = None,
    isa_needed: int | None = None,
    os_version: tuple[int, int, int] | None = None,
    apart_bytes: int = 0,
    rpath: bytes | None = None,
    runpath: bytes | None = None,
    flags_1: int | None = None,
    needed_versions: Mapping[bytes, Sequence[bytes]] | None = None,
    weak: Sequence[bytes] = (),
    versions: Sequence[bytes] = (),
) -> bytes:
    """Return a library with one loaded segment, from its first byte to its last.

    ``needed_versions`` has the versions that it needs of each library; those in ``weak`` may be
    missing. It defines ``versions``.

    With ``apart_bytes``, the dynamic section and strings are in a second segment, that many bytes
    further on.
    """
    mark = "<" if byte_order == "little" else ">"
    wide = bits == 64
    header = struct.Struct(mark + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"))
    pair = struct.Struct(mark + ("QQ" if wide else "II"))
    first = 16 + header.size
    contents: list[tuple[int, bytes]] = []
    if interpreter is not None:
        contents.append((PT_INTERP, interpreter + b"\0"))
    if isa_needed is not None:
        properties = struct.pack(mark + "III", 0xC0008002, 4, isa_needed)
        properties += bytes(-len(properties) % (8 if wide else 4))
        note = struct.pack(mark + "III4s", 4, len(properties), 5, b"GNU\0") + properties
        contents.append((PT_GNU_PROPERTY, note))
    if os_version is not None:
        contents.append(
            (PT_NOTE, struct.pack(mark + "III4sIIII", 4, 16, 1, b"GNU\0", 0, *os_version))
        )
    count = 2 + len(contents) + bool(apart_bytes)
    program_header_bytes = 56 if wide else 32
    here = first + count * program_header_bytes
    body = b""
    segments: list[tuple[int, int, int]] = []
    for segment, content in contents:
        body += bytes(-(here + len(body)) % 8)
        segments.append((segment, here + len(body), len(content)))
        body += content
    body += bytes(-(here + len(body)) % 8)
    strings = b"\0"
    entries: list[tuple[int, int]] = []
    named = [(DT_NEEDED, name) for name in needed]
    named += [
        (tag, name)
        for tag, name in ((DT_SONAME, soname), (DT_RPATH, rpath), (DT_RUNPATH, runpath))
        if name is not None
    ]
    for tag, name in named:
        entries.append((tag, len(strings)))
        strings += name + b"\0"
    if flags_1 is not None:
        entries.append((DT_FLAGS_1, flags_1))
    places: dict[bytes, int] = {}
    used = [*versions, *(needed_versions or {})]
    for name in (*used, *(each for names in (needed_versions or {}).values() for each in names)):
        places[name] = len(strings)
        strings += name + b"\0"
    tables = [
        (DT_VERDEF, _version_definitions(mark, versions, places)),
        (DT_VERNEED, _version_needs(mark, needed_versions or {}, weak, places)),
    ]
    tables = [(tag, table) for tag, table in tables if table]
    dynamic_at = here + len(body)
    dynamic_bytes = (len(entries) + len(tables) + 2) * pair.size
    strings_at = BASE + apart_bytes + dynamic_at + dynamic_bytes
    for tag, table in tables:
        strings += bytes(-len(strings) % 4)
        entries.append((tag, strings_at + len(strings)))
        strings += table
    entries += [(DT_STRTAB, strings_at), (DT_NULL, 0)]
    body += b"".join(pair.pack(*entry) for entry in entries) + strings
    end = here + len(body)
    segments.insert(0, (PT_LOAD, 0, dynamic_at if apart_bytes else end))
    segments.append((PT_DYNAMIC, dynamic_at, dynamic_bytes))
    if apart_bytes:
        segments.append((PT_LOAD, dynamic_at, end - dynamic_at))
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if byte_order == "little" else 2, 1])
    numbers = header.pack(
        kind, machine, 1, 0, first, 0, flags, first, program_header_bytes, count, 0, 0, 0
    )
    table = b""
    for segment, offset, size in segments:
        align = 8 if wide else 4
        address = BASE + offset + (apart_bytes if offset >= dynamic_at else 0)
        if wide:
            table += struct.pack(
                mark + "IIQQQQQQ", segment, 4, offset, address, 0, size, size, align
            )
        else:
            table += struct.pack(
                mark + "IIIIIIII", segment, offset, address, 0, size, size, 4, align
            )
    return ident.ljust(16, b"\0") + numbers + table + body
