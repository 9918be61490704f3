"""Compress segments in parallel, and join them into one deflate stream."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any

from attrs import field

from purekernel.encode.cache import Cache, EncodeTask, make_all
from purekernel.encode.encoders import Encoder, encode_smallest, inflates_to
from purekernel.encode.joining import Joiner, Stream, can_be_joined, find_ending, survey
from purekernel.errors import EncodingError
from purekernel.formats.inflate import RAW, STEP_BYTES
from purekernel.progress import Task
from purekernel.records import frozen
from purekernel.tree import Buffer

# The header of a cache entry: the bit positions of the stream's end, last block and first stored
# block. _NONE stands for no stored block, _ANYWHERE for one at an unknown position.
_FACTS = struct.Struct("<QQQ")
_NONE, _ANYWHERE = 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFE

# For shorter streams, a walk is faster than a search for the last block.
_WALKED_BYTES = 1 << 14


@frozen(kw_only=True)
class Segment:
    """A part of the input that is compressed on its own.

    Attributes:
        data: its bytes.
        encoders: the encoders to try; the smallest result is used.
    """

    data: bytes = field(repr=False)
    encoders: tuple[Encoder, ...]


def deflate_segments(
    segments: Iterable[Segment],
    *,
    write: Callable[[Buffer], object],
    executor: Executor,
    cache: Cache | None = None,
    counter: Task | None = None,
) -> None:
    """Write one raw deflate stream that inflates to all segments in order.

    The stream does not depend on the executor or the cache.

    Args:
        segments: at least one; taken as they are needed.
        write: called with each piece of the stream as it is made.
        executor: runs the encoders, perhaps in other processes or on other machines.
        cache: stores their streams. It is not trusted: see :mod:`.cache`.
        counter: counts the segments.

    Raises:
        EncodingError: an encoder's stream, or the joined stream, does not inflate to the segments.
    """
    proof = _Proof(write)
    joiner = Joiner(proof.write)
    tasks = _tasks(proof.expect(segments))
    results = make_all(tasks, executor=executor, cache=cache, counter=counter)
    result = next(results)
    for following in results:
        joiner.add(_unpack_stream(result))
        result = following
    joiner.finish(result)
    proof.finish()


class _Proof:
    """Inflate the joined stream as it is written, and compare it with the segments.

    Each stream was checked on its own. This checks the joined stream, whatever bits the streams
    start at.
    """

    def __init__(self, write: Callable[[Buffer], object]) -> None:
        self._write = write
        self._inflater = zlib.decompressobj(wbits=RAW)
        self._expected: deque[memoryview] = deque()

    def expect(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Yield ``segments`` as they come, and expect each in the stream from then on."""
        for segment in segments:
            if segment.data:
                self._expected.append(memoryview(segment.data))
            yield segment

    def write(self, piece: Buffer) -> None:
        """Check and write a piece of the stream."""
        pending: Buffer = piece
        try:
            while True:
                content = memoryview(self._inflater.decompress(pending, STEP_BYTES))
                self._compare(content)
                pending = self._inflater.unconsumed_tail
                if not pending and len(content) < STEP_BYTES:
                    break
        except zlib.error:
            raise _not_joined() from None
        self._write(piece)

    def finish(self) -> None:
        """Check that the stream is complete and nothing follows it."""
        if self._expected or not self._inflater.eof or self._inflater.unused_data:
            raise _not_joined()

    def _compare(self, content: memoryview) -> None:
        while content:
            if not self._expected:
                raise _not_joined()
            segment = self._expected.popleft()
            count = min(len(segment), len(content))
            if segment[:count] != content[:count]:
                raise _not_joined()
            content = content[count:]
            if count < len(segment):
                self._expected.appendleft(segment[count:])


def _not_joined() -> EncodingError:
    return EncodingError("the joined deflate stream does not unpack to its input")


def _tasks(segments: Iterable[Segment]) -> Iterator[EncodeTask]:
    """Yield a task per segment; the last stream's positions need not be known."""
    waiting: Segment | None = None
    for segment in segments:
        if waiting is not None:
            yield _task(
                waiting,
                segment_key,
                check=partial(_is_packed_stream, waiting),
                finish=partial(_pack_stream, waiting),
            )
        waiting = segment
    if waiting is not None:
        yield _task(waiting, last_key, check=partial(inflates_to, content=waiting.data))


def segment_key(segment: Segment) -> str:
    """Return the cache key of a segment's stream: equal keys mean equal streams."""
    names = "\n".join(encoder.name for encoder in segment.encoders)
    return hashlib.sha256(names.encode() + b"\0" + segment.data).hexdigest()


def last_key(segment: Segment) -> str:
    """Return the cache key for a last segment, whose stream is stored without positions."""
    return "last " + segment_key(segment)


def _task(segment: Segment, key: Callable[[Segment], str], **more: Any) -> EncodeTask:
    return EncodeTask(
        call=encode_smallest,
        arguments=(segment.data, segment.encoders),
        size_bytes=len(segment.data),
        key=partial(key, segment),
        **more,
    )


def _pack_stream(segment: Segment, data: bytes) -> bytes:
    """Return a stream as stored in the cache, after a header with its positions."""
    stream = find_ending(data, segment.data) if len(data) > _WALKED_BYTES else None
    if stream is None:
        stream = survey(data)
    first_stored = _NONE if stream.is_movable else _ANYWHERE
    if stream.first_stored is not None:
        first_stored = stream.first_stored
    return _FACTS.pack(stream.end, stream.last_block, first_stored) + stream.data


def _is_packed_stream(segment: Segment, kept: bytes) -> bool:
    """Say whether ``kept`` is a stream of the segment with correct positions."""
    return len(kept) > _FACTS.size and can_be_joined(_unpack_stream(kept), segment.data)


def _unpack_stream(kept: bytes) -> Stream:
    end, last_block, first_stored = _FACTS.unpack_from(kept)
    return Stream(
        data=kept[_FACTS.size :],
        end=end,
        last_block=last_block,
        first_stored=None if first_stored >= _ANYWHERE else first_stored,
        is_movable=first_stored != _ANYWHERE,
    )
