"""Deflate segment by segment, several at once, into one stream."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from concurrent.futures import Executor, Future

from attrs import field, frozen

from purekernel.deflate.cache import Cache, Forgetful
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

    @property
    def key(self) -> str:
        """Return what its stream can be kept under: the same key, the same stream."""
        names = "\n".join(encoder.name for encoder in self.encoders)
        return hashlib.sha256(names.encode() + b"\0" + self.data).hexdigest()


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
    cache = Forgetful() if cache is None else cache
    *first, last = segments
    known = [_recall(cache, segment) for segment in first]
    last_known = cache.get("last " + last.key)
    # The largest first, so that none is waited for at the end.
    wanted = {
        index: segment
        for index, segment in enumerate(segments)
        if (known[index] if index < len(known) else last_known) is None
    }
    order = sorted(wanted, key=lambda index: -len(wanted[index].data))
    futures: dict[int, Future[bytes]] = {
        index: executor.submit(encode_smallest, wanted[index].data, wanted[index].encoders)
        for index in order
    }
    streams = []
    for index, segment in enumerate(first):
        stream = known[index]
        if stream is None:
            stream = survey(futures[index].result())
            _remember(cache, segment, stream)
        streams.append(stream)
    if last_known is None:
        last_known = futures[len(first)].result()
        cache.put("last " + last.key, last_known)
    return join(streams, last_known)


def _recall(cache: Cache, segment: Segment) -> Stream | None:
    kept = cache.get(segment.key)
    if kept is None or len(kept) < _FACTS.size:
        return None
    end, last_block, first_stored = _FACTS.unpack_from(kept)
    return Stream(
        data=kept[_FACTS.size :],
        end=end,
        last_block=last_block,
        first_stored=None if first_stored == _NONE else first_stored,
    )


def _remember(cache: Cache, segment: Segment, stream: Stream) -> None:
    first_stored = _NONE if stream.first_stored is None else stream.first_stored
    cache.put(segment.key, _FACTS.pack(stream.end, stream.last_block, first_stored) + stream.data)
