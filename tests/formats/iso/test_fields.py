from __future__ import annotations

import pytest
from attrs import evolve

from purekernel.errors import UsageError
from purekernel.formats.iso import VolumeFields, build_iso, parse_iso
from purekernel.formats.iso.layout import SIZES_BYTES, check_fields
from tests.formats.iso.disks import TIME, boot_tree

FULL = VolumeFields(**{key: key[:1] * size for key, size in SIZES_BYTES.items()})


def read_back(fields: VolumeFields) -> VolumeFields:
    data = build_iso(boot_tree(), fields=fields, boot=None, timestamp=TIME)
    return parse_iso(data, source="image").fields


@pytest.mark.parametrize(
    "fields",
    [
        VolumeFields(),
        VolumeFields(volume_id="Razor MK 0.9.0.1", application_id="Razor Microkernel"),
        VolumeFields(volume_id="", system_id=""),
        VolumeFields(volume_id="disque é", publisher_id="\udcff raw"),
        VolumeFields(copyright_file_id="LICENSE"),
        VolumeFields(copyright_file_id="not there"),
        FULL,
    ],
)
def test_fields_come_back(fields: VolumeFields) -> None:
    assert read_back(fields) == fields


def test_the_copyright_file_is_named_by_its_identifier() -> None:
    data = build_iso(
        boot_tree(), fields=VolumeFields(copyright_file_id="LICENSE"), boot=None, timestamp=TIME
    )
    assert data[16 * 2048 + 702 :][:37] == b"LICENSE.;1".ljust(37)


@pytest.mark.parametrize("key", sorted(SIZES_BYTES))
def test_fields_have_bounds(key: str) -> None:
    room = SIZES_BYTES[key]
    with pytest.raises(UsageError) as caught:
        check_fields(evolve(FULL, **{key: "x" * (room + 1)}))
    words = key.replace("_", " ")
    assert str(caught.value) == f"the ISO's {words} has {room + 1} bytes, there is room for {room}"
    assert caught.value.hint == "shorten it"


def test_fields_hold_no_nul() -> None:
    with pytest.raises(UsageError, match="the ISO's volume id holds a NUL"):
        check_fields(VolumeFields(volume_id="a\0b"))


def test_surrogates_that_stand_for_no_byte_are_refused() -> None:
    with pytest.raises(UsageError, match="the ISO's volume id is not text"):
        check_fields(VolumeFields(volume_id="\ud800"))
