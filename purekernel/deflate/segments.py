"""Deflate segment by segment, several at once, into one stream."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from attrs import field, frozen

from purekernel.deflate.cache import Cache, Task, make_all
from purekernel.deflate.encoders import Encoder, encode_smallest
from purekernel.deflate.joining import Stream, join, survey

# What a cache keeps before a stream: its end, its last block and its first stored block, each a
# bit; a first stored block that is not there is all ones.
_FACTS = struct.Struct("<QQQ")
_NONE = 0xFFFFFFFFFFFFFFFF


@frozen(kw_only=True)
class Segment:
    """A part of what is deflated, by itself.

    Attributes:
        data: its bytes.
        encoders: those of which the smallest result counts.
    """

    data: bytes = field(repr=False)
    encoders: tuple[Encoder, ...]


def deflate_segments(
    segments: Sequence[Segment], *, executor: Executor, cache: Cache | None = None
) -> bytes:
    """Return one raw deflate stream that inflates to all segments, one behind the other.

    It is the same whatever the executor and the cache.

    Args:
        segments: at least one.
        executor: what runs the encoders. It may be one of other processes or machines.
        cache: what remembers their streams.
    """
    *first, last = segments
    tasks = [
        *(
            _task(segment, segment_key, finish=_pack_stream, least_bytes=_FACTS.size)
            for segment in first
        ),
        _task(last, last_key),
    ]
    *streams, end = make_all(tasks, executor=executor, cache=cache)
    return join(map(_unpack_stream, streams), end)


def segment_key(segment: Segment) -> str:
    """Return what a segment's stream can be kept under: the same key, the same stream."""
    names = "\n".join(encoder.name for encoder in segment.encoders)
    return hashlib.sha256(names.encode() + b"\0" + segment.data).hexdigest()


def last_key(segment: Segment) -> str:
    """Return the same for a segment that comes last, of whose stream nothing need be known."""
    return "last " + segment_key(segment)


def _task(segment: Segment, key: Callable[[Segment], str], **more: Any) -> Task:
    return Task(
        call=encode_smallest,
        arguments=(segment.data, segment.encoders),
        size_bytes=len(segment.data),
        key=partial(key, segment),
        **more,
    )


def _pack_stream(data: bytes) -> bytes:
    """Return a stream as it is kept, with what walking through it tells in front."""
    stream = survey(data)
    first_stored = _NONE if stream.first_stored is None else stream.first_stored
    return _FACTS.pack(stream.end, stream.last_block, first_stored) + stream.data


def _unpack_stream(kept: bytes) -> Stream:
    end, last_block, first_stored = _FACTS.unpack_from(kept)
    return Stream(
        data=kept[_FACTS.size :],
        end=end,
        last_block=last_block,
        first_stored=None if first_stored == _NONE else first_stored,
    )
