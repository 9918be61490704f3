from __future__ import annotations

import gzip
import struct
import zlib

import pytest

from purekernel.encode.encoders import RECIPES, Effort
from purekernel.encode.nested import recompress_gzip

TEXT = b"some words and some more words " * 99


def make_gzip(flags: int, fields: bytes) -> bytes:
    header = struct.pack("<2sBBIBB", b"\x1f\x8b", 8, flags, 1_300_000_000, 2, 3) + fields
    body = zlib.compress(TEXT, 1, wbits=-15)
    return header + body + struct.pack("<II", zlib.crc32(TEXT), len(TEXT))


def test_header_is_kept() -> None:
    old = make_gzip(8, b"a name\0")
    new = recompress_gzip(old, RECIPES[Effort.BALANCED])
    assert new is not None
    assert len(new) < len(old)
    assert new[:17] == old[:17]
    assert gzip.decompress(new) == TEXT


@pytest.mark.parametrize(
    "data",
    [
        make_gzip(4, b"\x06\x00BC\x02\x00\x1b\x00"),
        make_gzip(4, b"\x0a\x00RA\x06\x00\x01\x00\xcb\xe3\x00\x00"),
        make_gzip(0, b"") * 2,
        make_gzip(0, b"") + b"\0",
        make_gzip(0, b"")[:-1],
    ],
    ids=["BGZF", "dictzip", "two members", "trailing data", "truncated"],
)
def test_unsupported_gzip_is_skipped(data: bytes) -> None:
    assert recompress_gzip(data, RECIPES[Effort.BALANCED]) is None
