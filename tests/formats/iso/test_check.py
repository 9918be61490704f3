from __future__ import annotations

import pytest

from purekernel.errors import FormatError, LimitError
from purekernel.formats.iso import parse_iso
from purekernel.formats.iso.check import IsoSurvey, survey
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from tests.formats.iso import handmade
from tests.formats.iso.handmade import image, nm, px, record

ROOT = handmade.ROOT_EXTENT * 2048
VOLUME = 16 * 2048


def check(data: bytes, limits: Limits = DEFAULT_LIMITS) -> IsoSurvey:
    return survey(Input(memoryview(data), name="disk.iso", limits=limits))


def refusal(data: bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    with pytest.raises(FormatError) as caught:
        check(data, limits)
    return str(caught.value)


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


def test_valid_image_is_surveyed() -> None:
    result = check(image([record(b"A.;1")]))
    assert [raw[0] for raw in result.descriptors] == [1, 255, 0]
    assert result.extents == {ROOT: 2048, 20 * 2048: 10, 21 * 2048: 10}


def test_missing_volume_descriptors_are_refused() -> None:
    valid = image([])
    assert refusal(b"") == (
        "disk.iso, byte 32768: expected a volume descriptor, got the end of the file"
    )
    assert refusal(bytes(40_000)) == (
        "disk.iso, byte 32769: expected a volume descriptor (CD001), "
        r"got '\x00\x00\x00\x00\x00'"
    )
    assert refusal(patched(valid, VOLUME, b"\2")) == (
        "disk.iso, byte 32768: expected a primary volume descriptor, got no such descriptor"
    )
    endless = valid[:VOLUME] + valid[VOLUME : VOLUME + 2048] * 100
    assert refusal(endless) == (
        "disk.iso, byte 32768: expected at most 64 volume descriptors, got more"
    )


def test_truncated_image_is_refused() -> None:
    valid = image([])
    assert refusal(valid[:-1]) == (
        "disk.iso, byte 47103: expected 47104 bytes, as the volume descriptor states, "
        "got the end of the file"
    )


def test_number_that_differs_between_byte_orders_is_refused() -> None:
    assert refusal(patched(image([]), VOLUME + 80, b"\1")) == (
        "disk.iso, byte 32848: expected the same number in both byte orders, got 1 and 23"
    )
    assert refusal(patched(image([]), VOLUME + 128, handmade.both(100, "H"))) == (
        "disk.iso, byte 32896: expected blocks of 512, 1024 or 2048 bytes, got 100"
    )


def test_directory_record_that_exceeds_its_block_is_refused() -> None:
    valid = image([record(b"A.;1")])
    assert refusal(patched(valid, ROOT, b"\x05")) == (
        f"disk.iso, byte {ROOT}: expected a directory record of 34 to 2048 bytes, got 5"
    )
    assert refusal(patched(valid, ROOT + 32, b"\x40")) == (
        f"disk.iso, byte {ROOT + 32}: expected a name within its record, got 64 bytes"
    )


def test_file_outside_the_image_is_refused() -> None:
    data = image([record(b"A.;1", 30, 5000)])
    assert refusal(data) == (
        f"disk.iso, byte {ROOT + 68}: expected an extent within the image of {len(data)} bytes, "
        "got 5000 bytes at byte 61440"
    )
    check(image([record(b"EMPTY.;1", 9999, 0)]))


def test_interleaved_file_is_refused() -> None:
    interleaved = bytearray(record(b"A.;1"))
    interleaved[26] = 1
    assert refusal(image([bytes(interleaved)])) == (
        f"disk.iso, byte {ROOT + 68}: expected a contiguous file, "
        "got an interleaved file or one with an extended attribute record"
    )


def test_folder_at_two_paths_is_refused() -> None:
    assert refusal(image([record(b"A", handmade.ROOT_EXTENT, 2048, 2)])) == (
        f"disk.iso, byte {ROOT + 68}: expected folders that form a tree, got a folder at two paths"
    )


def test_oversized_path_table_is_refused() -> None:
    assert refusal(patched(image([]), VOLUME + 132, handmade.both(1 << 30))) == (
        f"disk.iso, byte {VOLUME + 132}: expected a path table for 1 folders, got {1 << 30} bytes"
    )


def test_members_above_the_limit_are_refused() -> None:
    data = image([record(b"%06d" % number) for number in range(100)])
    with pytest.raises(LimitError, match="expected at most 50 members, got more"):
        check(data, Limits(members=50))


def test_unsorted_directory_is_refused() -> None:
    data = image([record(b"%06d" % number) for number in reversed(range(3000))])
    with pytest.raises(LimitError, match="expected sorted directories, got an unsorted directory"):
        check(data)


def test_joliet_descriptor_is_kept_only_without_rock_ridge() -> None:
    def with_joliet(data: bytes) -> bytes:
        joliet = bytearray(data[VOLUME : VOLUME + 2048])
        joliet[0] = 2
        joliet[88:91] = b"%/E"
        terminator = data[VOLUME + 2048 : VOLUME + 4096]
        return patched(data, VOLUME + 2048, bytes(joliet) + terminator)

    plain = check(with_joliet(image([])))
    assert [raw[0] for raw in plain.descriptors] == [1, 2, 255, 0]
    rock = check(with_joliet(image([], rock_ridge=True)))
    assert [raw[0] for raw in rock.descriptors] == [1, 255, 0, 0]


def notes_of(data: bytes) -> list[str]:
    notes: list[str] = []
    check(data, Limits(report=notes.append))
    return notes


def test_entries_of_unknown_kinds_and_attributes_are_reported() -> None:
    use = nm(b"a") + px() + b"AL\x06\x01xx" + b"BA\x08\x01" + bytes(4) + b"PD\x04\x01"
    data = image([record(b"A.;1", system_use=use)], rock_ridge=True)
    offset = data.index(b"AL\x06\x01")
    assert notes_of(data) == [
        (
            "disk.iso: ignored 2 entries of Rock Ridge of a kind that Linux ignores too (AL, BA), "
            f"such as ACLs and extended attributes; the first is at byte {offset}"
        )
    ]


def test_ordinary_entries_are_not_reported() -> None:
    data = image([record(b"A.;1", system_use=nm(b"a") + px())], rock_ridge=True)
    assert notes_of(data) == []


def test_sparse_file_of_rock_ridge_is_refused() -> None:
    use = nm(b"a") + px() + b"SF\x0c\x01" + bytes(8)
    assert "a sparse file of Rock Ridge (SF), which is not supported" in refusal(
        image([record(b"A.;1", system_use=use)], rock_ridge=True)
    )


def test_associated_file_is_reported_and_ignored() -> None:
    fork = record(b"A.;1", flags=4)
    data = image([fork, record(b"A.;1", handmade.ROOT_EXTENT + 1, 5)], after=b"hello")
    assert notes_of(data) == ["disk.iso: ignored 1 associated file (resource forks of macOS)"]


def test_udf_is_reported_and_ignored() -> None:
    valid = image([record(b"A.;1")])
    terminator = VOLUME + 2048
    # The path tables are in sectors 20 and 21, so the descriptors of UDF fit before them.
    data = patched(valid, terminator + 2049, b"BEA01")
    data = patched(data, terminator + 2 * 2048 + 1, b"NSR02")
    assert notes_of(data) == [
        "disk.iso: ignored its UDF file system; files are those of the ISO 9660 file system"
    ]
    assert notes_of(valid) == []


def test_hidden_file_is_read() -> None:
    tree = parse_iso(Input(image([record(b"A.;1", flags=1)]), name="disk.iso")).tree
    assert tree.entries(b"") == [b"a"]
