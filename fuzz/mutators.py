"""Change inputs and repair what the change broke: checksums, sizes, compression, copies of numbers.

Without this, nearly every changed input fails at its first checksum, and the rest is not reached.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Callable
from random import Random

from fuzz.target import Mutate, Mutator
from purekernel.errors import PurekernelError
from purekernel.formats.compression import unpack
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.lz4 import build_frame, build_lz4
from purekernel.formats.zstd import compress as build_zstd
from purekernel.input import Input, Limits

_TAR_BLOCK, _TAR_CHECKSUM = 512, slice(148, 156)
_LIMITS = Limits(unpacked_bytes=1 << 20)
_MOST_BLOCKS = 64


def build_gzip(data: bytes) -> bytes:
    """Return ``data`` as a gzip member that is the same on every host."""
    packer = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
    body = packer.compress(data) + packer.flush()
    return (
        b"\x1f\x8b\x08"
        + bytes(6)
        + b"\xff"
        + body
        + struct.pack("<II", zlib.crc32(data), len(data))
    )


PACKERS: dict[FileKind, Callable[[bytes], bytes]] = {
    FileKind.GZIP: build_gzip,
    FileKind.BZIP2: bz2.compress,
    FileKind.XZ: lzma.compress,
    FileKind.LZMA: lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    FileKind.ZSTD: build_zstd,
    FileKind.LZ4: build_lz4,
    FileKind.LZ4_FRAME: build_frame,
}


def plainly(data: bytes, mutate: Mutate, random: Random) -> bytes:  # noqa: ARG001
    """Change the bytes, and repair nothing."""
    return mutate(data)


def packed(inner: Mutator = plainly) -> Mutator:
    """Return a mutator of compressed data: it changes what is inside, or rarely the outside."""

    def change(data: bytes, mutate: Mutate, random: Random) -> bytes:
        pack = PACKERS.get(detect(data))
        if pack is None or random.random() < 0.1:
            return inner(data, mutate, random) if pack is None else mutate(data)
        if pack is build_gzip and random.random() < 0.1:
            return fix_gzip(mutate(data))
        try:
            content = bytes(unpack(Input(data, name="a seed", limits=_LIMITS)))
        except PurekernelError:
            return mutate(data)
        return pack(inner(content, mutate, random))

    return change


def fix_gzip(data: bytes) -> bytes:
    """Return a gzip member with the CRC and size of whatever its stream inflates to."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    raw = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflater.decompress(data[:10])
        content = raw.decompress(data[10:], _LIMITS.unpacked_bytes)
    except zlib.error:
        return data
    if data[3:4] != b"\0" or not raw.eof:
        return data
    end = len(data) - len(raw.unused_data)
    trailer = struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    return data[:end] + trailer + data[end + 8 :]


def tar(data: bytes, mutate: Mutate, random: Random) -> bytes:
    """Change an archive, and repair the checksums of its headers."""
    if detect(data) is not FileKind.TAR or random.random() < 0.05:
        return mutate(data)
    blocks = range(0, len(data) - _TAR_BLOCK, _TAR_BLOCK)
    if random.random() < 0.5:
        return fix_tar(_change_in_place(data, mutate, random))
    pax = [at for at in blocks if data[at + 156] in b"xg" and data.startswith(b"ustar", at + 257)]
    if pax and random.random() < 0.4:
        return fix_tar(_change_pax(data, random.choice(pax), mutate, random))
    return fix_tar(mutate(data))


def _change_in_place(data: bytes, mutate: Mutate, random: Random) -> bytes:
    """Change some bytes of a block that is in use; the blocks after it stay where they are."""
    used = [at for at in range(0, len(data), _TAR_BLOCK) if any(data[at : at + _TAR_BLOCK])]
    if not used:
        return mutate(data)
    archive = bytearray(data)
    start = random.choice(used)
    size = len(data[start : start + _TAR_BLOCK].rstrip(b"\0"))
    for _change in range(random.randrange(1, 4)):
        at = start + random.randrange(size)
        width = random.choice((1, 1, 2, 4))
        changed = mutate(bytes(archive[at : at + width]))
        archive[at : at + width] = changed[:width].ljust(width, b"\0")
    return bytes(archive[: len(data)])


def _change_pax(data: bytes, start: int, mutate: Mutate, random: Random) -> bytes:
    """Change a record of the PAX header at ``start``, and repair the lengths."""
    try:
        size = int(data[start + 124 : start + 135], 8)
    except ValueError:
        return data
    first = start + _TAR_BLOCK
    records = [line.partition(b" ")[2] for line in data[first : first + size].split(b"\n")[:-1]]
    if not records:
        return data
    index = random.randrange(len(records))
    keyword, equals, value = records[index].partition(b"=")
    records[index] = keyword + equals + mutate(value)
    content = b"".join(map(_pax_record, records))
    header = data[start : start + 124] + b"%011o\0" % len(content) + data[start + 136 : first]
    after = first + -(-size // _TAR_BLOCK) * _TAR_BLOCK
    return _with_member(data[:start], header, content) + data[after:]


def _with_member(before: bytes, header: bytes, content: bytes) -> bytes:
    return before + header + content.ljust(-(-len(content) // _TAR_BLOCK) * _TAR_BLOCK, b"\0")


def _pax_record(record: bytes) -> bytes:
    length = len(record) + 3
    while len(b"%d" % length) + len(record) + 2 != length:
        length += 1
    return b"%d %s\n" % (length, record)


def fix_tar(data: bytes) -> bytes:
    """Return an archive whose headers have the right checksums, wherever they can be found."""
    archive = bytearray(data)
    start = 0
    for _header in range(_MOST_BLOCKS):
        block = archive[start : start + _TAR_BLOCK]
        if len(block) < _TAR_BLOCK or not any(block):
            break
        block[_TAR_CHECKSUM] = b" " * 8
        archive[start + 148 : start + 156] = b"%06o\0 " % (sum(block) & 0o777777)
        try:
            size = int(bytes(block[124:136]).strip(b" \0") or b"0", 8)
        except ValueError:
            size = 0
        start += _TAR_BLOCK * (1 + -(-size // _TAR_BLOCK))
    return bytes(archive)


_CPIO = re.compile(rb"07070[12](?=[0-9A-Fa-f]{104})")
_DIGITS = b"0123456789abcdefABCDEF"


def cpio(data: bytes, mutate: Mutate, random: Random) -> bytes:
    """Change an archive; often one hexadecimal digit of a header, which stays a digit."""
    header = _CPIO.search(data, random.randrange(len(data) + 1))
    if header is None or random.random() < 0.6:
        return mutate(data)
    archive = bytearray(data)
    at = header.end() + random.randrange(104)
    digit = mutate(bytes(archive[at : at + 1]))[:1]
    archive[at : at + 1] = digit if digit in _DIGITS else _DIGITS[digit[0] % 16 :][:1]
    return bytes(archive)


# ar archives, which Debian packages are


def _split_ar(data: bytes) -> list[tuple[bytes, bytes]]:
    members = []
    start = 8
    while len(header := data[start : start + 60]) == 60:
        try:
            size = int(header[48:58])
        except ValueError:
            break
        members.append((header, data[start + 60 : start + 60 + size]))
        start += 60 + size + size % 2
    return members


def _join_ar(members: list[tuple[bytes, bytes]]) -> bytes:
    pieces = [b"!<arch>\n"]
    for header, content in members:
        pieces += (header[:48] + b"%-10d" % len(content) + header[58:], content)
        pieces.append(b"\n" * (len(content) % 2))
    return b"".join(pieces)


def deb(data: bytes, mutate: Mutate, random: Random) -> bytes:
    """Change a package: mostly a file in one of its tar members, packed again."""
    members = _split_ar(data)
    if not members or random.random() < 0.1:
        return mutate(data)
    index = random.randrange(len(members))
    header, content = members[index]
    members[index] = (header, packed(tar)(content, mutate, random) if index else mutate(content))
    if index and random.random() < 0.05:
        members[index] = (mutate(header)[:60].ljust(60), content)
    return _join_ar(members)


# gems, which are tar archives of compressed members with checksums of their own


def gem(data: bytes, mutate: Mutate, random: Random) -> bytes:
    """Change a gem: mostly a compressed member."""
    if random.random() < 0.1:
        return tar(data, mutate, random)
    members: list[tuple[bytes, bytes]] = []
    start = 0
    while len(header := data[start : start + _TAR_BLOCK]) == _TAR_BLOCK and any(header):
        try:
            size = int(header[124:135], 8)
        except ValueError:
            break
        members.append((header, data[start + _TAR_BLOCK : start + _TAR_BLOCK + size]))
        start += _TAR_BLOCK * (1 + -(-size // _TAR_BLOCK))
    if not members:
        return mutate(data)
    index = random.randrange(len(members))
    header, content = members[index]
    inner = tar if header.startswith(b"data") else plainly
    content = packed(inner)(content, mutate, random)
    members[index] = (header[:124] + b"%011o\0" % len(content) + header[136:], content)
    pieces: list[bytes] = []
    for each, body in members:
        if (
            each.startswith(b"checksums")
            and index != members.index((each, body))
            and random.random() < 0.9
        ):
            continue  # they no longer fit; a gem need not have them
        pieces += (each, body.ljust(-(-len(body) // _TAR_BLOCK) * _TAR_BLOCK, b"\0"))
    return fix_tar(b"".join(pieces) + bytes(2 * _TAR_BLOCK))


def zlib_stream(data: bytes, mutate: Mutate, random: Random) -> bytes:
    """Change what is inside a zlib stream, or now and then the stream."""
    if random.random() < 0.1:
        return mutate(data)
    try:
        content = zlib.decompressobj().decompress(data, _LIMITS.unpacked_bytes)
    except zlib.error:
        return mutate(data)
    return zlib.compress(mutate(content))


# ISO images, which have most numbers twice, in both byte orders

_SECTOR = 2048
_VOLUME_PAIRS = ((80, 4), (120, 2), (124, 2), (128, 2), (132, 4))
_RECORD_PAIRS = ((2, 4), (10, 4), (28, 2))
_MOST_RECORDS = 200


def iso(data: bytes, mutate: Mutate, random: Random) -> bytes:
    """Change a sector of an image, mostly one that describes files, and repair doubled numbers."""
    if len(data) <= 17 * _SECTOR or random.random() < 0.05:
        return mutate(data)
    image = bytearray(data)
    sectors = [16, 17, *_folders(image)]
    if random.random() < 0.4:
        starts = range(0, len(data), _SECTOR)
        sectors = [at // _SECTOR for at in starts if any(data[at : at + _SECTOR])] or sectors
    start = _SECTOR * random.choice(sectors)
    size = max(64, len(bytes(image[start : start + _SECTOR]).rstrip(b"\0")))
    if random.random() < 0.3:
        piece = mutate(bytes(image[start : start + size]))[:_SECTOR]
        image[start : start + len(piece)] = piece
    else:
        # In place, so that the records after it stay where they are.
        for _change in range(random.randrange(1, 4)):
            at = start + random.randrange(size)
            width = random.choice((1, 1, 2, 4))
            image[at : at + width] = mutate(bytes(image[at : at + width]))[:width].ljust(
                width, b"\0"
            )
    return fix_iso(bytes(image[: len(data)]))


def fix_iso(data: bytes) -> bytes:
    """Return an image whose big-endian copies of numbers are those in little-endian order."""
    image = bytearray(data)
    for start in _volumes(image):
        _copy_pairs(image, start, _VOLUME_PAIRS)
        _copy_pairs(image, start + 156, _RECORD_PAIRS)
    for sector in _folders(image):
        at = sector * _SECTOR
        end = min(at + _SECTOR, len(image))
        while at + 34 <= end and image[at] >= 34:
            _copy_pairs(image, at, _RECORD_PAIRS)
            at += image[at]
    return bytes(image)


def _volumes(image: bytearray) -> list[int]:
    starts = range(16 * _SECTOR, min(len(image), 24 * _SECTOR) - _SECTOR + 1, _SECTOR)
    return [
        start
        for start in starts
        if image[start + 1 : start + 6] == b"CD001" and image[start] in (1, 2)
    ]


def _folders(image: bytearray) -> list[int]:
    """Return the sectors with the records of folders that the volume descriptors lead to."""
    todo = [struct.unpack_from("<I", image, start + 158)[0] for start in _volumes(image)]
    seen: list[int] = []
    while todo and len(seen) < _MOST_RECORDS:
        sector = todo.pop()
        at = sector * _SECTOR
        if sector in seen or at + _SECTOR > len(image):
            continue
        seen.append(sector)
        end = at + _SECTOR
        while at + 34 <= end and image[at] >= 34:
            if image[at + 25] & 2:
                todo.append(struct.unpack_from("<I", image, at + 2)[0])
            at += image[at]
    return seen


def _copy_pairs(image: bytearray, start: int, pairs: tuple[tuple[int, int], ...]) -> None:
    for offset, size in pairs:
        at = start + offset
        if at + 2 * size <= len(image):
            image[at + size : at + 2 * size] = image[at : at + size][::-1]


# kernels, whose code and data are compressed after a header

_SETUP_BYTES = 0x268


def kernel(data: bytes, mutate: Mutate, random: Random) -> bytes:
    """Change a bzImage: its header, or what is packed in it."""
    header, rest = data[:_SETUP_BYTES], data[_SETUP_BYTES:]
    if len(header) < _SETUP_BYTES or random.random() < 0.1:
        return mutate(data)
    if random.random() < 0.4:
        return mutate(header)[:_SETUP_BYTES].ljust(_SETUP_BYTES, b"\0") + rest
    offset, size = struct.unpack_from("<II", header, 0x248)
    start = ((header[0x1F1] or 4) + 1) * 512 + offset
    payload, after = data[start : start + size], data[start + size :]
    if start < _SETUP_BYTES or not payload:
        return mutate(data)
    if detect(payload) is FileKind.GZIP:
        payload = packed()(payload, mutate, random)
    else:
        # After other compressions there is the size of the content.
        payload = packed()(payload[:-4], mutate, random)
        try:
            unpacked = len(unpack(Input(payload, name="a seed", limits=_LIMITS)))
        except PurekernelError:
            unpacked = 0
        payload += struct.pack("<I", unpacked)
    changed = bytearray(data[:start])
    struct.pack_into("<I", changed, 0x24C, len(payload))
    return bytes(changed) + payload + after


def partitions(data: bytes, mutate: Mutate, random: Random) -> bytes:
    """Change the bytes of a disk in place, and repair the checksums of its GPT."""
    return fix_gpt(_change_in_place(data, mutate, random))


def fix_gpt(data: bytes) -> bytes:
    """Return a disk whose GPT headers have the checksums of themselves and of their entries."""
    disk = bytearray(data)
    for at in (512, len(disk) // 512 * 512 - 512):
        if disk[at : at + 8] != b"EFI PART" or at + 92 > len(disk):
            continue
        start, count, size = struct.unpack_from("<QII", disk, at + 72)
        if count * size <= len(disk):
            struct.pack_into(
                "<I", disk, at + 88, zlib.crc32(disk[start * 512 : start * 512 + count * size])
            )
        struct.pack_into("<I", disk, at + 16, 0)
        struct.pack_into("<I", disk, at + 16, zlib.crc32(disk[at : at + 92]))
    return bytes(disk)
