from __future__ import annotations

import pytest
from attrs import evolve

from purekernel.errors import UsageError
from purekernel.formats.iso import VolumeFields, build_iso, parse_iso
from purekernel.formats.iso.layout import SIZES_BYTES, check_fields
from purekernel.input import Input
from tests.formats.iso.disks import TIME, boot_tree

FULL = VolumeFields(**{key: key[:1] * size for key, size in SIZES_BYTES.items()})


def read_back(fields: VolumeFields) -> VolumeFields:
    data = build_iso(boot_tree(), fields=fields, boot=None, timestamp=TIME)
    return parse_iso(Input(data, name="image")).fields


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
def test_fields_round_trip(fields: VolumeFields) -> None:
    assert read_back(fields) == fields


def test_copyright_file_is_written_as_its_iso_identifier() -> None:
    data = build_iso(
        boot_tree(), fields=VolumeFields(copyright_file_id="LICENSE"), boot=None, timestamp=TIME
    )
    assert data[16 * 2048 + 702 :][:37] == b"LICENSE.;1".ljust(37)


@pytest.mark.parametrize("key", sorted(SIZES_BYTES))
def test_field_that_is_too_long_is_refused(key: str) -> None:
    size = SIZES_BYTES[key]
    with pytest.raises(UsageError) as caught:
        check_fields(evolve(FULL, **{key: "x" * (size + 1)}))
    words = key.replace("_", " ")
    assert str(caught.value) == f"the ISO's {words} must be at most {size} bytes, got {size + 1}"
    assert caught.value.hint == "shorten it"


def test_field_with_nul_is_refused() -> None:
    with pytest.raises(UsageError, match="the ISO's volume id must not contain NUL"):
        check_fields(VolumeFields(volume_id="a\0b"))


def test_field_with_lone_surrogate_is_refused() -> None:
    with pytest.raises(UsageError, match="the ISO's volume id must be valid Unicode, got a lone"):
        check_fields(VolumeFields(volume_id="\ud800"))
