"""Read the loader's cache.

Source: glibc 2.36, ``print_cache`` in elf/cache.c and ``cache_extension_load`` in
sysdeps/generic/dl-cache.h.
"""

from __future__ import annotations

from attrs import frozen

from purekernel.errors import FormatError
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
    ORDER_INVALID,
    ORDER_LITTLE,
    ORDER_MASK,
    TAG_GENERATOR,
    TAG_HWCAPS,
    CacheEntry,
    CacheFormat,
    Layout,
    LdCache,
)
from purekernel.tree import Buffer

# PATH_MAX of Linux: no name or path of a library is longer. Without a bound, a small file of
# many entries that share one long string would unpack to a huge one.
MAX_STRING_BYTES = 4096


def parse_ld_cache(data: Buffer, *, source: str) -> LdCache:
    """Return what a cache of any format and byte order holds.

    Of a compatible cache the new part counts. A new part before glibc 2.33 does not say its
    byte order: the one in which the number of entries fits is taken.

    Raises:
        FormatError: it is no cache, or is damaged.
    """
    view = memoryview(data)
    if bytes(view[: len(MAGIC_NEW)]) == MAGIC_NEW:
        return _parse_new(view, 0, CacheFormat.NEW, source)
    if bytes(view[: len(MAGIC_OLD)]) != MAGIC_OLD:
        raise FormatError(
            source=source,
            offset=0,
            expected="a loader's cache",
            got=repr(bytes(view[: len(MAGIC_NEW)])),
        )
    order, count = _old_count(view, source)
    layout = LAYOUTS[order]
    strings = layout.old_header.size + count * layout.old_entry.size
    new = strings + -strings % NEW_ALIGNMENT
    if bytes(view[new : new + len(MAGIC_NEW)]) == MAGIC_NEW:
        return _parse_new(view, new, CacheFormat.COMPAT, source)
    table = _Strings(view, strings, len(view), source)
    entries = layout.old_entry.iter_unpack(view[layout.old_header.size : strings])
    return LdCache(
        format=CacheFormat.OLD,
        byte_order=order,
        entries=tuple(
            CacheEntry(name=table.at(key), path=table.at(value), flags=flags)
            for flags, key, value in entries
        ),
        generator=b"",
    )


class _Strings:
    """Strings found by their distance from ``base``, each cut out once."""

    def __init__(self, view: memoryview, base: int, end: int, source: str) -> None:
        self._view = view
        self._base = base
        self._end = end
        self._source = source
        self._known: dict[int, bytes] = {}

    def at(self, index: int) -> bytes:
        if index not in self._known:
            start = self._base + index
            piece = bytes(self._view[start : min(start + MAX_STRING_BYTES, self._end)])
            text, nul, _rest = piece.partition(b"\0")
            if not nul:
                raise FormatError(
                    source=self._source,
                    offset=start,
                    expected=f"a string of less than {MAX_STRING_BYTES} bytes",
                    got="the end of the strings" if start + len(piece) >= self._end else "more",
                )
            self._known[index] = text
        return self._known[index]


def _old_count(view: memoryview, source: str) -> tuple[ByteOrder, int]:
    """Return the byte order in which the number of old entries fits the file, and that number."""
    orders: tuple[ByteOrder, ...] = ("little", "big")
    for order in orders:
        header = LAYOUTS[order].old_header
        if len(view) >= header.size:
            _magic, count = header.unpack_from(view)
            if header.size + count * LAYOUTS[order].old_entry.size <= len(view):
                return order, count
    raise FormatError(
        source=source,
        offset=len(MAGIC_OLD),
        expected="as many entries as the header says",
        got="the end of the file",
    )


def _parse_new(view: memoryview, start: int, kind: CacheFormat, source: str) -> LdCache:
    order, count, strings_bytes, extensions_at = _new_header(view, start, source)
    layout = LAYOUTS[order]
    first = start + layout.new_header.size
    strings = first + count * layout.new_entry.size
    table = _Strings(view, start, strings + strings_bytes, source)
    extensions = _read_extensions(view, layout, table, extensions_at, source=source)
    entries = layout.new_entry.iter_unpack(view[first:strings])
    return LdCache(
        format=kind,
        byte_order=order,
        entries=tuple(_entry(fields, table, extensions, source) for fields in entries),
        generator=extensions.generator,
    )


def _new_header(view: memoryview, start: int, source: str) -> tuple[ByteOrder, int, int, int]:
    """Return byte order, number of entries, bytes of strings, and where the extensions are."""
    orders: tuple[ByteOrder, ...] = ("little", "big")
    marks = {"little": ORDER_LITTLE, "big": ORDER_BIG}
    for order in orders:
        layout = LAYOUTS[order]
        if start + layout.new_header.size > len(view):
            break
        _magic, count, strings_bytes, flags, extensions_at = layout.new_header.unpack_from(
            view, start
        )
        mark = flags & ORDER_MASK
        if mark == ORDER_INVALID:
            raise FormatError(
                source=source,
                offset=start + 28,
                expected="a cache that says its byte order",
                got="one marked as invalid",
            )
        end = start + layout.new_header.size + count * layout.new_entry.size + strings_bytes
        if mark in (0, marks[order]) and end <= len(view):
            return order, count, strings_bytes, extensions_at
    raise FormatError(
        source=source,
        offset=start,
        expected="as many entries and strings as the header says",
        got="the end of the file",
    )


@frozen(kw_only=True)
class _Extensions:
    generator: bytes = b""
    hwcaps: tuple[bytes, ...] = ()


def _read_extensions(
    view: memoryview, layout: Layout, table: _Strings, at: int, *, source: str
) -> _Extensions:
    if not at:
        return _Extensions()
    end = at + layout.extension_header.size
    if at % EXTENSION_ALIGNMENT or end > len(view):
        raise _bad_extensions(source, at, "a place in the file, a multiple of 4", str(at))
    magic, count = layout.extension_header.unpack_from(view, at)
    if magic != EXTENSION_MAGIC:
        raise _bad_extensions(source, at, f"{EXTENSION_MAGIC:#x}", f"{magic:#x}")
    if end + count * layout.section.size > len(view):
        raise _bad_extensions(source, at, f"{count} sections", "the end of the file")
    generator = b""
    hwcaps: tuple[bytes, ...] = ()
    for index in range(count):
        tag, _flags, offset, size = layout.section.unpack_from(
            view, end + index * layout.section.size
        )
        if offset + size > len(view):
            raise _bad_extensions(source, offset, f"{size} bytes", "the end of the file")
        if tag == TAG_GENERATOR:
            generator = bytes(view[offset : offset + size])
        elif tag == TAG_HWCAPS and size % layout.index.size == 0:
            # In a compatible cache glibc counts from the new part in writing.
            hwcaps = tuple(
                table.at(place)
                for (place,) in layout.index.iter_unpack(view[offset : offset + size])
            )
    return _Extensions(generator=generator, hwcaps=hwcaps)


def _bad_extensions(source: str, offset: int, expected: str, got: str) -> FormatError:
    return FormatError(
        source=source, offset=offset, expected=f"in the extensions {expected}", got=got
    )


def _entry(
    fields: tuple[int, int, int, int, int],
    table: _Strings,
    extensions: _Extensions,
    source: str,
) -> CacheEntry:
    flags, key, value, os_version, hwcap = fields
    name, path = table.at(key), table.at(value)
    level = hwcap >> ISA_LEVEL_SHIFT & MAX_ISA_LEVEL
    if hwcap >> ISA_LEVEL_SHIFT & ~MAX_ISA_LEVEL != HWCAP_EXTENSION >> ISA_LEVEL_SHIFT:
        return CacheEntry(name=name, path=path, flags=flags, hwcap=hwcap, os_version=os_version)
    index = hwcap & 0xFFFFFFFF
    if index >= len(extensions.hwcaps):
        raise FormatError(
            source=source,
            expected=f"one of {len(extensions.hwcaps)} names of glibc-hwcaps",
            got=f"number {index}",
        )
    return CacheEntry(
        name=name,
        path=path,
        flags=flags,
        hwcaps=extensions.hwcaps[index],
        isa_level=level,
        os_version=os_version,
    )
