"""Make small qcow2 images, field by field, that the writer never gives."""

from __future__ import annotations

import struct
import zlib

CLUSTER_BYTES = 512
L1, L2, DATA = CLUSTER_BYTES, 2 * CLUSTER_BYTES, 3 * CLUSTER_BYTES
COPIED, COMPRESSED, ZERO = 1 << 63, 1 << 62, 1


def make_qcow2(
    entries: dict[int, int],
    data: bytes = b"",
    *,
    size: int = 4 * CLUSTER_BYTES,
    version: int = 3,
    features: int = 0,
    compression: int | None = None,
) -> bytearray:
    """Return an image with clusters of 512 bytes: header, L1 table, one L2 table, data.

    Args:
        entries: entries of the L2 table, by cluster of the disk.
        data: what follows the tables, from byte ``DATA`` on.
        size: size of the disk in bytes.
        version: 2 or 3.
        features: the incompatible features.
        compression: the compression type, in a header that is long enough for it.
    """
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", version, 0, 0, 9, size, 0, 1, L1, 0, 0, 0, 0
    )
    if version == 3:
        header_bytes = 104 if compression is None else 112
        header += struct.pack(">QQQII", features, 0, 0, 4, header_bytes)
        if compression is not None:
            header += bytes([compression]) + bytes(7)
    table = [entries.get(number, 0) for number in range(CLUSTER_BYTES // 8)]
    image = bytearray(header.ljust(L1, b"\0"))
    image += struct.pack(">Q", L2 | COPIED).ljust(CLUSTER_BYTES, b"\0")
    image += struct.pack(f">{len(table)}Q", *table)
    return image + data


def deflated(content: bytes) -> bytes:
    """Return ``content`` as a raw deflate stream, as QEMU compresses a cluster."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return packer.compress(content) + packer.flush()


def compressed_entry(offset: int, size: int) -> int:
    """Return the entry of a compressed cluster at ``offset`` in the file."""
    sectors = (offset % 512 + size - 1) // 512
    return COMPRESSED | sectors << (62 - (9 - 8)) | offset
