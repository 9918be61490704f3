"""Recompress the gzip files inside an image, so that they have fewer bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial

from purekernel.encode.cache import Cache, EncodeTask, make_all
from purekernel.encode.encoders import EffortEncoders, encode_checked
from purekernel.errors import FormatError
from purekernel.formats.gzip import (
    FEXTRA,
    FLAGS_OFFSET,
    TRAILER,
    GzipMember,
    parse_member,
)
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.progress import Progress, Silent
from purekernel.tree import Buffer, LazyContent, loaded

# The cache entry for a file that does not get smaller. No gzip file starts with these bytes.
_NO_SMALLER = b"no smaller"


def recompress_gzip(data: Buffer, recipe: EffortEncoders) -> bytes | None:
    """Return the gzip file ``data`` with a smaller deflate stream, if there is one.

    The header keeps its bytes. Files are skipped that are damaged, have several members, have
    bytes after the last member, or have an extra field (BGZF and dictzip store offsets there).

    Returns:
        The smaller file, with the same content; ``None`` if the file is skipped or cannot shrink.
    """
    view = memoryview(data)
    member = _only_member(view)
    if member is None:
        return None
    old_bytes = member.end - TRAILER.size - member.stream
    stream = encode_checked(member.content, recipe.for_nested(len(member.content)))
    if len(stream) >= old_bytes:
        return None
    return b"".join((view[: member.stream], stream, view[member.end - TRAILER.size :]))


def recompress_all(
    files: Sequence[Buffer | LazyContent],
    recipe: EffortEncoders,
    *,
    executor: Executor,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> list[bytes | None]:
    """Return the result of :func:`recompress_gzip` for each of ``files``, in order.

    Args:
        files: whole gzip files.
        recipe: the encoders of the effort.
        executor: runs the encoders.
        cache: stores their results.
        progress: counts the files.
    """
    # The largest first, so that no long task runs alone at the end.
    order = sorted(range(len(files)), key=lambda index: -len(files[index]))
    tasks = (_task(bytes(loaded(files[index])), recipe) for index in order)
    with (progress or Silent()).task("files", total=len(files)) as counter:
        made = make_all(tasks, executor=executor, cache=cache, counter=counter)
        results = dict(zip(order, made, strict=True))
    return [
        None if results[index] == _NO_SMALLER else results[index] for index in range(len(files))
    ]


def _task(content: bytes, recipe: EffortEncoders) -> EncodeTask:
    return EncodeTask(
        call=recompress_gzip,
        arguments=(content, recipe),
        size_bytes=len(content),
        key=partial(_key, content, recipe),
        check=partial(_is_result, content),
        finish=_pack_result,
    )


def declared_bytes(data: Buffer) -> int:
    """Return the unpacked size that a gzip file of one member of less than 4 GiB declares."""
    if len(data) < TRAILER.size:
        return 0
    _crc, size_bytes = TRAILER.unpack_from(data, len(data) - TRAILER.size)
    return int(size_bytes)


def _only_member(view: memoryview) -> GzipMember | None:
    """Return the only member of a sound gzip file without an extra field, else ``None``."""
    # Many files are unpacked at once, so none may unpack to more than it declares.
    most_bytes = min(declared_bytes(view), DEFAULT_LIMITS.unpacked_bytes)
    try:
        member = parse_member(
            Input(view, name="a gzip file", limits=Limits(unpacked_bytes=most_bytes))
        )
    except FormatError:
        return None
    return None if member.end != len(view) or view[FLAGS_OFFSET] & FEXTRA else member


def _pack_result(content: bytes | None) -> bytes:
    return _NO_SMALLER if content is None else content


def _is_result(old: Buffer, kept: bytes) -> bool:
    """Say whether ``kept`` may replace the gzip file ``old``.

    It must unpack to the same content, be smaller, and have the same header and trailer. The entry
    "no smaller" is trusted, because only encoding the file again could check it.
    """
    if kept == _NO_SMALLER:
        return True
    view, old_view = memoryview(kept), memoryview(old)
    if len(view) >= len(old_view):
        return False
    old_member = _only_member(old_view)
    if old_member is None:
        return False
    start = old_member.stream
    if view[:start] != old_view[:start] or view[-TRAILER.size :] != old_view[-TRAILER.size :]:
        return False
    member = _only_member(view)
    return member is not None and member.content == old_member.content


def _key(content: bytes, recipe: EffortEncoders) -> str:
    names = "\n".join(
        f"{rung.most_bytes} {encoder.name}" for rung in recipe.nested for encoder in rung.encoders
    )
    return hashlib.sha256(b"nested\n" + names.encode() + b"\0" + content).hexdigest()
