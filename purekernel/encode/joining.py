"""Join deflate streams into one, bit by bit, without inflating them.

A deflate stream may end at any bit, and its last block has the bit BFINAL set. In each stream but
the last, that bit is cleared, and the next stream starts at the bit where this one ended. Only
stored blocks depend on their position, because their content starts at a byte boundary. So the
first stored block of each stream gets new padding, and everything after it keeps its alignment.

Source: RFC 1951, 3.2.3 and 3.2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO

from attrs import field

from purekernel.encode.walker import END_OF_BLOCK, STORED, codes, read_code_lengths, walk
from purekernel.errors import FormatError
from purekernel.formats.inflate import inflate
from purekernel.input import Input, Limits
from purekernel.records import frozen
from purekernel.tree import Buffer

# An empty stored block that is not the last: 3 bits of header, padding, then its length.
_STORED_HEADER_BITS = 3
_EMPTY = b"\x00\x00\xff\xff"


@frozen(kw_only=True)
class Stream:
    """A whole raw deflate stream, with the positions that joining needs.

    Positions are bits from the start of ``data``.

    Attributes:
        data: the stream, up to the end of its last byte.
        end: the first bit after the stream.
        last_block: the first bit of its last block.
        first_stored: the first bit of its first stored block; ``None`` if there is no such block,
            or its position is unknown.
        is_movable: whether the stream may start at any bit; else it must start at a byte boundary,
            because ``first_stored`` is unknown.
    """

    data: bytes = field(repr=False)
    end: int
    last_block: int
    first_stored: int | None
    is_movable: bool = True


# The bytes searched at once: integers of this size stay in the processor's cache.
_WINDOW_BYTES = 1 << 14

# How far from the end to search for the last block. libdeflate's blocks have at most 300,000 bytes;
# streams with longer last blocks are walked through.
_SEARCHED_BYTES = 320_000

# A block's header: BFINAL (1 bit) and BTYPE (2 bits).
_KIND_BITS = 3

# A dynamic block's header: BFINAL, BTYPE, HLIT, HDIST and HCLEN (17 bits), then three bits for each
# code length code.
_LENGTHS_OFFSET = 17
_MOST_LENGTHS, _LEAST_LENGTHS = 19, 4
_HEADER_BYTES = (_LENGTHS_OFFSET + 3 * _MOST_LENGTHS + 7) // 8

# A complete code of at most seven bits has shares of 2**(7 - length) that add up to 2**7.
_ROOM_BITS = 7

# The sum of nineteen shares of at most 64 fits in this many bits.
_SUM_BITS = 11
_STORED_HEADER_BYTES = 4
_STORED_BYTES = 0xFFFF

# The bits of a stored block's header: the fewest and the most, with padding.
_STORED_LEAD_BITS, _STORED_MOST_LEAD_BITS = 3, 10

# Empty blocks with fixed codes, ten bits each. After the first, a movable stream starts inside a
# byte. The second has BFINAL set: its first bit is one while padding is zeros, so an end that is
# wrong by one bit is detected.
_NOTHING_YET = Stream(data=b"\x02\x00", end=10, last_block=0, first_stored=None)
_NOTHING_MORE = Stream(data=b"\x03\x00", end=10, last_block=9, first_stored=None)


def survey(data: Buffer, *, source: str = "a deflate stream") -> Stream:
    """Return the stream at the start of ``data``, with its positions found by walking through it.

    Raises:
        FormatError: the stream is invalid or truncated.
    """
    walked = walk(data, source=source)
    stored = (block.start for block in walked.blocks if block.kind == STORED)
    return Stream(
        data=bytes(data[: (walked.end + 7) // 8]),
        end=walked.end,
        last_block=walked.blocks[-1].start,
        first_stored=next(stored, None),
    )


def join(streams: Iterable[Stream], last: Buffer) -> bytes:
    """Return one stream that inflates to the content of ``streams``, followed by that of ``last``.

    Args:
        streams: the streams before the last.
        last: any raw deflate stream; its positions need not be known.
    """
    joined = BytesIO()
    joiner = Joiner(joined.write)
    for stream in streams:
        joiner.add(stream)
    joiner.finish(last)
    return joined.getvalue()


class Joiner:
    """Join streams one by one, as they become available.

    Args:
        write: called with each piece of the joined stream.
    """

    def __init__(self, write: Callable[[Buffer], object]) -> None:
        self._write = write
        # The bits that do not fill a byte so far.
        self._rest = 0
        self._rest_bits = 0

    def add(self, stream: Stream) -> None:
        """Add a stream that is not the last."""
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
        """Add the last stream.

        Args:
            last: any raw deflate stream; its positions need not be known.
        """
        # Its stored blocks, if any, stay aligned if it starts at a byte boundary.
        self._align()
        self._write(last)

    def end(self) -> None:
        """Pad the last byte, if the stream added last has BFINAL set already."""
        self._pad()

    def _align(self) -> None:
        """Continue at a byte boundary, after an empty stored block if bits are pending."""
        if self._rest_bits:
            self._append(0, _STORED_HEADER_BITS)
            self._pad()
            self._write(_EMPTY)

    def _add_bytes(self, stream: Stream) -> None:
        """Add a stream at a byte boundary."""
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


# Find the start of a deflate stream's last block by searching from the end, without a full walk.
#
# A walk reads every code, which takes a second for a few megabytes. But the header of a dynamic
# block is redundant: the code length code must be complete, and so must the two codes that it
# encodes. By chance one bit position in some thousands passes the first check, and almost none
# passes all. The first check runs on thousands of bit positions at once, as one large integer. Each
# candidate is then proved: with another block appended, the stream must still inflate to its
# content.
#
# Source: RFC 1951, 3.2.3 to 3.2.7.


def find_ending(data: bytes, content: Buffer) -> Stream | None:
    """Return the stream ``data`` with its last block's position, or ``None`` if not found.

    Args:
        data: a raw deflate stream with nothing after it.
        content: the bytes that it inflates to.
    """
    for last_block, end in _endings(data):
        found = Stream(
            data=data, end=end, last_block=last_block, first_stored=None, is_movable=False
        )
        if can_be_joined(found, content):
            return found
    return None


def can_be_joined(stream: Stream, content: Buffer) -> bool:
    """Say whether ``stream``, joined to another by its positions, inflates to ``content``.

    Args:
        stream: any stream; it is not trusted.
        content: the expected content. At most as many bytes are unpacked.
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
    if stream.is_movable:  # also check the position of its first stored block
        joiner.add(_NOTHING_YET)
    joiner.add(stream)
    joiner.add(_NOTHING_MORE)
    joiner.end()
    joined = written.getvalue()
    try:
        found = inflate(
            Input(joined, name="a joined stream", limits=Limits(unpacked_bytes=len(content)))
        )
    except FormatError:
        return False
    return found.end == len(joined) and found.content == content


def _endings(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield pairs of bit positions where the last block may begin and end."""
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
    """Return the first bit of a stored last block, or ``None``."""
    tail = data[-_STORED_BYTES - _STORED_HEADER_BYTES - 2 :]
    # A stored block has its length twice, the second time inverted.
    number = int.from_bytes(tail, "little")
    turned = (number ^ number >> 16).to_bytes(len(tail), "little")
    start = len(tail)
    while (start := turned.rfind(b"\xff\xff", 0, start)) >= 0:
        size = len(tail) - start - _STORED_HEADER_BYTES
        if int.from_bytes(tail[start : start + 2], "little") == size:
            # BTYPE and the padding are zeros; BFINAL, the bit before them, is one.
            lead = int.from_bytes(tail[max(0, start - 2) : start], "little")
            behind = 8 * min(2, start) - lead.bit_length() + 1
            if lead and _STORED_LEAD_BITS <= behind <= _STORED_MOST_LEAD_BITS:
                return 8 * (len(data) - len(tail) + start) - behind
        start += 1
    return None


def _coded_endings(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Yield ``start`` with each possible end, if a dynamic block's header is at ``start``."""
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
    """Return an integer with a one at each bit where the last block's header may begin.

    Args:
        data: a stream.
        start: the first byte to search.
        size: the number of bytes to search.
    """
    window = int.from_bytes(data[start : start + size + _HEADER_BYTES], "little")
    here = (1 << 8 * size) - 1

    def bit(index: int) -> int:
        """Return, for each position, the bit ``index`` bits later."""
        return window >> index & here

    # BFINAL is 1, BTYPE is 2, and HLIT and HDIST are in range.
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
    """Return a one at each position where the number in columns ``bits`` is at least ``value``."""
    result = ones
    for index, column in enumerate(bits):
        result = result & column if value >> index & 1 else result | column
    return result


def _add_share(columns: list[list[int]], low: int, middle: int, high: int) -> None:
    """Add the share of a code of that length: 64 for one bit, 1 for seven, 0 for no code."""
    both = middle & high
    only_high, only_middle = high ^ both, middle ^ both
    seven, five, three = low & both, low & only_high, low & only_middle
    one = low ^ seven ^ five ^ three
    shares = (seven, both ^ seven, five, only_high ^ five, three, only_middle ^ three, one)
    for column, share in zip(columns, shares, strict=False):
        column.append(share)


def _sum(columns: list[list[int]]) -> Iterator[int]:
    """Yield the bits of the sum of all ``columns``, lowest first."""
    for column, carries in zip(columns, [*columns[1:], []], strict=True):
        while len(column) > 1:
            first, second = column.pop(), column.pop()
            third = column.pop() if column else 0
            either = first ^ second
            column.insert(0, either ^ third)
            carries.append(first & second | either & third)
        yield column[0] if column else 0
