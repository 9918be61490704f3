"""Read the loader's cache, and list it as ``ldconfig -p`` does.

Source: glibc 2.36, ``print_cache`` and ``print_entry`` in elf/cache.c, ``cache_extension_load`` in
sysdeps/generic/dl-cache.h, flags in sysdeps/generic/ldconfig.h.
"""

from __future__ import annotations

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
    CacheFormat,
    LdCache,
    LdCacheEntry,
    LdCacheLayout,
)
from purekernel.input import Input
from purekernel.records import frozen

# PATH_MAX of Linux: no name or path of a library is longer. Without a limit, a small file with many
# entries that share one long string would take a large amount of memory.
MAX_STRING_BYTES = 4096

TYPE_MASK, REQUIRED_MASK = 0x00FF, 0xFF00

_TYPES = {0: b"libc4", 1: b"ELF", 2: b"libc5", 3: b"libc6"}

# The ABI, in the flags beside the type. Some processors share a value.
_REQUIRED = {
    0x0000: b"",
    0x0100: b",64bit",  # SPARC
    0x0200: b",IA-64",
    0x0300: b",x86-64",
    0x0400: b",64bit",  # S390
    0x0500: b",64bit",  # PowerPC
    0x0600: b",N32",
    0x0700: b",64bit",  # MIPS
    0x0800: b",x32",
    0x0900: b",hard-float",
    0x0A00: b",AArch64",
    0x0B00: b",soft-float",
    0x0C00: b",nan2008",
    0x0D00: b",N32,nan2008",
    0x0E00: b",64bit,nan2008",
    0x0F00: b",soft-float",
    0x1000: b",double-float",
}


def parse_ld_cache(file: Input) -> LdCache:
    """Return the content of a cache of any format and byte order.

    Of a compatible cache, the new part is read. Before glibc 2.33, a new part does not declare its
    byte order: the one in which the number of entries fits the file is used.

    Raises:
        FormatError: the file is not a cache, or is damaged.
    """
    return _CacheReader(file).read()


@frozen(kw_only=True)
class _Extensions:
    generator: bytes = b""
    hwcaps: tuple[bytes, ...] = ()


class _CacheReader:
    """A cache, and the strings that have been read from it."""

    def __init__(self, file: Input) -> None:
        self._file = file
        self._view = file.view
        self._strings: dict[int, bytes] = {}
        # The strings' offsets count from this position; they end at that.
        self._strings_base = self._strings_end = 0

    def read(self) -> LdCache:
        if self._has(MAGIC_NEW, 0):
            return self._read_new(0, CacheFormat.NEW)
        if not self._has(MAGIC_OLD, 0):
            got = repr(bytes(self._view[: len(MAGIC_NEW)]))
            raise self._file.fail(0, "a loader's cache", got)
        order, count = self._old_count()
        layout = LAYOUTS[order]
        strings = layout.old_header.size + count * layout.old_entry.size
        new = strings + -strings % NEW_ALIGNMENT
        if self._has(MAGIC_NEW, new):
            return self._read_new(new, CacheFormat.COMPAT)
        self._strings_base, self._strings_end = strings, len(self._view)
        entries = layout.old_entry.iter_unpack(self._view[layout.old_header.size : strings])
        return LdCache(
            format=CacheFormat.OLD,
            byte_order=order,
            entries=tuple(
                LdCacheEntry(name=self._string(name), path=self._string(path), flags=flags)
                for flags, name, path in entries
            ),
            generator=b"",
        )

    def _has(self, magic: bytes, offset: int) -> bool:
        return bytes(self._view[offset : offset + len(magic)]) == magic

    def _string(self, offset: int) -> bytes:
        if offset not in self._strings:
            start = self._strings_base + offset
            piece = bytes(self._view[start : min(start + MAX_STRING_BYTES, self._strings_end)])
            text, nul, _rest = piece.partition(b"\0")
            if not nul:
                at_end = start + len(piece) >= self._strings_end
                raise self._file.fail(
                    start,
                    f"a string of less than {MAX_STRING_BYTES} bytes",
                    "the end of the strings" if at_end else "more",
                )
            self._strings[offset] = text
        return self._strings[offset]

    def _old_count(self) -> tuple[ByteOrder, int]:
        """Return the byte order in which the number of old entries fits, and the number."""
        orders: tuple[ByteOrder, ...] = ("little", "big")
        for order in orders:
            header = LAYOUTS[order].old_header
            if len(self._view) >= header.size:
                _magic, count = header.unpack_from(self._view)
                if header.size + count * LAYOUTS[order].old_entry.size <= len(self._view):
                    return order, count
        raise self._file.fail(
            len(MAGIC_OLD), "as many entries as the header declares", "the end of the file"
        )

    def _read_new(self, start: int, cache_format: CacheFormat) -> LdCache:
        order, count, strings_bytes, extensions_offset = self._new_header(start)
        layout = LAYOUTS[order]
        first = start + layout.new_header.size
        end = first + count * layout.new_entry.size
        self._strings_base, self._strings_end = start, end + strings_bytes
        extensions = self._read_extensions(layout, extensions_offset)
        entries = layout.new_entry.iter_unpack(self._view[first:end])
        return LdCache(
            format=cache_format,
            byte_order=order,
            entries=tuple(self._read_entry(fields, extensions) for fields in entries),
            generator=extensions.generator,
        )

    def _new_header(self, start: int) -> tuple[ByteOrder, int, int, int]:
        """Return byte order, number of entries, size of the strings, and offset of extensions."""
        orders: tuple[ByteOrder, ...] = ("little", "big")
        marks = {"little": ORDER_LITTLE, "big": ORDER_BIG}
        for order in orders:
            layout = LAYOUTS[order]
            if start + layout.new_header.size > len(self._view):
                break
            _magic, count, strings_bytes, flags, extensions_offset = layout.new_header.unpack_from(
                self._view, start
            )
            mark = flags & ORDER_MASK
            if mark == ORDER_INVALID:
                raise self._file.fail(start + 28, "a byte order", "one marked as invalid")
            end = start + layout.new_header.size + count * layout.new_entry.size + strings_bytes
            if mark in (0, marks[order]) and end <= len(self._view):
                return order, count, strings_bytes, extensions_offset
        raise self._file.fail(
            start, "as many entries and strings as the header declares", "the end of the file"
        )

    def _read_extensions(self, layout: LdCacheLayout, offset: int) -> _Extensions:
        if not offset:
            return _Extensions()
        file, view = self._file, self._view
        end = offset + layout.extension_header.size
        if offset % EXTENSION_ALIGNMENT or end > len(view):
            raise file.fail(offset, "an offset of extensions that is a multiple of 4", str(offset))
        magic, count = layout.extension_header.unpack_from(view, offset)
        if magic != EXTENSION_MAGIC:
            raise file.fail(
                offset, f"extensions that begin with {EXTENSION_MAGIC:#x}", f"{magic:#x}"
            )
        if end + count * layout.section.size > len(view):
            raise file.fail(offset, f"{count} sections of extensions", "the end of the file")
        generator = b""
        hwcaps: tuple[bytes, ...] = ()
        for index in range(count):
            tag, _flags, start, size = layout.section.unpack_from(
                view, end + index * layout.section.size
            )
            if start + size > len(view):
                raise file.fail(start, f"an extension of {size} bytes", "the end of the file")
            if tag == TAG_GENERATOR:
                generator = bytes(view[start : start + size])
            elif tag == TAG_HWCAPS and size % layout.index.size == 0:
                # In a compatible cache, glibc writes offsets that count from the new part.
                names = layout.index.iter_unpack(view[start : start + size])
                hwcaps = tuple(self._string(name) for (name,) in names)
        return _Extensions(generator=generator, hwcaps=hwcaps)

    def _read_entry(
        self, fields: tuple[int, int, int, int, int], extensions: _Extensions
    ) -> LdCacheEntry:
        flags, name_offset, path_offset, os_version, hwcap = fields
        name, path = self._string(name_offset), self._string(path_offset)
        if hwcap >> ISA_LEVEL_SHIFT & ~MAX_ISA_LEVEL != HWCAP_EXTENSION >> ISA_LEVEL_SHIFT:
            return LdCacheEntry(
                name=name, path=path, flags=flags, hwcap=hwcap, os_version=os_version
            )
        index = hwcap & 0xFFFFFFFF
        if index >= len(extensions.hwcaps):
            raise self._file.fail(
                None, f"one of {len(extensions.hwcaps)} names of glibc-hwcaps", f"number {index}"
            )
        return LdCacheEntry(
            name=name,
            path=path,
            flags=flags,
            hwcaps=extensions.hwcaps[index],
            isa_level=hwcap >> ISA_LEVEL_SHIFT & MAX_ISA_LEVEL,
            os_version=os_version,
        )


def list_ld_cache(cache: LdCache, *, name: bytes) -> list[bytes]:
    """Return the lines that ``ldconfig -p`` prints about a cache, without their ends.

    Args:
        cache: the content of the cache.
        name: the path of its file.
    """
    lines = [b"%d libs found in cache `%s'" % (len(cache.entries), name)]
    lines += [_list_entry(entry) for entry in cache.entries]
    if cache.generator:
        lines.append(b"Cache generated by: " + cache.generator)
    return lines


def _list_entry(entry: LdCacheEntry) -> bytes:
    kind = _TYPES.get(entry.flags & TYPE_MASK, b"unknown")
    required = entry.flags & REQUIRED_MASK
    kind += _REQUIRED.get(required, b",%d" % required)
    if entry.hwcaps is not None:
        kind += b', hwcap: "' + entry.hwcaps + b'"'
    elif entry.hwcap:
        kind += b", hwcap: 0x%016x" % entry.hwcap
    return b"\t" + entry.name + b" (" + kind + b") => " + entry.path
