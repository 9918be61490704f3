"""Make kernel modules of both classes and byte orders, with all sections that depmod reads."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from purekernel.formats.elf import ByteOrder, ElfClass
from purekernel.records import frozen

KINDS: list[tuple[ElfClass, ByteOrder]] = [
    (ElfClass.BITS_32, "little"),
    (ElfClass.BITS_32, "big"),
    (ElfClass.BITS_64, "little"),
    (ElfClass.BITS_64, "big"),
]

TEXT_SECTION = 1
WEAK, GLOBAL = 2, 1
ABSOLUTE = 0xFFF1


@frozen(kw_only=True)
class Wanted:
    """A symbol that a module needs."""

    name: str
    crc: int | None = None
    weak: bool = False


def make_module(
    information: Sequence[str | bytes] = (),
    *,
    exports: Sequence[tuple[str, int | None]] = (),
    wants: Sequence[Wanted | str] = (),
    versions: Sequence[tuple[str, int]] = (),
    elf_class: ElfClass = ElfClass.BITS_64,
    byte_order: ByteOrder = "little",
    crc_section: bool = True,
    without: Sequence[str] = (),
    more: Sequence[tuple[str, bytes]] = (),
) -> bytes:
    """Return a module.

    Args:
        information: ``key=value`` strings.
        exports: names and checksums; ``None`` for a symbol without a checksum.
        wants: undefined symbols; those with a checksum get an entry in ``__versions``.
        versions: more entries of ``__versions``, such as ``module_layout``.
        elf_class: the width of addresses.
        byte_order: the byte order of all numbers.
        crc_section: whether checksums are in ``__kcrctab``, not in the symbols' values.
        without: sections to leave out.
        more: sections to add, by name.
    """
    wide = elf_class is ElfClass.BITS_64
    mark = "<" if byte_order == "little" else ">"
    wanted = [Wanted(name=want) if isinstance(want, str) else want for want in wants]
    strings = bytearray(b"\0")

    def string(text: str) -> int:
        place = len(strings)
        strings.extend(text.encode("utf-8", "surrogateescape") + b"\0")
        return place

    crcs = bytearray()
    # Name, binding, section, value.
    symbols: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]
    crc_index = 4
    for name, crc in exports:
        symbols.append((string(name), GLOBAL, TEXT_SECTION, 0))
        if crc is None:
            continue
        if crc_section:
            symbols.append((string(f"__crc_{name}"), GLOBAL, crc_index, len(crcs)))
            crcs += struct.pack(mark + "I", crc)
        else:
            symbols.append((string(f"__crc_{name}"), GLOBAL, ABSOLUTE, crc))
    symbols += [(string(want.name), WEAK if want.weak else GLOBAL, 0, 0) for want in wanted]
    entries = [*versions, *((want.name, want.crc) for want in wanted if want.crc is not None)]
    versions_content = b"".join(
        struct.pack(mark + ("Q56s" if wide else "I60s"), crc, name.encode())
        for name, crc in entries
    )
    if wide:
        table = b"".join(
            struct.pack(mark + "IBBHQQ", name, binding << 4, 0, section, value, 0)
            for name, binding, section, value in symbols
        )
    else:
        table = b"".join(
            struct.pack(mark + "IIIBBH", name, value, 0, binding << 4, 0, section)
            for name, binding, section, value in symbols
        )
    sections = [
        (".text", b"\xc3" * 16),
        (
            ".modinfo",
            b"".join(
                (text.encode() if isinstance(text, str) else text) + b"\0" for text in information
            ),
        ),
        ("__ksymtab_strings", b"".join(name.encode() + b"\0" for name, _crc in exports)),
        ("__kcrctab", bytes(crcs)),
        ("__versions", versions_content),
        (".symtab", table),
        (".strtab", bytes(strings)),
    ]
    kept = [(name, content) for name, content in sections if name not in without]
    return _build([*kept, *more], wide, mark)


def _build(sections: Sequence[tuple[str, bytes]], wide: bool, mark: str) -> bytes:
    header_bytes = 64 if wide else 52
    body = bytearray()
    names = bytearray(b"\0")
    headers = [_section_header(wide, mark, 0, 0, 0)]
    for name, content in [*sections, (".shstrtab", b"")]:
        name_at = len(names)
        names += name.encode() + b"\0"
        held = bytes(names) if name == ".shstrtab" else content
        headers.append(_section_header(wide, mark, name_at, header_bytes + len(body), len(held)))
        body += held
        body += bytes(-len(body) % 8)
    identity = b"\x7fELF" + bytes([2 if wide else 1, 1 if mark == "<" else 2, 1]).ljust(12, b"\0")
    header = struct.pack(
        mark + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
        1,
        62 if wide else 3,
        1,
        0,
        0,
        header_bytes + len(body),
        0,
        header_bytes,
        0,
        0,
        64 if wide else 40,
        len(headers),
        len(headers) - 1,
    )
    return identity + header + bytes(body) + b"".join(headers)


def _section_header(wide: bool, mark: str, name_at: int, offset: int, size_bytes: int) -> bytes:
    if wide:
        return struct.pack(mark + "IIQQQQIIQQ", name_at, 1, 0, 0, offset, size_bytes, 0, 0, 1, 0)
    return struct.pack(mark + "IIIIIIIIII", name_at, 1, 0, 0, offset, size_bytes, 0, 0, 1, 0)
