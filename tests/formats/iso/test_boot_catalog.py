from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError
from purekernel.formats.iso.boot import EFI, BootEntry
from purekernel.formats.iso.boot_catalog import MAX_ENTRIES, build_catalog, parse_catalog
from purekernel.input import Input

ENTRIES = st.builds(
    BootEntry,
    platform=st.integers(0, 255),
    is_bootable=st.booleans(),
    media=st.integers(0, 255),
    load_segment=st.integers(0, 0xFFFF),
    system_type=st.integers(0, 255),
    # An entry of zeros is the end of a catalog.
    load_sectors=st.integers(1, 0xFFFF),
    selection=st.binary(min_size=20, max_size=20),
    extensions=st.integers(0, 3).map(lambda count: (b"\x44".ljust(32, b"x")) * count),
    section_name=st.binary(max_size=24).map(lambda name: name.rstrip(b"\0")),
    starts_section=st.just(True),
)


def parse(catalog: bytes) -> list[BootEntry]:
    return [found.entry for found in parse_catalog(Input(catalog, name="x"), 0)]


@given(st.lists(ENTRIES, min_size=1, max_size=70))
def test_any_catalog_round_trips(entries: list[BootEntry]) -> None:
    images = [(number + 7, 2048) for number, _entry in enumerate(entries)]
    catalog = build_catalog(entries, images)
    assert len(catalog) % 2048 == 0
    found = parse_catalog(Input(catalog, name="x"), 0)
    assert [each.entry for each in found] == entries
    assert [each.sector for each in found] == [sector for sector, _size in images]


def test_entries_of_one_section_share_its_header() -> None:
    entries = [
        BootEntry(),
        BootEntry(platform=EFI, section_name=b"first"),
        BootEntry(platform=EFI, starts_section=False),
        BootEntry(platform=1),
    ]
    catalog = build_catalog(entries, [(1, 1)] * 4)
    assert parse(catalog) == entries
    assert [catalog[at] for at in range(64, 224, 32)] == [0x90, 0x88, 0x88, 0x91, 0x88]
    assert catalog[66] == 2


def test_entry_without_header_stays_without_one() -> None:
    entries = [BootEntry(), BootEntry(starts_section=False, load_sectors=9)]
    assert parse(build_catalog(entries, [(1, 1)] * 2)) == entries


def test_size_of_an_image_that_an_entry_follows_is_written() -> None:
    entry = BootEntry(platform=EFI, load_unit=4)
    assert entry.sectors_for(2049) == 8
    assert evolve(entry, load_unit=1).sectors_for(2049) == 5
    assert entry.sectors_for(65535 * 512 + 1) == 0


@pytest.mark.parametrize(
    ("catalog", "message"),
    [
        (b"", "x, byte 0: expected an entry of a boot catalog, got the end of the file"),
        (bytes(2048), "x, byte 0: expected a validation entry of El Torito"),
        (
            b"\1" + bytes(29) + b"\x55\xaa" + bytes(2016),
            "x, byte 0: expected a validation entry whose words add up to 0, got 0xaa56",
        ),
        (
            build_catalog([BootEntry()], [(1, 1)])[:64] + b"\x77" * 1984,
            "x, byte 64: expected an entry of a boot catalog, got 77 77",
        ),
    ],
)
def test_damaged_catalog_is_refused(catalog: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(catalog)
    assert str(caught.value).startswith(message)


def test_catalog_without_end_is_refused() -> None:
    entries = [BootEntry()] * (MAX_ENTRIES + 2)
    with pytest.raises(LimitError, match="at most 256 boot entries"):
        parse(build_catalog(entries, [(1, 1)] * len(entries)))
