"""Write the loader's cache, byte for byte as glibc's ldconfig does.

Source: glibc 2.36, elf/cache.c; for caches without extensions, glibc 2.31, elf/cache.c.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from purekernel.errors import UnrepresentableError
from purekernel.formats.elf.layout import ByteOrder
from purekernel.formats.ld_cache.layout import (
    EXTENSION_ALIGNMENT,
    EXTENSION_MAGIC,
    HWCAP_EXTENSION,
    ISA_LEVEL_SHIFT,
    LAYOUTS,
    MAGIC_NEW,
    MAGIC_OLD,
    MAX_ISA_LEVEL,
    NEW_ALIGNMENT,
    ORDER_BIG,
    ORDER_LITTLE,
    ORDER_UNSET,
    TAG_GENERATOR,
    TAG_HWCAPS,
    CacheFormat,
    LdCacheEntry,
    LdCacheLayout,
    StringTable,
    build_merged_table,
    build_plain_table,
    library_name_key,
)
from purekernel.tree import display


def sort_entries(
    entries: Iterable[LdCacheEntry], *, signed_bytes: bool = True
) -> list[LdCacheEntry]:
    """Return ``entries`` in the order of the loader's search.

    Names come in descending order, then flags. Of one library, those of glibc-hwcaps come first,
    sorted by folder, then those with the most hardware bits and the newest system. Equal entries
    keep their order, so that the folder that was named first wins.
    """

    def key(entry: LdCacheEntry) -> tuple[object, ...]:
        return (
            [-part for part in library_name_key(entry.name, signed_bytes=signed_bytes)],
            -entry.flags,
            entry.hwcaps is None,
            entry.hwcaps or b"",
            -entry.hwcap.bit_count(),
            -entry.hwcap,
            -entry.os_version,
        )

    return sorted(entries, key=key)


def build_ld_cache(
    entries: Iterable[LdCacheEntry],
    *,
    format: CacheFormat,  # noqa: A002  # ldconfig's own word
    generator: bytes,
    byte_order: ByteOrder = "little",
    signed_bytes: bool = True,
    hwcaps: Collection[bytes] = (),
    extended: bool = True,
    marked: bool = True,
) -> bytes:
    """Return a cache of ``entries``.

    Args:
        entries: in the order of the search for libraries; this function sorts them.
        format: the format to write. The old format, and the old part of the compatible one, omit
            entries with ``hwcap``.
        generator: the name of the program that wrote the cache.
        byte_order: the byte order of the machine that reads the cache.
        signed_bytes: whether ``char`` is signed on that machine; it decides the order of names
            outside of ASCII.
        hwcaps: the names of all ``glibc-hwcaps`` folders, used or not: glibc keeps all of them in
            the strings.
        extended: whether to merge strings and to write extensions, as in glibc 2.33 and later. The
            generator and ``glibc-hwcaps`` need extensions.
        marked: whether the new part declares its byte order, as in glibc 2.33 and later.

    Raises:
        UnrepresentableError: an entry has a NUL or a number that does not fit.
    """
    ordered = sort_entries(entries, signed_bytes=signed_bytes)
    _check(ordered, extended=extended)
    used = sorted({entry.hwcaps for entry in ordered if entry.hwcaps is not None})
    pairs = [(entry.name, entry.path) for entry in ordered]
    table = build_merged_table(pairs, {*hwcaps, *used}) if extended else build_plain_table(pairs)
    layout = LAYOUTS[byte_order]
    if format is CacheFormat.OLD:
        return _old_part(layout, ordered, table, shift=0, even=False) + table.content
    new_bytes = layout.new_header.size + len(ordered) * layout.new_entry.size
    before = b""
    if format is CacheFormat.COMPAT:
        # Old loaders take the new part as the start of their strings.
        before = _old_part(layout, ordered, table, shift=new_bytes, even=True)
        before += bytes(-len(before) % NEW_ALIGNMENT)
    end = len(before) + new_bytes + len(table.content)
    extensions_at = end + -end % EXTENSION_ALIGNMENT
    mark = ORDER_LITTLE if byte_order == "little" else ORDER_BIG
    header = layout.new_header.pack(
        MAGIC_NEW,
        len(ordered),
        len(table.content),
        mark if marked else ORDER_UNSET,
        extensions_at if extended else 0,
    )
    parts = [before, header, *_new_entries(layout, ordered, table, shift=new_bytes, used=used)]
    parts.append(table.content)
    if extended:
        parts.append(bytes(extensions_at - end))
        indexes = [new_bytes + table.others[name] for name in used]
        parts.append(_extensions(layout, generator, indexes, at=extensions_at))
    return b"".join(parts)


def _check(entries: Sequence[LdCacheEntry], *, extended: bool) -> None:
    for entry in entries:
        if b"\0" in entry.name + entry.path + (entry.hwcaps or b""):
            raise UnrepresentableError(f"the library {display(entry.path)} has a NUL in its name")
        fits = (
            0 <= entry.flags < 1 << 31
            and 0 <= entry.hwcap < 1 << 64
            and 0 <= entry.isa_level <= MAX_ISA_LEVEL
            and 0 <= entry.os_version < 1 << 32
        )
        if not fits or (entry.hwcaps is not None and (entry.hwcap or not extended)):
            raise UnrepresentableError(
                f"the library {display(entry.path)} does not fit in a cache entry"
            )


def _old_part(
    layout: LdCacheLayout,
    entries: Sequence[LdCacheEntry],
    table: StringTable,
    *,
    shift: int,
    even: bool,
) -> bytes:
    """Return the header and entries of the old format.

    Two bugs of glibc are not reproduced; the result is that of all other releases. glibc 2.33 to
    2.36 overwrite some entries with others, or with uninitialised memory, if a hardware folder has
    libraries. Earlier releases, on 64-bit machines and in the old format alone, write offsets of
    strings that are 4 bytes too large if the number of entries is odd.

    Args:
        layout: the structures of the byte order.
        entries: all entries, sorted.
        table: the strings.
        shift: the distance in bytes from the end of these entries to the table.
        even: whether to repeat the last entry to get an even number, so that the next part is
            aligned to 8 bytes on all machines.
    """
    packed = [
        layout.old_entry.pack(entry.flags, shift + name, shift + path)
        for entry, (name, path) in zip(entries, table.pairs, strict=True)
        if not entry.hwcap
    ]
    if even and len(packed) % 2:
        packed.append(packed[-1])
    return layout.old_header.pack(MAGIC_OLD, len(packed)) + b"".join(packed)


def _new_entries(
    layout: LdCacheLayout,
    entries: Sequence[LdCacheEntry],
    table: StringTable,
    *,
    shift: int,
    used: Sequence[bytes],
) -> list[bytes]:
    indexes = {name: index for index, name in enumerate(used)}
    return [
        layout.new_entry.pack(
            entry.flags,
            shift + name,
            shift + path,
            entry.os_version,
            entry.hwcap
            if entry.hwcaps is None
            else HWCAP_EXTENSION | entry.isa_level << ISA_LEVEL_SHIFT | indexes[entry.hwcaps],
        )
        for entry, (name, path) in zip(entries, table.pairs, strict=True)
    ]


def _extensions(layout: LdCacheLayout, generator: bytes, hwcaps: list[int], *, at: int) -> bytes:
    """Return the extension directory and its sections; ``hwcaps`` are offsets of strings."""
    names = b"".join(map(layout.index.pack, hwcaps))
    count = 2 if hwcaps else 1
    content = at + layout.extension_header.size + count * layout.section.size
    sections = [layout.section.pack(TAG_GENERATOR, 0, content + len(names), len(generator))]
    if hwcaps:
        sections.append(layout.section.pack(TAG_HWCAPS, 0, content, len(names)))
    header = layout.extension_header.pack(EXTENSION_MAGIC, count)
    return b"".join((header, *sections, names, generator))
