"""The order of library names in the cache.

The loader looks a name up by halving, with this very comparison: in a cache that is sorted
otherwise it misses libraries that are there. Numbers in names count as numbers, so that
``libx.so.10`` comes behind ``libx.so.9``.

Source: ``_dl_cache_libcmp`` in glibc 2.36, elf/dl-cache.c.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NUMBER = re.compile(rb"([0-9]+)")

# The comparison adds digits up in a C int, and says nothing of what happens beyond it: on all
# of Linux's machines it wraps around.
_INT_VALUES = 1 << 32
_INT_MAX = (1 << 31) - 1

# A number is greater than any byte and than the end of the name.
_NUMBERS_FROM = 1 << 33
_END = 0

# Ten to the 32nd is a multiple of two to the 32nd: digits before the last 32 change nothing
# of a number that wraps around there.
_DIGITS_THAT_COUNT = 32


# Two libraries of one soname are compared, and then all are sorted, most with one name.
@lru_cache(maxsize=1024)
def library_name_key(name: bytes, *, signed_bytes: bool = True) -> tuple[int, ...]:
    """Return a key that sorts library names as the loader compares them.

    Args:
        name: without NUL.
        signed_bytes: whether the machine's ``char`` is signed, as on x86; others put bytes
            beyond ASCII last, not first.
    """
    key: list[int] = []
    for index, part in enumerate(_NUMBER.split(name)):
        if index % 2:
            key.append(_NUMBERS_FROM + _wrap(int(part[-_DIGITS_THAT_COUNT:])))
        elif signed_bytes and not part.isascii():
            key.extend(byte - 256 if byte > 127 else byte for byte in part)
        else:
            key.extend(part)
    key.append(_END)
    return tuple(key)


def compare_library_names(one: bytes, other: bytes, *, signed_bytes: bool = True) -> int:
    """Return -1, 0 or 1, as ``one`` is less than, equal to or greater than ``other``.

    Names that differ only in leading zeros of numbers are equal. Where two numbers are
    further apart than a C int holds, the comparison contradicts itself, as glibc's does.
    """
    keys = zip(
        library_name_key(one, signed_bytes=signed_bytes),
        library_name_key(other, signed_bytes=signed_bytes),
        strict=False,
    )
    for left, right in keys:
        if left != right:
            difference = left - right
            if left > _INT_MAX and right > _INT_MAX:
                difference = _wrap(difference)
            return 1 if difference > 0 else -1
    return 0


def _wrap(value: int) -> int:
    """Return ``value`` as it comes out of arithmetic with 32 bits."""
    return (value + _INT_MAX + 1) % _INT_VALUES - _INT_MAX - 1
