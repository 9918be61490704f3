"""Fuzz the readers of archives and compressed files."""

from __future__ import annotations

import gzip as python_gzip
import zlib

from fuzz import mutators
from fuzz.target import Plant, attempt, given, require_equal, require_same_tree, target
from purekernel.encode.joining import find_ending
from purekernel.encode.joining import survey as survey_deflate
from purekernel.encode.walker import walk
from purekernel.formats.ar import parse_ar
from purekernel.formats.boot_losses import find_early_archive
from purekernel.formats.compression import trace_streams, unpack
from purekernel.formats.cpio import build_cpio, count_archives, parse_cpio, read_initramfs
from purekernel.formats.cpio.reader import early_names
from purekernel.formats.detect import FileKind, detect, is_archive
from purekernel.formats.gzip import build_gzip, iter_members, parse_gzip, read_header
from purekernel.formats.inflate import ZLIB, inflate
from purekernel.formats.lz4 import (
    build_frame,
    build_lz4,
    parse_block,
    parse_frame,
    parse_legacy_frame,
)
from purekernel.formats.tar import build_tar, parse_tar
from purekernel.formats.text import decode_text


@target(
    Plant(
        path="formats/tar/headers.py",
        before='raise self.file.fail(offset, "a valid tar header", "invalid',
    ),
    Plant(path="formats/tar/pax.py", before='raise self._refuse(b"mtime", value,'),
    mutate=mutators.tar,
)
def tar(data: bytes) -> None:
    """Read a tar archive; write what is read, and read it again."""
    tree = attempt(parse_tar, given(data))
    if tree is not None:
        again = attempt(build_tar, tree, top=True)
        if again is not None:
            require_same_tree("tar", parse_tar(given(again)), tree)


@target(
    Plant(path="formats/cpio/reader.py", before='raise file.fail(header_end, "a name'),
    mutate=mutators.cpio,
)
def cpio(data: bytes) -> None:
    """Read an initramfs; write what is read, and read it again."""
    attempt(count_archives, given(data))
    attempt(early_names, given(data))
    attempt(find_early_archive, given(data))
    attempt(read_initramfs, given(data))
    tree = attempt(parse_cpio, given(data))
    if tree is not None:
        again = attempt(build_cpio, tree)
        if again is not None:
            require_same_tree("cpio", parse_cpio(given(again)), tree)


@target(
    Plant(path="formats/gzip.py", before='raise _truncated(file, "the length'),
    Plant(path="formats/inflate.py", before='raise file.fail(len(view), "the'),
    mutate=mutators.packed(),
)
def gzip(data: bytes) -> None:
    """Read a gzip file, as Python's own module does."""
    content = attempt(parse_gzip, given(data))
    attempt(lambda: list(iter_members(given(data))))
    attempt(read_header, given(data), 0)
    if content is not None:
        try:
            expected = python_gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return  # it wants no padding, for example
        require_equal("gzip", content, expected)
        deflated = zlib.compress(content, 1)[2:-4]
        written = build_gzip(deflated, crc32=zlib.crc32(content), size_bytes=len(content))
        require_equal("gzip", parse_gzip(given(written)), content)


@target(
    Plant(path="encode/walker.py", before='raise self._fault("a length before'),
)
def deflate(data: bytes) -> None:
    """Walk through a deflate stream, and inflate it; both accept the same streams."""
    walked = attempt(walk, data)
    attempt(survey_deflate, data)
    inflated = attempt(inflate, given(data))
    attempt(inflate, given(data), window_bits=ZLIB)
    if inflated is not None:
        if walked is None:
            raise AssertionError("zlib inflates a stream that the walker refuses")
        require_equal("size", walked.size_bytes, len(inflated.content))
        require_equal("end", (walked.end + 7) // 8, inflated.end)
        attempt(find_ending, data[: inflated.end], inflated.content)


@target(
    Plant(path="formats/compression.py", before='raise file.fail(unpacked.end, "another'),
    mutate=mutators.packed(),
)
def compression(data: bytes) -> None:
    """Unpack a file of any compression, and tell the kind of any file."""
    detect(data)
    is_archive(data)
    attempt(decode_text, given(data))
    attempt(unpack, given(data))
    traced = attempt(trace_streams, given(data))
    if traced is not None:
        plain, packed_at = traced
        if not 0 <= packed_at(0) <= packed_at(len(plain) / 2) <= packed_at(len(plain)) <= len(data):
            raise AssertionError("the packed sizes do not ascend to the end of the file")


@target(
    Plant(path="formats/lz4.py", before='raise file.fail(len(view), "the'),
    mutate=mutators.packed(),
)
def lz4(data: bytes) -> None:
    """Read LZ4's frames and blocks; write what is read, and read it again."""
    kind = detect(data)
    if kind is FileKind.LZ4 and (frame := attempt(parse_legacy_frame, given(data))):
        written = build_lz4(frame.content)
        require_equal("lz4", parse_legacy_frame(given(written)).content, frame.content)
    if kind is FileKind.LZ4_FRAME and (frame := attempt(parse_frame, given(data))):
        written = build_frame(frame.content)
        require_equal("lz4", parse_frame(given(written)).content, frame.content)
    try:
        parse_block(data, 1 << 16)
    except ValueError:
        return


@target(
    Plant(path="formats/ar.py", before='raise file.fail(end, "a newline'),
)
def ar(data: bytes) -> None:
    """Read an ar archive."""
    attempt(parse_ar, given(data))
