"""Compute the order of kmod's hash tables, which is the order of lines in its files.

Source: shared/hash.c of kmod; Paul Hsieh's SuperFastHash
(http://www.azillionmonkeys.com/qed/hash.html).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_WORD = 0xFFFFFFFF


def kmod_hash(key: bytes) -> int:
    """Return the hash of ``key`` in kmod's tables, on a little-endian machine.

    Characters are signed, as on x86.
    """
    rest = len(key) & 3
    value = len(key)
    halves = struct.unpack_from(f"<{(len(key) - rest) // 2}H", key)
    for low, high in zip(halves[::2], halves[1::2], strict=True):
        value = (value + low) & _WORD
        value = ((value << 16) ^ (high << 11) ^ value) & _WORD
        value = (value + (value >> 11)) & _WORD
    tail = key[len(key) - rest :]
    if rest == 3:
        value = (value + tail[0] + (tail[1] << 8)) & _WORD
        value = (value ^ (value << 16)) & _WORD
        value = (value ^ (_signed(tail[2]) << 18)) & _WORD
        value = (value + (value >> 11)) & _WORD
    elif rest == 2:
        value = (value + tail[0] + (tail[1] << 8)) & _WORD
        value = (value ^ (value << 11)) & _WORD
        value = (value + (value >> 17)) & _WORD
    elif rest == 1:
        value = (value + _signed(tail[0])) & _WORD
        value = (value ^ (value << 10)) & _WORD
        value = (value + (value >> 1)) & _WORD
    value = (value ^ (value << 3)) & _WORD
    value = (value + (value >> 5)) & _WORD
    value = (value ^ (value << 4)) & _WORD
    value = (value + (value >> 17)) & _WORD
    value = (value ^ (value << 25)) & _WORD
    return (value + (value >> 6)) & _WORD


def in_table_order(keys: Iterable[bytes], buckets: int) -> list[bytes]:
    """Return ``keys`` in the order of kmod's hash table: by bucket, sorted within each.

    Args:
        keys: unique keys.
        buckets: the number of buckets of the table, a power of two.
    """
    mask = buckets - 1
    return [key for _bucket, key in sorted((kmod_hash(key) & mask, key) for key in keys)]


def _signed(byte: int) -> int:
    return byte - 256 if byte >= 128 else byte
