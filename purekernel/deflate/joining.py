"""Join deflate streams into one, bit by bit, without inflating them.

Each ends with a block that says it is the last, and anywhere in a byte. In all but the last stream
that bit is cleared; what follows is moved up to where the one before ended. Only a stored block
minds being moved: its content starts at a whole byte, so the first one of each stream gets other
padding, behind which all lies as it lay.

Source: RFC 1951, 3.2.3 and 3.2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO

from attrs import field, frozen

from purekernel.deflate.walker import STORED, walk
from purekernel.tree import Buffer

# An empty stored block that is not the last: its header, and behind the padding its length.
_STORED_HEADER_BITS = 3
_EMPTY = b"\x00\x00\xff\xff"


@frozen(kw_only=True)
class Stream:
    """A whole raw deflate stream, with what must be known to let another follow it.

    Attributes:
        data: the stream, up to the end of its last byte.
        end: the first bit behind it.
        last_block: the bit in which its last block begins.
        first_stored: the bit in which its first stored block begins; ``None`` if it has none.
        is_movable: whether that is known; else the stream must start at a whole byte.
    """

    data: bytes = field(repr=False)
    end: int
    last_block: int
    first_stored: int | None
    is_movable: bool = True


def survey(data: Buffer, *, source: str = "a deflate stream") -> Stream:
    """Return a stream with what walking through it tells.

    Raises:
        FormatError: it is no valid stream, or ends early.
    """
    found = walk(data, source=source)
    stored = (block.start for block in found.blocks if block.kind == STORED)
    return Stream(
        data=bytes(data[: (found.end + 7) // 8]),
        end=found.end,
        last_block=found.blocks[-1].start,
        first_stored=next(stored, None),
    )


def join(streams: Iterable[Stream], last: Buffer) -> bytes:
    """Return one stream that inflates to what ``streams`` and then ``last`` inflate to.

    Args:
        streams: that come first.
        last: a raw deflate stream, of which nothing need be known.
    """
    joined = BytesIO()
    joiner = Joiner(joined.write)
    for stream in streams:
        joiner.add(stream)
    joiner.finish(last)
    return joined.getvalue()


class Joiner:
    """Takes streams one after the other, where they are not all there at once.

    Args:
        write: takes what they are joined to, piece by piece.
    """

    def __init__(self, write: Callable[[Buffer], object]) -> None:
        self._write = write
        # The bits that do not fill a byte yet.
        self._rest = 0
        self._rest_bits = 0

    def add(self, stream: Stream) -> None:
        """Add a stream that another follows."""
        if not stream.is_movable:
            self._align()
            self._add_bytes(stream)
            return
        bits = int.from_bytes(stream.data, "little") & ~(1 << stream.last_block)
        if stream.first_stored is None:
            self._append(bits, stream.end)
            return
        header_end = stream.first_stored + _STORED_HEADER_BITS
        self._append(bits & ((1 << header_end) - 1), header_end)
        self._pad()
        content = (header_end + 7) & ~7
        self._append(bits >> content, stream.end - content)

    def finish(self, last: Buffer) -> None:
        """Add the stream that comes last.

        Args:
            last: a raw deflate stream, of which nothing need be known.
        """
        # It may have stored blocks, which are where they should be if it starts a byte.
        self._align()
        self._write(last)

    def end(self) -> None:
        """Fill the last byte, where the stream added last says itself that no other follows."""
        self._pad()

    def _align(self) -> None:
        """Go on at a whole byte, behind an empty block if there are bits."""
        if self._rest_bits:
            self._append(0, _STORED_HEADER_BITS)
            self._pad()
            self._write(_EMPTY)

    def _add_bytes(self, stream: Stream) -> None:
        """Add a stream where a byte starts."""
        whole, self._rest_bits = divmod(stream.end, 8)
        marked, mark = divmod(stream.last_block, 8)
        data = bytearray(stream.data)
        data[marked] &= ~(1 << mark)
        self._rest = data[whole] & ((1 << self._rest_bits) - 1) if self._rest_bits else 0
        del data[whole:]
        self._write(data)

    def _append(self, bits: int, count: int) -> None:
        bits = bits << self._rest_bits | self._rest
        count += self._rest_bits
        whole_bits = count & ~7
        self._write((bits & ((1 << whole_bits) - 1)).to_bytes(whole_bits // 8, "little"))
        self._rest = bits >> whole_bits & ((1 << count - whole_bits) - 1)
        self._rest_bits = count - whole_bits

    def _pad(self) -> None:
        self._append(0, -self._rest_bits % 8)
