"""Inflate by zlib, which is the judge."""

from __future__ import annotations

import zlib


def inflate(data: bytes) -> bytes:
    """Inflate one stream, with nothing behind it."""
    stream = zlib.decompressobj(wbits=-15)
    plain = stream.decompress(data)
    assert stream.eof
    assert not stream.unused_data
    return plain
