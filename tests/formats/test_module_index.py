from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, PurekernelError, UnrepresentableError
from purekernel.formats.module_index import IndexValue, build_index, parse_index
from purekernel.input import Input

HEADER = bytes.fromhex("b007f457 00020001")


def parse(data: bytes) -> list[IndexValue]:
    return parse_index(Input(data, name="x.bin"))


def test_empty_index_has_only_a_root() -> None:
    assert build_index([]) == HEADER + struct.pack(">I", 12)
    assert parse(build_index([])) == []


def test_index_with_root_last_has_the_expected_bytes() -> None:
    data = build_index(
        [IndexValue(b"ab", b"one", 1), IndexValue(b"abcd", b"two", 2), IndexValue(b"b", b"", 3)]
    )
    deep = b"d\0" + struct.pack(">II", 1, 2) + b"two\0"
    ab = b"b\0" + b"cc" + struct.pack(">I", 0xC000000C) + struct.pack(">II", 1, 1) + b"one\0"
    b = struct.pack(">II", 1, 3) + b"\0"
    ab_at = 12 + len(deep)
    b_at = ab_at + len(ab)
    root = b"ab" + struct.pack(">II", 0xE0000000 | ab_at, 0x40000000 | b_at)
    assert data == HEADER + struct.pack(">I", 0x20000000 | b_at + len(b)) + deep + ab + b + root


def test_index_with_root_first_has_the_expected_bytes() -> None:
    data = build_index(
        [IndexValue(b"ab", b"one", 1), IndexValue(b"abcd", b"two", 2), IndexValue(b"b", b"", 3)],
        root_first=True,
    )
    ab_at = 12 + 2 + 2 * 4
    ab = b"b\0" + b"cc" + struct.pack(">III", 0xC0000000 | ab_at + 20, 1, 1) + b"one\0"
    deep = b"d\0" + struct.pack(">II", 1, 2) + b"two\0"
    assert len(ab) == 20
    b_at = ab_at + len(ab) + len(deep)
    root = b"ab" + struct.pack(">II", 0xE0000000 | ab_at, 0x40000000 | b_at)
    b = struct.pack(">II", 1, 3) + b"\0"
    assert data == HEADER + struct.pack(">I", 0x2000000C) + root + ab + deep + b


def test_values_of_one_key_are_sorted_by_priority() -> None:
    entries = [
        IndexValue(b"k", b"late", 7),
        IndexValue(b"k", b"first of two", 3),
        IndexValue(b"k", b"second of two", 3),
        IndexValue(b"k", b"late", 7),
    ]
    assert [entry.value for entry in parse(build_index(entries))] == [
        b"second of two",
        b"first of two",
        b"late",
        b"late",
    ]


def test_empty_key_is_kept() -> None:
    entries = [IndexValue(b"", b"root", 0), IndexValue(b"a", b"", 0)]
    assert parse(build_index(entries)) == entries


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            IndexValue("ä".encode(), b"", 0),
            "a module index cannot hold the key 'ä': it must be ASCII without NUL",
        ),
        (
            IndexValue(b"a\0b", b"", 0),
            "a module index cannot hold the key 'a\\x00b': it must be ASCII without NUL",
        ),
        (
            IndexValue(b"a", b"b\0", 0),
            "a module index cannot hold the value 'b\\x00': it has a NUL",
        ),
    ],
)
def test_unrepresentable_entry_is_refused(entry: IndexValue, message: str) -> None:
    with pytest.raises(UnrepresentableError) as raised:
        build_index([entry])
    assert str(raised.value) == message


ENTRIES = st.lists(
    st.builds(
        IndexValue,
        st.text("ab-_\x01\x7f", max_size=6).map(str.encode),
        st.binary(max_size=3).map(lambda value: value.replace(b"\0", b"")),
        st.integers(0, 3),
    ),
    max_size=40,
)


@pytest.mark.slow
@given(ENTRIES, st.booleans())
def test_built_index_parses_to_its_entries(entries: list[IndexValue], root_first: bool) -> None:
    found = parse(build_index(entries, root_first=root_first))
    latest_first = entries[::-1]
    assert found == sorted(latest_first, key=lambda entry: (entry.key, entry.priority))
    # Building reverses the order among equal entries.
    assert build_index(found[::-1]) == build_index(entries)


@pytest.mark.parametrize("root_first", [False, True])
def test_many_nested_keys_do_not_exceed_the_recursion_limit(root_first: bool) -> None:
    entries = [IndexValue(b"a" * length, b"", 0) for length in range(1400)]
    assert parse(build_index(entries, root_first=root_first)) == entries


GOOD = build_index([IndexValue(b"ab", b"one", 1), IndexValue(b"ac", b"two", 2)])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD[:11], "x.bin, byte 11: expected a header of 12 bytes, got the end of the file"),
        (b"\0" + GOOD[1:], "x.bin, byte 0: expected the magic 0xb007f457, got 0x0007f457"),
        (GOOD[:5] + b"\1" + GOOD[6:], "x.bin, byte 4: expected version 2, got 1"),
        (
            GOOD[:8] + b"\x20\xff\0\0",
            "x.bin, byte 16711680: expected a range of characters, got the end of the file",
        ),
        (
            HEADER + b"\x20\0\0\x0caa\x20\0\0\x0c",
            "x.bin, byte 14: expected the offset of a node after this one, got 0x2000000c",
        ),
        (
            HEADER + b"\x20\0\0\x0d\0aa\x20\0\0\x0d",
            "x.bin, byte 15: expected the offset of a node before this one, got 0x2000000d",
        ),
        (
            HEADER + b"\x40\0\0\x0c\xff\xff\xff\xff" + b"\0\0\0\0\0" * 3,
            "x.bin, byte 31: expected a number of 32 bits, got the end of the file",
        ),
        (
            HEADER + b"\x80\0\0\x0cab",
            "x.bin, byte 12: expected a string that ends in a NUL, got the end of the file",
        ),
        (
            HEADER + b"\x80\0\0\x0c" + b"a" * 4097 + b"\0",
            "x.bin, byte 4110: expected keys of at most 4096 bytes, got a longer one",
        ),
    ],
)
def test_damaged_index_raises_format_error_with_offset(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as raised:
        parse(data)
    assert str(raised.value) == message


@pytest.mark.slow
def test_exponentially_shared_nodes_are_refused() -> None:
    # Each node refers to the one before it twice, which makes two to the power of fifty leaves.
    data = bytearray(HEADER + bytes(4))
    node = 0x40000000 | len(data)
    data += struct.pack(">II", 1, 0) + b"x\0"
    for _ in range(50):
        here = len(data)
        data += b"ab" + struct.pack(">II", node, node)
        node = 0x20000000 | here
    struct.pack_into(">I", data, 8, node)
    with pytest.raises(FormatError, match="keys and values of at most 64 times the file's size"):
        parse(bytes(data))


@pytest.mark.slow
@pytest.mark.parametrize("root_first", [False, True])
def test_random_damage_raises_only_our_errors(root_first: bool) -> None:
    chance = random.Random(4)
    names = [f"pci:v{number:04x}{'x' * (number % 7)}".encode() for number in range(60)]
    good = build_index((IndexValue(name, b"module", 1) for name in names), root_first=root_first)
    parsed = 0
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            parse(bytes(data))
        except PurekernelError:
            continue
        parsed += 1
    assert 100 < parsed < 2000
