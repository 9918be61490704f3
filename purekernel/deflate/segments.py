"""Deflate segment by segment, several at once, into one stream."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any

from attrs import field, frozen

from purekernel.deflate.cache import Cache, Task, make_all
from purekernel.deflate.encoders import Encoder, encode_smallest
from purekernel.deflate.ending import find_ending
from purekernel.deflate.joining import Joiner, Stream, survey
from purekernel.tree import Buffer

# What a cache keeps before a stream: its end, its last block and its first stored block, each a
# bit; a first stored block that is not there is all ones, one that may be anywhere is one less.
_FACTS = struct.Struct("<QQQ")
_NONE, _ANYWHERE = 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFE

# A shorter stream is walked through sooner than its end is found.
_WALKED_BYTES = 1 << 14


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
    segments: Iterable[Segment],
    *,
    write: Callable[[Buffer], object],
    executor: Executor,
    cache: Cache | None = None,
) -> None:
    """Write one raw deflate stream that inflates to all segments, one behind the other.

    It is the same whatever the executor and the cache.

    Args:
        segments: at least one. They are asked for as they are needed.
        write: takes the stream, piece by piece as it is made.
        executor: what runs the encoders. It may be one of other processes or machines.
        cache: what remembers their streams.
    """
    joiner = Joiner(write)
    results = make_all(_tasks(segments), executor=executor, cache=cache)
    result = next(results)
    for following in results:
        joiner.add(_unpack_stream(result))
        result = following
    joiner.finish(result)


def _tasks(segments: Iterable[Segment]) -> Iterator[Task]:
    """Yield what is to be done; of the last segment's stream nothing need be known."""
    waiting: Segment | None = None
    for segment in segments:
        if waiting is not None:
            yield _task(
                waiting,
                segment_key,
                finish=partial(_pack_stream, waiting),
                least_bytes=_FACTS.size,
            )
        waiting = segment
    if waiting is not None:
        yield _task(waiting, last_key)


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


def _pack_stream(segment: Segment, data: bytes) -> bytes:
    """Return a stream as it is kept, with what joining must know of it in front."""
    stream = find_ending(data, segment.data) if len(data) > _WALKED_BYTES else None
    if stream is None:
        stream = survey(data)
    first_stored = _NONE if stream.is_movable else _ANYWHERE
    if stream.first_stored is not None:
        first_stored = stream.first_stored
    return _FACTS.pack(stream.end, stream.last_block, first_stored) + stream.data


def _unpack_stream(kept: bytes) -> Stream:
    end, last_block, first_stored = _FACTS.unpack_from(kept)
    return Stream(
        data=kept[_FACTS.size :],
        end=end,
        last_block=last_block,
        first_stored=None if first_stored >= _ANYWHERE else first_stored,
        is_movable=first_stored != _ANYWHERE,
    )
