"""Deflate again what a gzip file holds, so that it says the same in fewer bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from purekernel.deflate.encoders import Encoder, encode_smallest
from purekernel.errors import FormatError
from purekernel.formats.gzip import MAGIC, content_start, parse_member
from purekernel.tree import Buffer

_TRAILER = struct.Struct("<II")


def recompress_gzip(data: Buffer, encoders: Sequence[Encoder]) -> bytes | None:
    """Return the gzip file ``data`` with another deflate stream in it, if that makes it smaller.

    Its header stays, name and time and all. Files of several members, with something behind the
    last, or that are damaged are left alone.

    Returns:
        The smaller file, which inflates to the same; ``None`` where there is none.
    """
    view = memoryview(data)
    try:
        member = parse_member(view, source="a gzip file")
    except FormatError:
        return None
    if member.end != len(view):
        return None
    start = content_start(view)
    old_bytes = member.end - _TRAILER.size - start
    stream = encode_smallest(member.content, encoders)
    if len(stream) >= old_bytes:
        return None
    if zlib.decompress(stream, wbits=-zlib.MAX_WBITS) != member.content:
        raise AssertionError  # an encoder's fault; nobody's file is lost over it
    return b"".join((view[:start], stream, view[member.end - _TRAILER.size :]))


def is_gzip(data: Buffer) -> bool:
    """Say whether ``data`` starts as a gzip file does."""
    return bytes(data[: len(MAGIC)]) == MAGIC
