"""Find the blocks of a deflate stream by walking through it.

Streams are joined bit by bit. That clears BFINAL in the last block of each stream but the last, so
the first bit of that block and the first bit after it must be known. Only reading every code finds
them. The decoded bytes are not needed.

Source: RFC 1951; streams are refused that inflate() of zlib refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from purekernel.errors import FormatError
from purekernel.records import frozen
from purekernel.tree import Buffer

STORED, FIXED, DYNAMIC = 0, 1, 2

# Extra bits and lowest value of the codes for lengths from 257 on, and for distances (3.2.5).
_LENGTHS = (
    (0, 3), (0, 4), (0, 5), (0, 6), (0, 7), (0, 8), (0, 9), (0, 10), (1, 11), (1, 13),
    (1, 15), (1, 17), (2, 19), (2, 23), (2, 27), (2, 31), (3, 35), (3, 43), (3, 51), (3, 59),
    (4, 67), (4, 83), (4, 99), (4, 115), (5, 131), (5, 163), (5, 195), (5, 227), (0, 258),
)  # fmt: skip

END_OF_BLOCK = 256
MAX_LITERALS, MAX_DISTANCES = 286, 30
MAX_CODE_BITS = 15

# The order of the code length codes (3.2.7).
_LENGTH_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_MOST_LENGTH_CODE_BITS = 7

# Code length symbols that repeat: the least count, and the number of bits with the rest of the
# count. 16 repeats the previous length; 17 and 18 repeat zero.
_REPEATS = {16: (3, 2), 17: (3, 3), 18: (11, 7)}

# The longest description of a block's codes: 14 bits, 19 times 3 bits, then 316 codes of at most 14
# bits.
_MOST_BYTES = (14 + 19 * 3 + (MAX_LITERALS + MAX_DISTANCES) * 14 + 7 + 7) // 8

_DISTANCES = tuple(
    (0, 1 + code) if code < 2 else ((code >> 1) - 1, 1 + ((2 + (code & 1)) << ((code >> 1) - 1)))
    for code in range(MAX_DISTANCES)
)

# A refill leaves at least this many bits: the longest symbol pair has 15 and 5 bits for a length,
# 15 and 13 for a distance.
_ENOUGH_BITS = 48
_REFILL_BYTES = 16

# The layout of a table entry. Bits 0 to 5: the number of bits used. Bits 6 and 7: the kind. From
# bit 8 on: for literals, their count; for a length, the number of extra bits (3 bits), then the
# lowest value. _LONG marks a code longer than the table's index, or an unused code. An entry of a
# distance has the number of extra bits in bits 6 to 9, then the lowest value, and no kind.
_USED, _KIND = 0x3F, 0xC0
_LITERALS, _LENGTH, _END, _LONG = 0x00, 0x40, 0x80, 0xC0

# The index width of the first table, in bits: a table with runs of literals is slow to build.
_SHORT_BITS = 10


class _Table(NamedTuple):
    """Two lookup tables, by the next few bits and by the length of the longest code, with masks."""

    short: list[int]
    short_mask: int
    full: list[int]
    full_mask: int


class Block(NamedTuple):
    """One block.

    Attributes:
        start: the first bit of its header, BFINAL.
        end: the first bit after it.
        kind: ``STORED``, ``FIXED`` or ``DYNAMIC``.
    """

    start: int
    end: int
    kind: int


@frozen(kw_only=True)
class Walk:
    """The blocks of a stream.

    Attributes:
        blocks: in order; only the last has BFINAL set.
        size_bytes: the inflated size.
    """

    blocks: tuple[Block, ...]
    size_bytes: int

    @property
    def end(self) -> int:
        """Return the first bit after the stream."""
        return self.blocks[-1].end


def walk(data: Buffer, *, source: str = "a deflate stream") -> Walk:
    """Return the positions of the blocks of the stream at the start of ``data``.

    Args:
        data: a raw deflate stream, perhaps with other data after it.
        source: the name of the data, for messages.

    Raises:
        FormatError: the stream is invalid or truncated.
    """
    return _Walker(bytes(data), source).walk()


# Read the code lengths of a dynamic block.
#
# Source: RFC 1951, 3.2.2 and 3.2.7; codes are refused that inflate() of zlib refuses.


class CodeLengths(NamedTuple):
    """The code lengths of a block, in bits, by symbol; 0 is no code.

    Attributes:
        literals: for literals, the end of the block and lengths.
        distances: for distances.
        end: the first bit after the description of the codes.
    """

    literals: list[int]
    distances: list[int]
    end: int


def read_code_lengths(data: Buffer, start: int, *, source: str) -> CodeLengths:
    """Return the code lengths of a dynamic block.

    Args:
        data: a raw deflate stream.
        start: the first bit after the block's BTYPE.
        source: the name of the data, for messages.

    Raises:
        FormatError: the codes are invalid, or the data is truncated.
    """
    return _BitReader(data, start, source).read()


def codes(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return the symbol, length in bits and code (first bit lowest) of each symbol with a code."""
    counts = [0] * (MAX_CODE_BITS + 1)
    for bits in lengths:
        counts[bits] += 1
    counts[0] = 0
    following = [0] * (MAX_CODE_BITS + 2)
    for bits in range(1, MAX_CODE_BITS + 1):
        following[bits + 1] = (following[bits] + counts[bits]) << 1
    found = []
    for symbol, bits in enumerate(lengths):
        if bits:
            code = following[bits]
            following[bits] += 1
            found.append((symbol, bits, int(f"{code:0{bits}b}"[::-1], 2)))
    return found


class _BitReader:
    def __init__(self, data: Buffer, start: int, source: str) -> None:
        self._source = source
        self._data_bytes = len(data)
        self._start = start
        first, skipped = divmod(start, 8)
        window = data[first : first + _MOST_BYTES]
        # Bits after the end of the data read as zeros; _check_end() detects their use.
        self._hold = int.from_bytes(window, "little") >> skipped
        self._bits = 8 * len(window) - skipped
        self._used = 0

    def read(self) -> CodeLengths:
        try:
            found = self._read()
        except FormatError:
            self._check_end()
            raise
        self._check_end()
        return found

    def _read(self) -> CodeLengths:
        literals, distances, lengths = self._take(5) + 257, self._take(5) + 1, self._take(4) + 4
        if literals > MAX_LITERALS or distances > MAX_DISTANCES:
            raise self._fault(
                f"at most {MAX_LITERALS} codes for literals and {MAX_DISTANCES} for distances",
                f"{literals} and {distances}",
            )
        length_bits = [0] * len(_LENGTH_ORDER)
        for symbol in _LENGTH_ORDER[:lengths]:
            length_bits[symbol] = self._take(3)
        self._check(length_bits, "lengths", single=False)
        code_bits = self._read_lengths(length_bits, literals, literals + distances)
        if not code_bits[END_OF_BLOCK]:
            raise self._fault("a code for the end of the block", "none")
        literal_bits, distance_bits = code_bits[:literals], code_bits[literals:]
        for named, given in (("literals", literal_bits), ("distances", distance_bits)):
            self._check(given, named, single=True)
        return CodeLengths(literal_bits, distance_bits, self._start + self._used)

    def _read_lengths(self, length_bits: list[int], literals: int, count: int) -> list[int]:
        """Return ``count`` code lengths, those of literals first.

        Args:
            length_bits: the lengths of the code length codes, in bits.
            literals: the number of codes for literals.
            count: the number of code lengths.
        """
        mask = (1 << _MOST_LENGTH_CODE_BITS) - 1
        table = [(0, 0)] * (mask + 1)
        for symbol, bits, code in codes(length_bits):
            table[code :: 1 << bits] = [(bits, symbol)] * (1 << _MOST_LENGTH_CODE_BITS - bits)
        found: list[int] = []
        hold, used = self._hold, self._used
        room = 1 << MAX_CODE_BITS
        try:
            while len(found) < count:
                bits, symbol = table[hold & mask]
                hold >>= bits
                used += bits
                if symbol <= MAX_CODE_BITS:
                    found.append(symbol)
                    if symbol:
                        # Fail early: most data that is not a block fails here.
                        room -= 1 << MAX_CODE_BITS - symbol
                        if room < 0 and len(found) <= literals:
                            raise self._fault("a valid code for literals", "an oversubscribed one")
                    continue
                least, more = _REPEATS[symbol]
                again = 0
                if symbol == _LENGTH_ORDER[0]:
                    if not found:
                        raise self._fault("a length before the first repeat", "none")
                    again = found[-1]
                found += [again] * (least + (hold & ((1 << more) - 1)))
                hold >>= more
                used += more
        finally:
            self._hold, self._used = hold, used
        if len(found) > count:
            raise self._fault("as many lengths as there are codes", "more")
        return found

    def _take(self, count: int) -> int:
        value = self._hold & ((1 << count) - 1)
        self._hold >>= count
        self._used += count
        return value

    def _check(self, lengths: Sequence[int], named: str, *, single: bool) -> None:
        """Refuse incomplete and oversubscribed codes, as zlib does.

        If ``single``, a single code of one bit is allowed, and so is the absence of codes.
        """
        room = 1 << MAX_CODE_BITS
        for bits in lengths:
            if bits:
                room -= 1 << MAX_CODE_BITS - bits
        if room < 0:
            raise self._fault(f"a valid code for {named}", "an oversubscribed one")
        if room > 0 and not (single and max(lengths) <= 1):
            raise self._fault(f"a complete code for {named}", "an incomplete one")

    def _check_end(self) -> None:
        if self._used > self._bits:
            raise FormatError(
                source=self._source,
                offset=self._data_bytes,
                expected="the rest of a deflate stream",
                got="the end of the data",
            )

    def _fault(self, expected: str, got: str) -> FormatError:
        return FormatError(
            source=self._source,
            offset=(self._start + self._used) // 8,
            expected=expected,
            got=got,
        )


class _Walker:
    """The state of a walk through one stream."""

    def __init__(self, data: bytes, source: str) -> None:
        self._data = data
        self._source = source
        # Bits that were read and not used: their value, next bit lowest, and their number.
        self._hold = 0
        self._bits = 0
        self._next = 0
        self._produced = 0

    def walk(self) -> Walk:
        blocks: list[Block] = []
        last = 0
        while not last:
            start = self._position
            last = self._take(1)
            kind = self._take(2)
            if kind == STORED:
                self._stored()
            elif kind == FIXED:
                self._coded(*_fixed_tables())
            elif kind == DYNAMIC:
                self._coded(*self._read_codes())
            else:
                raise self._fault("a block type from 0 to 2", "3")
            blocks.append(Block(start, self._position, kind))
        return Walk(blocks=tuple(blocks), size_bytes=self._produced)

    @property
    def _position(self) -> int:
        """The bit that is read next."""
        return 8 * self._next - self._bits

    def _take(self, count: int) -> int:
        self._fill(count)
        if self._bits < count:
            raise self._ended()
        value = self._hold & ((1 << count) - 1)
        self._hold >>= count
        self._bits -= count
        return value

    def _stored(self) -> None:
        self._take(self._bits & 7)
        size = self._take(16)
        if size != self._take(16) ^ 0xFFFF:
            raise self._fault("a stored block's length and its complement", "other bits")
        # First use up the whole bytes that were read ahead.
        ahead = min(self._bits // 8, size)
        self._take(8 * ahead)
        self._next += size - ahead
        if self._next > len(self._data):
            self._next = len(self._data)
            raise self._ended()
        self._produced += size

    def _read_codes(self) -> tuple[_Table, _Table]:
        found = read_code_lengths(self._data, self._position, source=self._source)
        self._next, skipped = divmod(found.end, 8)
        self._hold = self._bits = 0
        self._take(skipped)
        return _literal_table(found.literals), _distance_table(found.distances)

    def _fill(self, count: int) -> None:
        """Read ahead until ``count`` bits are available, or fewer at the end of the data."""
        while self._bits < count and self._next < len(self._data):
            self._hold |= self._data[self._next] << self._bits
            self._next += 1
            self._bits += 8

    def _coded(self, literals: _Table, distances: _Table) -> None:
        """Walk through symbols up to the end of the block."""
        data = self._data
        hold, bits, here, produced = self._hold, self._bits, self._next, self._produced
        short, short_mask, full, full_mask = literals
        _short, _mask, far, far_mask = distances
        try:
            while True:
                if bits < _ENOUGH_BITS:
                    chunk = data[here : here + _REFILL_BYTES]
                    hold |= int.from_bytes(chunk, "little") << bits
                    bits += 8 * len(chunk)
                    here += len(chunk)
                entry = short[hold & short_mask]
                if entry & _KIND == _LONG:
                    entry = full[hold & full_mask]
                used = entry & _USED
                hold >>= used
                bits -= used
                kind = entry & _KIND
                if kind == _LITERALS:
                    produced += entry >> 8
                    if bits < 0:
                        raise self._ended()
                    continue
                if kind != _LENGTH:
                    if kind == _LONG:
                        raise self._fault("a code for a literal or length", "an unused code")
                    if bits < 0:
                        raise self._ended()
                    return
                extra = entry >> 8 & 7
                length = (entry >> 11) + (hold & ((1 << extra) - 1))
                hold >>= extra
                entry = far[hold & far_mask]
                used = entry & _USED
                more = entry >> 6 & 15
                distance = (entry >> 10) + (hold >> used & ((1 << more) - 1))
                hold >>= used + more
                bits -= extra + used + more
                if bits < 0:
                    raise self._ended()
                if distance > produced or not entry:
                    raise self._fault(
                        f"a distance of at most {produced} bytes",
                        f"{distance}" if entry else "an unused code",
                    )
                produced += length
        finally:
            self._hold, self._bits, self._next, self._produced = hold, bits, here, produced

    def _ended(self) -> FormatError:
        return FormatError(
            source=self._source,
            offset=len(self._data),
            expected="the rest of a deflate stream",
            got="the end of the data",
        )

    def _fault(self, expected: str, got: str) -> FormatError:
        return FormatError(
            source=self._source, offset=self._position // 8, expected=expected, got=got
        )


def _literal_table(lengths: Sequence[int]) -> _Table:
    width = max(lengths)
    full = [_LONG] * (1 << width)
    for symbol, bits, code in codes(lengths):
        if symbol < END_OF_BLOCK:
            entry = bits | _LITERALS | 1 << 8
        elif symbol == END_OF_BLOCK:
            entry = bits | _END
        elif symbol >= MAX_LITERALS:
            continue  # part of the code, but must not occur
        else:
            extra, lowest = _LENGTHS[symbol - END_OF_BLOCK - 1]
            entry = bits | _LENGTH | extra << 8 | lowest << 11
        step = 1 << bits
        full[code::step] = [entry] * ((1 << width) >> bits)
    short_width = min(width, _SHORT_BITS)
    short = [_join_literals(full, index, short_width) for index in range(1 << short_width)]
    return _Table(short, len(short) - 1, full, len(full) - 1)


def _join_literals(full: list[int], index: int, width: int) -> int:
    """Return the entry for the next ``width`` bits, with all complete literals joined in one."""
    entry = full[index]
    used = entry & _USED
    if used > width:
        return _LONG
    if entry & _KIND != _LITERALS:
        return entry
    count = 1
    while True:
        following = full[index >> used]
        # A code that needs bits beyond ``width`` is not complete.
        if following & _KIND != _LITERALS or used + (following & _USED) > width:
            return used | _LITERALS | count << 8
        used += following & _USED
        count += 1


def _distance_table(lengths: Sequence[int]) -> _Table:
    width = max(lengths)
    full = [0] * (1 << width)
    for symbol, bits, code in codes(lengths):
        if symbol < MAX_DISTANCES:
            extra, lowest = _DISTANCES[symbol]
            full[code :: 1 << bits] = [bits | extra << 6 | lowest << 10] * ((1 << width) >> bits)
    return _Table(full, len(full) - 1, full, len(full) - 1)


@cache
def _fixed_tables() -> tuple[_Table, _Table]:
    """Return the tables of blocks with fixed codes (3.2.6)."""
    lengths = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8
    return _literal_table(lengths), _distance_table([5] * 32)
