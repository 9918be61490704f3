"""Inflate with zlib and with libdeflate as independent checkers."""

from __future__ import annotations

import zlib

import deflate


def inflate(data: bytes) -> bytes:
    """Inflate one stream, and require that no data follows it."""
    stream = zlib.decompressobj(wbits=-15)
    plain = stream.decompress(data)
    assert stream.eof
    assert not stream.unused_data
    assert deflate.deflate_decompress(data, len(plain)) == plain
    return plain
