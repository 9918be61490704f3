"""Unpack files that zisofs compressed, as mkzftree and xorriso write them.

A ZF entry of Rock Ridge marks such a file. Its data is a header, pointers to blocks, and the
blocks, each a zlib stream; a block of no bytes stands for zeros.

Source: "Description of the zisofs Format" and "Description of the zisofs2 Format" of libburnia;
fs/isofs/compress.c of Linux.
"""

from __future__ import annotations

import struct
import zlib

from purekernel.input import Input
from purekernel.records import frozen

ZISOFS, ZISOFS2 = b"pz", b"PZ"

_ENTRY = struct.Struct("<2sBBQ")
_SIZE_V1 = 0xFFFFFFFF

_HEADER_V1 = struct.Struct("<8sIBB2x")
_MAGIC_V1 = b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07"
_HEADER_V2 = struct.Struct("<8sBBBBQ4x")
_MAGIC_V2 = b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0"
# The only algorithm that xorriso writes.
_ZLIB = 1

# mkzftree writes blocks of 32 KiB, xorriso up to 1 MiB.
_LEAST_BLOCK_LOG, _MOST_BLOCK_LOG = 15, 20


@frozen(kw_only=True)
class ZisofsEntry:
    """A ZF entry.

    Attributes:
        version: 1 or 2.
        header_bytes: the size of the header.
        block_log: the binary logarithm of the size of an unpacked block.
        size_bytes: the unpacked size.
    """

    version: int
    header_bytes: int
    block_log: int
    size_bytes: int


def parse_entry(data: bytes) -> ZisofsEntry | None:
    """Return the entry whose bytes after signature, length and version are ``data``."""
    if len(data) < _ENTRY.size:
        return None
    algorithm, header_words, block_log, size_bytes = _ENTRY.unpack_from(data)
    if algorithm not in (ZISOFS, ZISOFS2):
        return None
    return ZisofsEntry(
        version=1 if algorithm == ZISOFS else 2,
        header_bytes=4 * header_words,
        block_log=block_log,
        # Version 1 stores 32 bits in both byte orders.
        size_bytes=size_bytes & _SIZE_V1 if algorithm == ZISOFS else size_bytes,
    )


def unpack_zisofs(file: Input, entry: ZisofsEntry, *, already_bytes: int = 0) -> bytes:
    """Return the unpacked content of a file.

    Args:
        file: the file as it is on the disc.
        entry: its ZF entry.
        already_bytes: a size that already counts towards the limit.

    Raises:
        FormatError: the file is damaged, contradicts its entry, or has an unsupported algorithm or
            block size.
        LimitError: the unpacked size exceeds the limit.
    """
    _check_header(file, entry)
    if not _LEAST_BLOCK_LOG <= entry.block_log <= _MOST_BLOCK_LOG:
        raise file.unsupported(
            0, "zisofs blocks from 32 KiB to 1 MiB", f"blocks of 2^{entry.block_log} bytes"
        )
    file.check_unpacked(already_bytes + entry.size_bytes, 0)
    block_bytes = 1 << entry.block_log
    count = -(-entry.size_bytes // block_bytes)
    pointer = struct.Struct("<I" if entry.version == 1 else "<Q")
    table_end = entry.header_bytes + (count + 1) * pointer.size
    if table_end > len(file):
        expected = f"{count + 1} pointers to zisofs blocks"
        raise file.fail(entry.header_bytes, expected, "the end of the file")
    pieces: list[bytes] = []
    left = entry.size_bytes
    for number in range(count):
        at = entry.header_bytes + number * pointer.size
        (start,) = pointer.unpack_from(file.view, at)
        (end,) = pointer.unpack_from(file.view, at + pointer.size)
        if not table_end <= start <= end <= len(file):
            raise file.fail(
                at, f"a block between byte {table_end} and {len(file)}", f"{start} to {end}"
            )
        piece_bytes = min(left, block_bytes)
        pieces.append(_unpack_block(file, start, end, piece_bytes))
        left -= piece_bytes
    return b"".join(pieces)


def _check_header(file: Input, entry: ZisofsEntry) -> None:
    layout, magic = (_HEADER_V1, _MAGIC_V1) if entry.version == 1 else (_HEADER_V2, _MAGIC_V2)
    if len(file) < layout.size or bytes(file.view[:8]) != magic:
        got = bytes(file.view[:8]).hex(" ") or "no data"
        raise file.fail(0, f"a zisofs header ({magic.hex(' ')}), as Rock Ridge declares", got)
    if entry.version == 1:
        _magic, size_bytes, header_words, block_log = _HEADER_V1.unpack_from(file.view)
    else:
        _magic, version, header_words, algorithm, block_log, size_bytes = _HEADER_V2.unpack_from(
            file.view
        )
        if version or algorithm != _ZLIB:
            raise file.unsupported(
                8, "zisofs2 with zlib", f"version {version} with algorithm {algorithm}"
            )
    stated = (entry.header_bytes, entry.block_log, entry.size_bytes)
    found = (4 * header_words, block_log, size_bytes)
    if found != stated or entry.header_bytes < layout.size:
        raise file.fail(
            8,
            "the header, block and file sizes of Rock Ridge, "
            f"{stated[0]}, 2^{stated[1]} and {stated[2]}",
            f"{found[0]}, 2^{found[1]} and {found[2]}",
        )


def _unpack_block(file: Input, start: int, end: int, size_bytes: int) -> bytes:
    if start == end:
        return bytes(size_bytes)
    inflater = zlib.decompressobj()
    try:
        block = inflater.decompress(file.view[start:end], size_bytes + 1)
    except zlib.error as error:
        raise file.fail(start, "a valid zlib stream", str(error)) from None
    if len(block) != size_bytes or not inflater.eof:
        got = "more" if len(block) > size_bytes else f"{len(block)} and no end"
        raise file.fail(start, f"a complete block of {size_bytes} bytes", got)
    return block
