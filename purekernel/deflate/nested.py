"""Deflate again what a gzip file holds, so that it says the same in fewer bytes."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future

from purekernel.deflate.cache import Cache, Forgetful
from purekernel.deflate.efforts import Recipe
from purekernel.deflate.encoders import encode_smallest
from purekernel.errors import FormatError
from purekernel.formats.gzip import FEXTRA, FLAGS_OFFSET, MAGIC, content_start, parse_member
from purekernel.tree import Buffer

_TRAILER = struct.Struct("<II")


def recompress_gzip(data: Buffer, recipe: Recipe) -> bytes | None:
    """Return the gzip file ``data`` with another deflate stream in it, if that makes it smaller.

    Its header stays, name and time and all. Files of several members, with something behind the
    last, with an extra field (BGZF and dictzip say there where in the file things lie), or that are
    damaged are left alone.

    Returns:
        The smaller file, which inflates to the same; ``None`` where there is none.
    """
    view = memoryview(data)
    try:
        member = parse_member(view, source="a gzip file")
    except FormatError:
        return None
    if member.end != len(view) or view[FLAGS_OFFSET] & FEXTRA:
        return None
    start = content_start(view)
    old_bytes = member.end - _TRAILER.size - start
    stream = encode_smallest(member.content, recipe.for_nested(len(member.content)))
    if len(stream) >= old_bytes:
        return None
    if zlib.decompress(stream, wbits=-zlib.MAX_WBITS) != member.content:
        raise AssertionError  # an encoder's fault; nobody's file is lost over it
    return b"".join((view[:start], stream, view[member.end - _TRAILER.size :]))


def recompress_all(
    files: Sequence[Buffer], recipe: Recipe, *, executor: Executor, cache: Cache | None = None
) -> Iterator[bytes | None]:
    """Yield what :func:`recompress_gzip` returns of each of ``files``, in order.

    Args:
        files: whole gzip files.
        recipe: the effort's.
        executor: what runs the encoders.
        cache: what remembers their results.
    """
    cache = Forgetful() if cache is None else cache
    keys = [_key(content, recipe) for content in files]
    known = [cache.get(key) for key in keys]
    # The largest first, so that none is waited for at the end.
    order = sorted(range(len(files)), key=lambda index: -len(files[index]))
    futures: dict[int, Future[bytes | None]] = {
        index: executor.submit(recompress_gzip, bytes(files[index]), recipe)
        for index in order
        if known[index] is None
    }
    for index, key in enumerate(keys):
        # Nothing is kept for what gets no smaller.
        result = known[index]
        if result is None:
            result = futures[index].result() or b""
            cache.put(key, result)
        yield result or None


def _key(content: Buffer, recipe: Recipe) -> str:
    names = "\n".join(
        f"{rung.most_bytes} {encoder.name}" for rung in recipe.nested for encoder in rung.encoders
    )
    return hashlib.sha256(b"nested\n" + names.encode() + b"\0" + bytes(content)).hexdigest()


def is_gzip(data: Buffer) -> bool:
    """Say whether ``data`` starts as a gzip file does."""
    return bytes(data[: len(MAGIC)]) == MAGIC
