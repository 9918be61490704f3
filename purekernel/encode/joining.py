"""Join deflate streams into one, bit by bit, without inflating them.

Each ends with a block that says it is the last, and anywhere in a byte. In all but the last stream
that bit is cleared; what follows is moved up to where the one before ended. Only a stored block
minds being moved: its content starts at a whole byte, so the first one of each stream gets other
padding, behind which all lies as it lay.

Source: RFC 1951, 3.2.3 and 3.2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO

from attrs import field, frozen

from purekernel.encode.walker import END_OF_BLOCK, STORED, codes, read_code_lengths, walk
from purekernel.errors import FormatError
from purekernel.formats.inflate import inflate
from purekernel.formats.limits import Limits
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


# How much is looked at at once: numbers that stay near the processor.
_WINDOW_BYTES = 1 << 14


# libdeflate makes no block of more than 300,000 bytes; whoever makes longer ones is walked through.
_SEARCHED_BYTES = 320_000


# Whether it is the last, and of which kind.
_KIND_BITS = 3


# A header: whether it is the last, the kind, how many codes there are of both, and of lengths;
# then three bits for each of these.
_LENGTHS_OFFSET = 17
_MOST_LENGTHS, _LEAST_LENGTHS = 19, 4
_HEADER_BYTES = (_LENGTHS_OFFSET + 3 * _MOST_LENGTHS + 7) // 8


# What codes of at most seven bits take of the room for them, which is a power of two.
_ROOM_BITS = 7


# No sum of nineteen such has more bits.
_SUM_BITS = 11
_STORED_HEADER_BYTES = 4
_STORED_BYTES = 0xFFFF


# The header's bits and their padding.
_STORED_LEAD_BITS, _STORED_MOST_LEAD_BITS = 3, 10


# Empty blocks of the kind that brings no codes, ten bits each. Behind the first a stream that can
# be moved starts within a byte. The second still says that it is the last: its first bit is a one,
# while padding is zeros, so that an end that is a bit off is found.
_NOTHING_YET = Stream(data=b"\x02\x00", end=10, last_block=0, first_stored=None)
_NOTHING_MORE = Stream(data=b"\x03\x00", end=10, last_block=9, first_stored=None)


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


# Find where a deflate stream's last block begins from behind, without walking through all of it.
#
# A walk reads every code, which takes a second for some megabytes. But the header of a block with
# codes of its own says a lot about itself: the lengths of its first codes leave no room, and so do
# those of the two codes that they stand for. By chance one bit in some thousands begins what passes
# the first of these, and hardly any what passes all. The first is looked at for thousands of bits
# at
# once, as numbers of as many bits. Whatever is found is proved: what it was made of must come out
# when another block follows.
#
# Source: RFC 1951, 3.2.3 to 3.2.7.


def find_ending(data: bytes, content: Buffer) -> Stream | None:
    """Return the stream ``data`` with its last block, or ``None`` if that is not found.

    Args:
        data: a raw deflate stream and nothing behind it.
        content: what it inflates to.
    """
    for last_block, end in _endings(data):
        found = Stream(
            data=data, end=end, last_block=last_block, first_stored=None, is_movable=False
        )
        if can_be_joined(found, content):
            return found
    return None


def can_be_joined(stream: Stream, content: Buffer) -> bool:
    """Say whether ``stream``, joined to another by what it says of itself, inflates to ``content``.

    Args:
        stream: any; nothing of it is believed.
        content: what it stands for. No more than this is unpacked.
    """
    size_bits = 8 * len(stream.data)
    if not (
        size_bits - 8 < stream.end <= size_bits
        and 0 <= stream.last_block < stream.end
        and (stream.first_stored is None or 0 <= stream.first_stored <= stream.last_block)
    ):
        return False
    written = BytesIO()
    joiner = Joiner(written.write)
    if stream.is_movable:  # where its first stored block is must be true, too
        joiner.add(_NOTHING_YET)
    joiner.add(stream)
    joiner.add(_NOTHING_MORE)
    joiner.end()
    joined = written.getvalue()
    try:
        found = inflate(
            joined,
            source="a joined stream",
            limits=Limits(unpacked_bytes=len(content)),
        )
    except FormatError:
        return False
    return found.end == len(joined) and found.content == content


def _endings(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield bits in which the last block may begin, and end."""
    stored = _stored_ending(data)
    if stored is not None:
        yield stored, 8 * len(data)
    least = max(0, len(data) - _SEARCHED_BYTES)
    stop = len(data)
    while stop > least:
        start = max(least, stop - _WINDOW_BYTES)
        found = _beginnings(data, start, stop - start)
        while found:
            bit = found.bit_length() - 1
            found ^= 1 << bit
            yield from _coded_endings(data, 8 * start + bit)
        stop = start


def _stored_ending(data: bytes) -> int | None:
    """Return the bit in which a last block begins that is stored, if there is one."""
    tail = data[-_STORED_BYTES - _STORED_HEADER_BYTES - 2 :]
    # Its length stands there twice, the second time with each bit the other way.
    number = int.from_bytes(tail, "little")
    turned = (number ^ number >> 16).to_bytes(len(tail), "little")
    start = len(tail)
    while (start := turned.rfind(b"\xff\xff", 0, start)) >= 0:
        size = len(tail) - start - _STORED_HEADER_BYTES
        if int.from_bytes(tail[start : start + 2], "little") == size:
            # The kind and the padding are zeros; the bit before them is one.
            lead = int.from_bytes(tail[max(0, start - 2) : start], "little")
            behind = 8 * min(2, start) - lead.bit_length() + 1
            if lead and _STORED_LEAD_BITS <= behind <= _STORED_MOST_LEAD_BITS:
                return 8 * (len(data) - len(tail) + start) - behind
        start += 1
    return None


def _coded_endings(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Yield ``start`` and bits in which the block ends whose header is there, if it is one."""
    try:
        lengths = read_code_lengths(data, start + _KIND_BITS, source="a deflate stream").literals
    except FormatError:
        return
    bits, code = next(
        (bits, code) for symbol, bits, code in codes(lengths) if symbol == END_OF_BLOCK
    )
    whole = int.from_bytes(data[-4:], "little")
    for padding in range(8):
        end = 8 * min(4, len(data)) - padding
        if not whole >> end and whole >> (end - bits) == code:
            yield start, 8 * len(data) - padding


def _beginnings(data: bytes, start: int, size: int) -> int:
    """Return a number with a one at each bit where the last block's header may begin.

    Args:
        data: a stream.
        start: where in it to look, in bytes.
        size: how far, in bytes.
    """
    window = int.from_bytes(data[start : start + size + _HEADER_BYTES], "little")
    here = (1 << 8 * size) - 1

    def bit(index: int) -> int:
        """Return of each place the bit so many behind it."""
        return window >> index & here

    # The last block, of kind two, with no more codes than there are.
    found = bit(0) & ~bit(1) & bit(2)
    for offset in (4, 9):
        found &= ~(bit(offset) & bit(offset + 1) & bit(offset + 2) & bit(offset + 3))
    columns: list[list[int]] = [[] for _ in range(_SUM_BITS + 1)]
    counts = [bit(13 + index) for index in range(4)]
    for index in range(_MOST_LENGTHS):
        low, middle, high = (bit(_LENGTHS_OFFSET + 3 * index + more) for more in range(3))
        if index >= _LEAST_LENGTHS:
            there = _at_least(index + 1 - _LEAST_LENGTHS, counts, here)
            low, middle, high = low & there, middle & there, high & there
        _add_share(columns, low, middle, high)
    for column, bits in enumerate(_sum(columns)):
        found &= bits if column == _ROOM_BITS else ~bits
    return found


def _at_least(value: int, bits: list[int], ones: int) -> int:
    """Say of each place whether the number that its ``bits`` make is no less than ``value``."""
    result = ones
    for index, column in enumerate(bits):
        result = result & column if value >> index & 1 else result | column
    return result


def _add_share(columns: list[list[int]], low: int, middle: int, high: int) -> None:
    """Add what a code of that length takes: 64 for one bit, 1 for seven, nothing for none."""
    both = middle & high
    only_high, only_middle = high ^ both, middle ^ both
    seven, five, three = low & both, low & only_high, low & only_middle
    one = low ^ seven ^ five ^ three
    shares = (seven, both ^ seven, five, only_high ^ five, three, only_middle ^ three, one)
    for column, share in zip(columns, shares, strict=False):
        column.append(share)


def _sum(columns: list[list[int]]) -> Iterator[int]:
    """Yield the bits of the sum of all that stands in ``columns``, the lowest first."""
    for column, carries in zip(columns, [*columns[1:], []], strict=True):
        while len(column) > 1:
            first, second = column.pop(), column.pop()
            third = column.pop() if column else 0
            either = first ^ second
            column.insert(0, either ^ third)
            carries.append(first & second | either & third)
        yield column[0] if column else 0
