"""Compress bytes into the one gzip member that the kernel takes."""

from __future__ import annotations

import zlib

from purekernel.deflate.encoders import Encoder
from purekernel.formats.gzip import build_gzip
from purekernel.tree import Buffer


def compress(data: Buffer, *, encoder: Encoder, name: bytes = b"", mtime: int = 0) -> bytes:
    """Return ``data`` as one gzip member, encoded by ``encoder``, with that in its header."""
    return build_gzip(
        encoder.encode(data),
        crc32=zlib.crc32(data),
        size_bytes=len(data),
        name=name,
        mtime=mtime,
    )
