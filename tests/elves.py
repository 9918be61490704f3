"""Make small shared libraries: ELF files of any class and byte order."""

from __future__ import annotations

import struct

from purekernel.formats.elf import ByteOrder
from purekernel.formats.elf.layout import (
    DT_NEEDED,
    DT_NULL,
    DT_SONAME,
    DT_STRTAB,
    EM_X86_64,
    ET_DYN,
    PT_DYNAMIC,
    PT_GNU_PROPERTY,
    PT_INTERP,
    PT_LOAD,
    PT_NOTE,
)

BASE = 0x10000


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
) -> bytes:
    """Return a library with one loaded segment, from its first byte to its last.

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
    for tag, name in [(DT_NEEDED, name) for name in needed] + (
        [] if soname is None else [(DT_SONAME, soname)]
    ):
        entries.append((tag, len(strings)))
        strings += name + b"\0"
    dynamic_at = here + len(body)
    dynamic_bytes = (len(entries) + 2) * pair.size
    entries += [(DT_STRTAB, BASE + apart_bytes + dynamic_at + dynamic_bytes), (DT_NULL, 0)]
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
