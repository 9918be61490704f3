"""Test where a boot info table is found, which isolinux needs at its new place."""

from __future__ import annotations

import struct

import pytest

from purekernel.formats.iso.boot import has_boot_info


@pytest.mark.parametrize(
    ("descriptor", "sector", "size", "expected"),
    [
        (16, 37, 4096, True),
        (48, 37, 4096, True),  # xorriso -indev A -outdev B
        (0, 37, 4096, False),
        (16, 36, 4096, False),
        (16, 37, 4095, False),
    ],
)
def test_table_is_found_by_the_place_and_size_in_it(
    descriptor: int, sector: int, size: int, expected: bool
) -> None:
    image = bytearray(4096)
    struct.pack_into("<3I", image, 8, descriptor, sector, size)
    assert has_boot_info(image, 37) is expected
    assert not has_boot_info(image[:63], 37)
