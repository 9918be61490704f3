from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import CombinedError, FormatError, PurekernelError, UsageError
from purekernel.formats.partitions import (
    EFI_SYSTEM,
    GPT_BASIC_DATA,
    GPT_EFI_SYSTEM,
    GPT_READ_ONLY,
    GPT_SECTORS,
    PROTECTIVE,
    SECTOR_BYTES,
    Gpt,
    GptPartition,
    Mbr,
    MbrPartition,
    build_gpt,
    build_mbr,
    make_disk_id,
    make_gpt,
    make_id,
    parse_gpt,
    parse_mbr,
    parse_partitions,
    protect,
)
from purekernel.input import Buffer, Input, Limits
from tests.oracles import require, run

SECTORS = 4096
BOOT = MbrPartition(number=1, kind=EFI_SYSTEM, first=64, sectors=1000, is_active=True)
DATA = MbrPartition(number=3, kind=0x83, first=1064, sectors=SECTORS - 1064)
MBR = Mbr(partitions=(BOOT, DATA), disk_id=0x12345678, code=b"\xeb\xfe".ljust(440, b"\0"))
GPT = make_gpt(
    make_id(b"content", "disk"),
    [
        GptPartition(
            number=1, kind=GPT_EFI_SYSTEM, id=make_id(b"content", "1"), first=64, sectors=1000,
            name="EFI",
        ),
        GptPartition(
            number=2, kind=GPT_BASIC_DATA, id=make_id(b"content", "2"), first=2048, sectors=1024,
            name="tcé 💾", attributes=GPT_READ_ONLY,
        ),
    ],
    sectors=SECTORS,
)  # fmt: skip


def disk_of(mbr: bytes, gpt: tuple[bytes, bytes] = (b"", b""), sectors: int = SECTORS) -> bytearray:
    image = bytearray(sectors * SECTOR_BYTES)
    image[: len(mbr) + len(gpt[0])] = mbr + gpt[0]
    image[len(image) - len(gpt[1]) :] = gpt[1]
    return image


def gpt_disk(gpt: Gpt = GPT) -> bytearray:
    mbr = build_mbr(Mbr(partitions=(protect(gpt.sectors),)), sectors=gpt.sectors)
    return disk_of(mbr, build_gpt(gpt), gpt.sectors)


def disk(image: Buffer, *, notes: list[str] | None = None) -> Input:
    limits = Limits() if notes is None else Limits(report=notes.append)
    return Input(image, name="disk.img", limits=limits)


def test_mbr_is_read_as_it_was_built() -> None:
    table = parse_partitions(disk(disk_of(build_mbr(MBR, sectors=SECTORS))))
    assert table.mbr == MBR
    assert table.gpt is None
    assert table.partitions == (BOOT, DATA)


def test_gpt_is_read_as_it_was_built() -> None:
    notes: list[str] = []
    table = parse_partitions(disk(gpt_disk(), notes=notes))
    assert table.gpt == GPT
    assert table.partitions == GPT.partitions
    assert table.mbr.partitions == (protect(SECTORS),)
    assert notes == []


def test_gpt_that_no_mbr_refers_to_does_not_count() -> None:
    image = disk_of(build_mbr(MBR, sectors=SECTORS), build_gpt(GPT))
    assert parse_partitions(disk(image)).partitions == MBR.partitions


def test_disk_larger_than_an_mbr_can_say_is_protected_to_its_limit() -> None:
    assert protect(1 << 33).sectors == 0xFFFFFFFF


@pytest.mark.parametrize("copy", ["primary", "backup"])
@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_gpt_with_one_intact_copy_is_read_with_a_note(copy: str, fault: str) -> None:
    image = gpt_disk()
    sector = 1 if copy == "primary" else SECTORS - 1
    at = sector * SECTOR_BYTES + (0 if fault == "missing" else 40)
    image[at] ^= 1
    notes: list[str] = []
    assert parse_gpt(disk(image, notes=notes)) == GPT
    assert len(notes) == 1
    assert fault in notes[0]
    assert f"sector {sector}" in notes[0]


def test_gpt_with_damaged_entries_is_read_from_its_backup() -> None:
    image = gpt_disk()
    image[2 * SECTOR_BYTES + 32] ^= 1
    notes: list[str] = []
    assert parse_gpt(disk(image, notes=notes)) == GPT
    assert notes == [
        (
            "disk.img: the GPT in sector 1 is damaged "
            "(must have entries with the checksum of the header, got others); its backup is used"
        )
    ]


def test_backup_of_another_gpt_is_noted() -> None:
    other = evolve(GPT, disk_id=make_id(b"other", "disk"))
    image = gpt_disk()
    image[-GPT_SECTORS * SECTOR_BYTES :] = build_gpt(other)[1]
    notes: list[str] = []
    assert parse_gpt(disk(image, notes=notes)) == GPT
    assert notes == ["disk.img: the backup of the GPT in sector 4095 is different"]


def test_gpt_without_an_intact_copy_is_refused() -> None:
    image = gpt_disk()
    image[SECTOR_BYTES + 40] ^= 1
    image[-SECTOR_BYTES + 40] ^= 1
    with pytest.raises(FormatError, match="byte 528: expected a header with its own checksum"):
        parse_gpt(disk(image))


@pytest.mark.parametrize(
    ("offset", "value", "expected"),
    [
        (8, struct.pack("<I", 0x20000), "the header of a GPT 1.0"),
        (12, struct.pack("<I", 1024), "the header of a GPT 1.0"),
        (80, struct.pack("<I", 100_000), "at most 4096 entries"),
        (84, struct.pack("<I", 64), "entries of 128 bytes or more"),
        (72, struct.pack("<Q", 1 << 63), "entries with the checksum"),
    ],
)
def test_header_with_impossible_values_is_refused(offset: int, value: bytes, expected: str) -> None:
    image = gpt_disk()
    for at in (SECTOR_BYTES, len(image) - SECTOR_BYTES):
        image[at + offset : at + offset + len(value)] = value
        fix_header(image, at)
    with pytest.raises(FormatError, match=expected):
        parse_gpt(disk(image))


def fix_header(image: bytearray, at: int) -> None:
    """Repair the checksum of the GPT header at an offset."""
    image[at + 16 : at + 20] = bytes(4)
    struct.pack_into("<I", image, at + 16, zlib.crc32(image[at : at + 92]))


def test_first_sector_without_a_signature_is_no_mbr() -> None:
    with pytest.raises(FormatError, match="byte 510: expected the signature 55 AA"):
        parse_mbr(disk(bytes(1024)))


def test_empty_file_is_no_disk() -> None:
    with pytest.raises(FormatError, match="got end"):
        parse_partitions(disk(b""))


def test_entry_with_an_unknown_status_is_refused() -> None:
    image = disk_of(build_mbr(MBR, sectors=SECTORS))
    image[446] = 0x12
    with pytest.raises(FormatError, match="byte 446: expected a partition with status 0 or 0x80"):
        parse_mbr(disk(image))


def with_entry(image: bytearray, sector: int, index: int, entry: tuple[int, int, int]) -> None:
    """Put an entry of type, first sector and size into the MBR, or into a logical record."""
    at = sector * SECTOR_BYTES
    struct.pack_into("<4xB3xII", image, at + 446 + 16 * index, *entry)
    image[at + 510 : at + 512] = b"\x55\xaa"


def chain(*, next_first: int = 512) -> bytearray:
    """Return a disk with an extended partition from sector 1024, and two logical ones in it."""
    image = bytearray(SECTORS * SECTOR_BYTES)
    with_entry(image, 0, 0, (0x83, 64, 900))
    with_entry(image, 0, 3, (0x05, 1024, 2048))
    with_entry(image, 1024, 0, (0x83, 8, 400))
    with_entry(image, 1024, 1, (0x05, next_first, 500))
    with_entry(image, 1024 + 512, 0, (0x0C, 16, 300))
    return image


def test_logical_partitions_are_numbered_from_five() -> None:
    table = parse_partitions(disk(chain()))
    assert [(each.number, each.kind, each.first, each.sectors) for each in table.partitions] == [
        (1, 0x83, 64, 900),
        (4, 0x05, 1024, 2048),
        (5, 0x83, 1032, 400),
        (6, 0x0C, 1552, 300),
    ]


def test_logical_partitions_in_a_loop_are_refused() -> None:
    with pytest.raises(FormatError, match="at most 251 logical partitions"):
        parse_mbr(disk(chain(next_first=0)))


def test_logical_partition_outside_the_extended_one_is_refused() -> None:
    image = chain()
    with_entry(image, 1024 + 512, 0, (0x0C, 16, 2000))
    with pytest.raises(FormatError, match="inside the extended one, got partition 6 in sectors"):
        parse_partitions(disk(image))


def test_overlap_and_end_after_the_disk_are_reported_together() -> None:
    image = disk_of(build_mbr(MBR, sectors=SECTORS))
    with_entry(image, 0, 1, (0x83, 100, 10))
    with_entry(image, 0, 2, (0x83, 2000, SECTORS))
    with pytest.raises(CombinedError) as caught:
        parse_partitions(disk(image))
    overlap, outside = map(str, caught.value.errors)
    assert overlap == (
        "disk.img: expected partitions that do not overlap, got partition 1 in sectors 64 to 1063 "
        "and partition 2 in sectors 100 to 109"
    )
    assert outside == (
        "disk.img: expected partitions in the sectors 0 to 4095, got partition 3 in sectors 2000 "
        "to 6095"
    )
    assert len(parse_mbr(disk(image)).partitions) == 3  # as it says


def test_overlap_with_a_long_partition_further_up_is_found() -> None:
    image = disk_of(build_mbr(Mbr(), sectors=SECTORS))
    with_entry(image, 0, 0, (0x83, 64, 3000))
    with_entry(image, 0, 1, (0x83, 100, 10))
    with_entry(image, 0, 2, (0x83, 200, 10))
    with pytest.raises(CombinedError) as caught:
        parse_partitions(disk(image))
    assert len(caught.value.errors) == 2


@pytest.mark.parametrize(
    ("partition", "expected"),
    [
        (evolve(DATA, first=1000), "partitions that do not overlap"),
        (evolve(DATA, sectors=SECTORS), "partitions in the sectors 0 to 4095"),
        (evolve(DATA, number=1), "numbers of partitions from 1 to 4, each once"),
        (evolve(DATA, number=5), "numbers of partitions from 1 to 4, each once"),
    ],
)
def test_impossible_mbr_is_not_built(partition: MbrPartition, expected: str) -> None:
    with pytest.raises(PurekernelError) as caught:
        build_mbr(evolve(MBR, partitions=(BOOT, partition)), sectors=SECTORS)
    assert expected in str(caught.value)
    assert caught.value.hint == "change the layout"


def test_mbr_with_too_much_code_is_not_built() -> None:
    with pytest.raises(UsageError, match="at most 440 bytes of boot code, got 441"):
        build_mbr(Mbr(code=bytes(441)), sectors=SECTORS)


def test_mbr_partition_beyond_32_bits_is_not_built() -> None:
    far = evolve(DATA, first=(1 << 32) - 1, sectors=2)
    with pytest.raises(UsageError, match="at most 4294967295 sectors"):
        build_mbr(Mbr(partitions=(far,)), sectors=1 << 33)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"first": 20}, "partitions in the sectors 34 to 4062"),
        ({"sectors": SECTORS}, "partitions in the sectors 34 to 4062"),
        ({"first": 2000}, "partitions that do not overlap"),
        ({"number": 200}, "numbers of partitions from 1 to 128"),
        ({"name": "x" * 37}, "names of at most 36 characters"),
    ],
)
def test_impossible_gpt_is_not_built(change: dict[str, Any], expected: str) -> None:
    first, second = GPT.partitions
    bad = evolve(GPT, partitions=(evolve(first, **change), second))
    with pytest.raises(PurekernelError) as caught:
        build_gpt(bad)
    assert expected in str(caught.value)


def test_gpt_without_room_for_its_backup_is_not_built() -> None:
    with pytest.raises(UsageError, match="33 sectors for a GPT at both ends"):
        build_gpt(make_gpt(GPT.disk_id, (), sectors=60))


def test_old_addresses_stop_at_the_last_cylinder() -> None:
    far = MbrPartition(number=1, kind=0x83, first=63, sectors=1 << 30)
    sector = build_mbr(Mbr(partitions=(far,)), sectors=1 << 31)
    assert sector[447:450] == bytes([1, 1, 0])  # cylinder 0, head 1, sector 1
    assert sector[451:454] == bytes([254, 0xC0 | 63, 0xFF])  # cylinder 1023


def test_ids_depend_on_content_and_purpose() -> None:
    assert make_id(b"a", "disk") == make_id(b"a", "disk")
    assert len({make_id(b"a", "disk"), make_id(b"a", "1"), make_id(b"b", "disk")}) == 3
    assert make_id(b"a", "disk").version == 8
    assert make_disk_id(b"a") == make_disk_id(b"a") != make_disk_id(b"b")


@st.composite
def layouts(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Return first sectors and sizes of up to four partitions that are apart, from sector 34."""
    points = draw(st.lists(st.integers(34, SECTORS - 34), max_size=8, unique=True))
    ordered = sorted(points)
    pairs = zip(ordered[::2], ordered[1::2], strict=False)
    return [(first, end - first) for first, end in pairs]


@given(layout=layouts(), active=st.booleans())
def test_any_layout_is_read_back(layout: list[tuple[int, int]], *, active: bool) -> None:
    mbr = Mbr(
        partitions=tuple(
            MbrPartition(number=at, kind=0x83, first=first, sectors=size, is_active=active)
            for at, (first, size) in enumerate(layout, 1)
        ),
        code=bytes(440),
    )
    gpt = make_gpt(
        UUID(int=1),
        [
            GptPartition(number=at, kind=GPT_BASIC_DATA, id=UUID(int=at), first=first, sectors=size)
            for at, (first, size) in enumerate(layout, 1)
        ],
        sectors=SECTORS,
    )
    table = parse_partitions(disk(disk_of(build_mbr(mbr, sectors=SECTORS), build_gpt(gpt))))
    assert table.mbr == mbr
    assert table.gpt == gpt


# Independent programs


@pytest.mark.oracle
def test_sfdisk_reads_an_mbr_as_it_was_meant(tmp_path: Path) -> None:
    sfdisk = require("sfdisk")
    image = tmp_path / "disk.img"
    image.write_bytes(disk_of(build_mbr(MBR, sectors=SECTORS)))
    dump = run(sfdisk, "-d", image).decode()
    assert "label: dos" in dump
    assert "label-id: 0x12345678" in dump
    assert re.search(r"img1 : start= +64, size= +1000, type=ef, bootable", dump)
    assert re.search(r"img3 : start= +1064, size= +3032, type=83\n", dump)
    assert b"No errors detected" in run(sfdisk, "--verify", image)


@pytest.mark.oracle
def test_gdisk_and_sfdisk_find_no_fault_in_a_gpt(tmp_path: Path) -> None:
    sfdisk, sgdisk = require("sfdisk"), require("sgdisk")
    image = tmp_path / "disk.img"
    image.write_bytes(gpt_disk())
    assert b"No problems found" in run(sgdisk, "-v", image)
    assert b"No errors detected" in run(sfdisk, "--verify", image)
    table = json.loads(run(sfdisk, "--json", image))["partitiontable"]
    assert UUID(table["id"]) == GPT.disk_id
    assert (table["firstlba"], table["lastlba"]) == (34, SECTORS - 34)
    assert [
        (UUID(each["type"]), UUID(each["uuid"]), each["start"], each["size"], each["name"])
        for each in table["partitions"]
    ] == [(each.kind, each.id, each.first, each.sectors, each.name) for each in GPT.partitions]
    assert table["partitions"][1]["attrs"] == "GUID:60"


SCRIPT = """label: {label}
label-id: {id}
start=64, size=1000, type={efi}, bootable
start=2048, size=512
{more}"""


@pytest.mark.oracle
def test_mbr_of_sfdisk_with_logical_partitions_is_read(tmp_path: Path) -> None:
    sfdisk = require("sfdisk")
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(8192 * SECTOR_BYTES))
    more = "start=4096, size=4096, type=5\nstart=4104, size=500\nstart=6000, size=600, type=c\n"
    script = SCRIPT.format(label="dos", id="0x12345678", efi="ef", more=more)
    run(sfdisk, image, stdin=script.encode())
    table = parse_partitions(disk(image.read_bytes()))
    assert table.mbr.disk_id == 0x12345678
    assert [
        (each.number, each.kind, each.first, each.sectors) for each in table.mbr.partitions
    ] == [
        (1, 0xEF, 64, 1000),
        (2, 0x83, 2048, 512),
        (3, 0x05, 4096, 4096),
        (5, 0x83, 4104, 500),
        (6, 0x0C, 6000, 600),
    ]
    assert [each.is_active for each in table.mbr.partitions] == [True, False, False, False, False]


@pytest.mark.oracle
def test_gpt_and_hybrid_mbr_of_gdisk_are_read(tmp_path: Path) -> None:
    sgdisk = require("sgdisk")
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(8192 * SECTOR_BYTES))
    guid = "11111111-2222-3333-4444-555555555555"
    run(
        sgdisk, "-a", "1", "-n", "1:2048:+1000", "-t", "1:EF00", "-c", "1:boot",
        "-n", "2:4096:+99", "-t", "2:8300", "-U", guid, "-u", f"1:{guid}", "-h", "1", image,
    )  # fmt: skip
    notes: list[str] = []
    table = parse_partitions(disk(image.read_bytes(), notes=notes))
    assert notes == []
    assert table.gpt is not None
    assert table.gpt.disk_id == UUID(guid)
    first, second = table.gpt.partitions
    assert (first.kind, first.id, first.name) == (GPT_EFI_SYSTEM, UUID(guid), "boot")
    assert (first.first, first.sectors) == (2048, 1000)
    assert (second.first, second.sectors) == (4096, 99)
    assert {each.kind for each in table.mbr.partitions} == {PROTECTIVE, EFI_SYSTEM}
    assert table.partitions == table.gpt.partitions
