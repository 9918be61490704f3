from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.formats.fat.names import (
    LongName,
    build_long_entries,
    checksum,
    count_long_entries,
    fault_of_name,
    fold,
    is_short,
    short_names,
)
from tests.formats.fat.trees import names


def shorts(*given_names: str) -> list[str]:
    made = short_names(given_names)
    return [made[name].decode() for name in given_names]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("GRUB.CFG", "GRUB    CFG"),
        ("grub.cfg", "GRUB    CFG"),
        ("README", "README     "),
        ("A.B", "A       B  "),
        ("Grub.config", "GRUB~1  CON"),
        ("long name.txt", "LONGNA~1TXT"),
        ("two.dots.txt", "TWODOT~1TXT"),
        (".hidden", "HIDDEN~1   "),
        ("a+b=c.txt", "A_B_C~1 TXT"),
        ("é", "_~1        "),
        ("x.é", "X~1     _  "),
        ("... a", "A~1        "),
        ("ABCDEFGHI", "ABCDEF~1   "),
        ("A.JPEG", "A~1     JPE"),
        ("~1", "~1         "),
    ],
)
def test_name_has_its_short_one(name: str, short: str) -> None:
    assert shorts(name) == [short]


def test_aliases_are_numbered_in_order() -> None:
    assert shorts("long name 1", "long name 2", "LONGNA~2", "longna~4", "long name 3") == [
        "LONGNA~1   ", "LONGNA~3   ", "LONGNA~2   ", "LONGNA~4   ", "LONGNA~5   ",
    ]  # fmt: skip
    made = shorts(*(f"a long name {number}" for number in range(120)))
    assert made[8:11] == ["ALONGN~9   ", "ALONG~10   ", "ALONG~11   "]
    assert made[98:101] == ["ALONG~99   ", "ALON~100   ", "ALON~101   "]


@given(st.lists(names().map(lambda raw: raw.decode("utf-8", "surrogatepass")), unique_by=fold))
def test_short_names_are_valid_unique_and_no_others_long_name(given_names: list[str]) -> None:
    made = short_names(given_names)
    assert len(set(made.values())) == len(given_names)
    allowed = set((string.ascii_uppercase + string.digits + "!#$%&'()@^_`{}~- ").encode())
    folded = {fold(name): name for name in given_names}
    for name, short in made.items():
        assert len(short) == 11
        assert set(short) <= allowed
        assert short[:1] != b" "
        base, extension = short[:8].decode().rstrip(), short[8:].decode().rstrip()
        text = f"{base}.{extension}" if extension else base
        assert folded.get(text, name) == name
        assert is_short(name, short) == (text == name)


@given(st.text(st.characters(exclude_characters="\0\uffff"), min_size=1, max_size=127))
def test_long_name_round_trips(name: str) -> None:
    short = b"ALIAS~1 TXT"
    data = build_long_entries(name, short)
    assert len(data) == 32 * count_long_entries(name)
    long_name = LongName()
    for start in range(0, len(data), 32):
        assert long_name.add(data[start : start + 32])
    assert long_name.take(short) == name
    assert not long_name


def test_parts_in_another_order_or_of_another_name_are_no_name() -> None:
    short = b"ALIAS~1 TXT"
    first, second, third = (
        build_long_entries("x" * 30, short)[start : start + 32] for start in (0, 32, 64)
    )
    for parts, is_right in (
        ([first, second, third], True),
        ([first, third], False),
        ([second, third], False),
        ([first, second], False),
        ([first, third, second], False),
        ([first, second, third, third], False),
    ):
        long_name = LongName()
        for part in parts:
            long_name.add(part)
        assert (long_name.take(short) == "x" * 30) is is_right
    long_name = LongName()
    for part in (first, second, third):
        long_name.add(part)
    assert long_name.take(b"OTHER~1 TXT") is None


def test_checksum_is_that_of_a_known_name() -> None:
    # As mtools writes it for "The quick brown.fox".
    assert checksum(b"THEQUI~1FOX") == 0x07


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a:b", "with a control character or one of"),
        ("a\x1f", "with a control character or one of"),
        ("a\uffff", "with a control character or one of"),
        ("a.", "that ends with a dot or a blank"),
        ("a ", "that ends with a dot or a blank"),
        ("x" * 256, "of more than 255 UTF-16 units"),
        ("😀" * 128, "of more than 255 UTF-16 units"),
        ("x" * 255, ""),
        ("😀" * 127, ""),
        (" .a;b[c]", ""),
    ],
)
def test_name_that_fat_cannot_hold_has_a_reason(name: str, fault: str) -> None:
    found = fault_of_name(name)
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [("Ä", "ä", True), ("ß", "SS", False), ("a", "A", True), ("é", "e", False)],
)
def test_case_is_ignored_letter_by_letter(one: str, other: str, is_same: bool) -> None:
    assert (fold(one) == fold(other)) is is_same
