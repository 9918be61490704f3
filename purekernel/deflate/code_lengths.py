"""Read what a deflate block says of its own codes: how many bits the code of each symbol has.

Source: RFC 1951, 3.2.2 and 3.2.7; what is refused is what inflate() of zlib refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from purekernel.errors import FormatError
from purekernel.tree import Buffer

END_OF_BLOCK = 256
MAX_LITERALS, MAX_DISTANCES = 286, 30
MAX_CODE_BITS = 15

# The order in which the lengths of the codes for lengths stand.
_LENGTH_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_MOST_LENGTH_CODE_BITS = 7

# What repeats, from how often on and how many bits say how much more often; the first the length
# before it, the others none.
_REPEATS = {16: (3, 2), 17: (3, 3), 18: (11, 7)}

# No block says it in more bits: 14 and nineteen times three, then 316 codes of fourteen.
_MOST_BYTES = (14 + 19 * 3 + (MAX_LITERALS + MAX_DISTANCES) * 14 + 7 + 7) // 8


class CodeLengths(NamedTuple):
    """The codes of a block, each by how many bits it has; 0 is no code.

    Attributes:
        literals: those for literals, the block's end and lengths.
        distances: those for distances.
        end: the first bit behind what says so.
    """

    literals: list[int]
    distances: list[int]
    end: int


def read_code_lengths(data: Buffer, start: int, *, source: str) -> CodeLengths:
    """Return the codes that a block brings.

    Args:
        data: a raw deflate stream.
        start: the first bit behind the block's kind.
        source: for messages.

    Raises:
        FormatError: they are no valid codes, or the data end early.
    """
    return _Reader(data, start, source).read()


def codes(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return symbol, bits and code, with the first bit lowest, of each symbol that has one."""
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


class _Reader:
    def __init__(self, data: Buffer, start: int, source: str) -> None:
        self._source = source
        self._data_bytes = len(data)
        self._start = start
        first, skipped = divmod(start, 8)
        window = data[first : first + _MOST_BYTES]
        # What lies behind the data shows as zeros; whoever reads them is told at the end.
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
        """Return ``count`` lengths, the first of which are those for ``literals``.

        Args:
            length_bits: how many bits the codes for lengths have.
            literals: of how many codes the lengths come first.
            count: how many lengths there are.
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
                        # What is no block shows it soon; not all of its lengths are read.
                        room -= 1 << MAX_CODE_BITS - symbol
                        if room < 0 and len(found) <= literals:
                            raise self._fault("codes for literals that fit", "too many short ones")
                    continue
                least, more = _REPEATS[symbol]
                again = 0
                if symbol == _LENGTH_ORDER[0]:
                    if not found:
                        raise self._fault("a length before one that is repeated", "none")
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
        """Refuse codes that leave room or have none, as zlib does.

        A single code of one bit is let pass, and so are no codes at all, where ``single`` says so.
        """
        room = 1 << MAX_CODE_BITS
        for bits in lengths:
            if bits:
                room -= 1 << MAX_CODE_BITS - bits
        if room < 0:
            raise self._fault(f"codes for {named} that fit", "too many short ones")
        if room > 0 and not (single and max(lengths) <= 1):
            raise self._fault(f"codes for {named} that leave no room", "too few")

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
