"""The zlib stream of a PNG image: taken out of its chunks, and put back as another.

Source: the PNG specification (W3C, third edition), 5.3 and 10; for animations, its 11.3.2.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.inflate import ZLIB, inflate
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.splice import Edit, splice
from purekernel.tree import Buffer

MAGIC = b"\x89PNG\r\n\x1a\n"

# A chunk's length and type before its data, the CRC of type and data behind it.
_START = struct.Struct(">I4s")
_CRC_BYTES = 4

# No chunk is longer, and no number larger.
MAX_CHUNK_BYTES = 0x7FFFFFFF

# Deflate with the largest window, "slowest, smallest", and the check bits that go with them.
_ZLIB_HEADER = b"\x78\xda"
_ADLER_BYTES = 4

# What says that there is more than one image, and that the stream is none of zlib's.
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_APPLE = b"CgBI"


@frozen(kw_only=True)
class Png:
    """A PNG image as it was read.

    Attributes:
        data: all of it.
        start: where its first IDAT chunk starts.
        end: the first byte behind its last.
        content: what they unpack to: the filtered rows of pixels.
    """

    data: Buffer = field(repr=False)
    start: int
    end: int
    content: bytes = field(repr=False)


def parse_png(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> Png:
    """Return where the pixels of a PNG image lie, and what they are.

    Raises:
        FormatError: it is damaged, or of a kind whose pixels lie elsewhere, such as an animation.
        LimitError: it has more chunks, or unpacks to more, than ``limits`` allow.
    """
    view = memoryview(data)
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise FormatError(
            source=source, offset=0, expected="a PNG image", got=bytes(view[:8]).hex(" ")
        )
    start = end = 0
    pieces: list[Buffer] = []
    for kind, here, content in _chunks(view, source, limits):
        if kind in _ANIMATION or kind == _APPLE:
            raise FormatError(
                source=source,
                offset=here,
                expected="a PNG image of one frame, as the specification has it",
                got="an animation" if kind in _ANIMATION else "Apple's own variant",
                hint="it is left as it is: such images are not recompressed",
            )
        if kind != b"IDAT":
            continue
        if pieces and here != end:
            raise FormatError(
                source=source, offset=here, expected="all IDAT chunks in a row", got="one apart"
            )
        if not pieces:
            start = here
        pieces.append(content)
        end = here + _START.size + len(content) + _CRC_BYTES
    if not pieces:
        raise FormatError(source=source, expected="an IDAT chunk", got="none")
    stream = b"".join(pieces)
    inflated = inflate(stream, source=f"{source}: the pixels", window_bits=ZLIB, limits=limits)
    if inflated.end != len(stream):
        raise FormatError(
            source=source,
            expected="nothing behind the pixels' zlib stream",
            got=f"{len(stream) - inflated.end} bytes",
        )
    return Png(
        data=data,
        start=start,
        end=end,
        content=inflated.content,
    )


def replace_pixels(image: Png, deflated: Buffer) -> bytes:
    """Return ``image`` with a raw deflate stream in place of its own, all of it in one IDAT chunk.

    Raises:
        FormatError: the stream does not fit in a chunk.
    """
    stream = b"".join(
        (_ZLIB_HEADER, deflated, zlib.adler32(image.content).to_bytes(_ADLER_BYTES, "big"))
    )
    if len(stream) > MAX_CHUNK_BYTES:
        raise FormatError(
            source="a PNG image",
            expected=f"at most {MAX_CHUNK_BYTES} bytes of compressed pixels",
            got=f"{len(stream)}",
        )
    chunk = build_chunk(b"IDAT", stream)
    return splice(image.data, (Edit(start=image.start, end=image.end, data=chunk),))


def build_chunk(kind: bytes, content: Buffer) -> bytes:
    """Return a chunk of the four-letter type ``kind``."""
    crc = zlib.crc32(content, zlib.crc32(kind))
    return b"".join((_START.pack(len(content), kind), content, crc.to_bytes(_CRC_BYTES, "big")))


def _chunks(
    view: memoryview, source: str, limits: Limits
) -> Iterator[tuple[bytes, int, memoryview]]:
    """Yield type, place and content of each chunk up to IEND."""
    here = len(MAGIC)
    kind = b""
    count = 0
    while kind != b"IEND":
        count += 1
        limits.check_members(count, source=source, offset=here)
        if len(view) - here < _START.size:
            raise _ends_early(source, len(view))
        size, kind = _START.unpack_from(view, here)
        start = here + _START.size
        end = start + size
        if len(view) < end + _CRC_BYTES:
            raise _ends_early(source, len(view))
        content = view[start:end]
        crc = int.from_bytes(view[end : end + _CRC_BYTES], "big")
        found = zlib.crc32(content, zlib.crc32(kind))
        if crc != found:
            raise FormatError(
                source=source,
                offset=here,
                expected=f"a chunk with the CRC {found:08x}",
                got=f"{crc:08x}",
            )
        if count == 1 and kind not in (b"IHDR", _APPLE):
            raise FormatError(
                source=source, offset=here, expected="IHDR, the first chunk", got=repr(kind)[1:]
            )
        yield kind, here, content
        here = end + _CRC_BYTES


def _ends_early(source: str, offset: int) -> FormatError:
    return FormatError(
        source=source, offset=offset, expected="chunks up to IEND", got="the end of the file"
    )
