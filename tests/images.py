"""Make PNG images and zip archives for tests."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence

from purekernel.formats.png import MAGIC, build_chunk

WIDTH = HEIGHT = 64

# Filter type 0 before each row of grey pixels.
PIXELS = b"".join(b"\0" + bytes(x * y % 251 for x in range(WIDTH)) for y in range(HEIGHT))
HEADER = build_chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0))
END = build_chunk(b"IEND", b"")
COMMENT = build_chunk(b"tEXt", b"Comment\0kept")
TIME = build_chunk(b"tIME", b"\x07\xd0\1\1\1\1\1")


def idats(stream: bytes, count: int) -> bytes:
    """Return a zlib stream in so many chunks."""
    size = -(-len(stream) // count)
    return b"".join(
        build_chunk(b"IDAT", stream[start : start + size])
        for start in range(0, max(len(stream), 1), size or 1)
    )


def make_png(pixels: bytes = PIXELS, *, level: int = 1, count: int = 3) -> bytes:
    """Return an image with its pixels in several chunks, and others around them."""
    stream = zlib.compress(pixels, level)
    return b"".join((MAGIC, HEADER, COMMENT, idats(stream, count), TIME, END))


def pixels_of(image: bytes) -> bytes:
    """Return the filtered rows of an image, read apart from what is tested."""
    here = len(MAGIC)
    stream = b""
    while here < len(image):
        size, kind = struct.unpack_from(">I4s", image, here)
        content = image[here + 8 : here + 8 + size]
        assert struct.unpack_from(">I", image, here + 8 + size)[0] == zlib.crc32(kind + content)
        stream += content if kind == b"IDAT" else b""
        here += size + 12
        if kind == b"IEND":
            break
    return zlib.decompress(stream)


class _Unseekable(io.RawIOBase):
    """A stream as a pipe is: zipfile puts sizes behind the data there."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self.content += piece
        return len(piece)


def make_zip(
    members: Mapping[str, bytes] | Sequence[tuple[str, bytes]],
    *,
    method: int = zipfile.ZIP_DEFLATED,
    level: int = 1,
    streamed: bool = False,
    comment: bytes = b"a comment",
) -> bytes:
    """Return an archive with a comment, and comments and extra fields for all members."""
    pipe, file = _Unseekable(), io.BytesIO()
    with zipfile.ZipFile(pipe if streamed else file, "w", compresslevel=level) as archive:
        archive.comment = comment
        for name, content in dict(members).items():
            info = zipfile.ZipInfo(name, (2013, 5, 6, 7, 8, 10))
            info.compress_type = method
            info.comment = name.encode()
            info.extra = b"\x99\x99\x02\x00ex"
            info.external_attr = 0o640 << 16
            archive.writestr(info, content)
    return pipe.content if streamed else file.getvalue()


def members_of(data: bytes) -> list[tuple[object, ...]]:
    """Return all that zipfile says of the members, save how they are packed and where."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [
            (
                info.filename, info.date_time, info.comment, info.extra, info.external_attr,
                info.internal_attr, info.flag_bits, info.create_version, info.CRC, info.file_size,
                archive.read(info),
            )
            for info in archive.infolist()
        ] + [(archive.comment,)]  # fmt: skip
