"""Write the loader's cache, byte for byte as glibc's ldconfig does.

Source: glibc 2.36, elf/cache.c; glibc 2.31, the same, for what was before the extensions.
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
    CacheEntry,
    CacheFormat,
    Layout,
    StringTable,
    build_merged_table,
    build_plain_table,
    library_name_key,
)
from purekernel.tree import display


def sort_entries(entries: Iterable[CacheEntry], *, signed_bytes: bool = True) -> list[CacheEntry]:
    """Return ``entries`` in the order in which the loader searches.

    Names descend, then flags; of one library the glibc-hwcaps ones come first, by the names
    of their folders, then those for the most special hardware and the newest system. Equal
    ones stay as they come, so that the folder that was named first wins.
    """

    def key(entry: CacheEntry) -> tuple[object, ...]:
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
    entries: Iterable[CacheEntry],
    *,
    format: CacheFormat,  # noqa: A002  # the word that ldconfig has for it
    generator: bytes,
    byte_order: ByteOrder = "little",
    signed_bytes: bool = True,
    hwcaps: Collection[bytes] = (),
    extended: bool = True,
    marked: bool = True,
) -> bytes:
    """Return the cache that holds ``entries``.

    Args:
        entries: in the order in which they were found; they are sorted here.
        format: which of the three. The old one, and the old part of the compatible one, leave
            out what needs special hardware by ``hwcap``.
        generator: the program that the cache says wrote it.
        byte_order: of the machine that is to read it.
        signed_bytes: whether its ``char`` is signed, which decides on names beyond ASCII.
        hwcaps: the names of all ``glibc-hwcaps`` folders found, in use or not: glibc leaves
            them all among the strings.
        extended: whether as since glibc 2.33: with strings merged, and with extensions, which
            the generator and ``glibc-hwcaps`` need.
        marked: whether the new part says its byte order, as since glibc 2.33.

    Raises:
        UnrepresentableError: an entry has a NUL in it, or numbers that do not fit.
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
        # Old loaders take the new part for the first of their strings.
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


def _check(entries: Sequence[CacheEntry], *, extended: bool) -> None:
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
                f"the library {display(entry.path)} needs what no cache entry can say"
            )


def _old_part(
    layout: Layout,
    entries: Sequence[CacheEntry],
    table: StringTable,
    *,
    shift: int,
    even: bool,
) -> bytes:
    """Return the header and entries of the old format.

    glibc 2.33 to 2.36 overwrite some of these entries with others, and with what memory held,
    where a folder for special hardware has libraries. On machines of 64 bits, those before
    write an odd number of entries in the old format alone with all strings said to be 4 bytes
    behind where they are. We write what was meant, which is what all other releases write.

    Args:
        layout: of the byte order.
        entries: all, sorted.
        table: the strings.
        shift: how far behind these entries the table begins.
        even: whether to repeat the last one for an even number, which brings what follows to
            a multiple of 8 bytes on all machines.
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
    layout: Layout,
    entries: Sequence[CacheEntry],
    table: StringTable,
    *,
    shift: int,
    used: Sequence[bytes],
) -> list[bytes]:
    places = {name: index for index, name in enumerate(used)}
    return [
        layout.new_entry.pack(
            entry.flags,
            shift + name,
            shift + path,
            entry.os_version,
            entry.hwcap
            if entry.hwcaps is None
            else HWCAP_EXTENSION | entry.isa_level << ISA_LEVEL_SHIFT | places[entry.hwcaps],
        )
        for entry, (name, path) in zip(entries, table.pairs, strict=True)
    ]


def _extensions(layout: Layout, generator: bytes, hwcaps: list[int], *, at: int) -> bytes:
    """Return the extension directory and its sections; ``hwcaps`` are indexes of strings."""
    names = b"".join(map(layout.index.pack, hwcaps))
    count = 2 if hwcaps else 1
    content = at + layout.extension_header.size + count * layout.section.size
    sections = [layout.section.pack(TAG_GENERATOR, 0, content + len(names), len(generator))]
    if hwcaps:
        sections.append(layout.section.pack(TAG_HWCAPS, 0, content, len(names)))
    header = layout.extension_header.pack(EXTENSION_MAGIC, count)
    return b"".join((header, *sections, names, generator))
