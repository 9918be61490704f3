"""Write deflate streams bit by bit, including streams that no encoder produces.

Source: RFC 1951.
"""

from __future__ import annotations

from collections.abc import Mapping

# The order of the code length codes (3.2.7).
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)

LITERALS, DISTANCES = 286, 30


class Bits:
    """A stream under construction."""

    def __init__(self) -> None:
        self._bits: list[int] = []

    def put(self, value: int, count: int) -> Bits:
        self._bits += [value >> place & 1 for place in range(count)]
        return self

    def code(self, bits: str) -> Bits:
        """Append a Huffman code, highest bit first."""
        self._bits += map(int, bits)
        return self

    def align(self) -> Bits:
        """Pad to the next byte boundary."""
        self._bits += [0] * (-len(self._bits) % 8)
        return self

    def done(self) -> bytes:
        bits = self._bits + [0] * (-len(self._bits) % 8)
        value = sum(bit << place for place, bit in enumerate(bits))
        return value.to_bytes(len(bits) // 8, "little")


def codes(lengths: Mapping[int, int]) -> dict[int, str]:
    """Return the Huffman code of each symbol; the code may be invalid (3.2.2)."""
    made: dict[int, str] = {}
    code = 0
    for bits in range(1, 16):
        for symbol in sorted(symbol for symbol in lengths if lengths[symbol] == bits):
            made[symbol] = f"{code:0{bits}b}"[-bits:]
            code += 1
        code <<= 1
    return made


# A code of four bits for each length, and one for runs of zeros.
_FOUR_BITS = {**dict.fromkeys(range(1, 16), 4), 18: 4}


def put_codes(
    bits: Bits, literals: Mapping[int, int], distances: Mapping[int, int], *, is_last: bool
) -> Bits:
    """Append the header of a dynamic block, with the length in bits of each symbol's code.

    Symbols without a code must come in runs of eleven or more.
    """
    bits.put(is_last, 1).put(2, 2)
    bits.put(LITERALS - 257, 5).put(DISTANCES - 1, 5).put(len(_ORDER) - 4, 4)
    for symbol in _ORDER:
        bits.put(_FOUR_BITS.get(symbol, 0), 3)
    words = codes(_FOUR_BITS)
    wanted = [literals.get(symbol, 0) for symbol in range(LITERALS)]
    wanted += [distances.get(symbol, 0) for symbol in range(DISTANCES)]
    here = 0
    while here < len(wanted):
        if wanted[here]:
            bits.code(words[wanted[here]])
            here += 1
            continue
        count = 0
        while count < 138 and here + count < len(wanted) and not wanted[here + count]:
            count += 1
        assert count >= 11
        bits.code(words[18]).put(count - 11, 7)
        here += count
    return bits
