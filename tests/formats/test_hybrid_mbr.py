from __future__ import annotations

import struct
from pathlib import Path

import pytest

import purekernel
from purekernel.formats.hybrid_mbr import build_hybrid_code, is_hybrid_code, starts_from_disk
from purekernel.formats.partitions import CODE_BYTES
from tests.oracles import require, run, skip_or_fail


def test_code_names_the_sector_of_isolinux() -> None:
    made = build_hybrid_code(0x12345)
    assert len(made) <= CODE_BYTES
    assert struct.unpack_from("<I", made, 432) == (0x12345,)


def test_code_is_known_again_with_any_sector() -> None:
    assert is_hybrid_code(build_hybrid_code(1).ljust(512, b"\1"))
    assert not is_hybrid_code(bytes(512))
    assert not is_hybrid_code(b"")


def test_only_isolinux_with_its_signature_starts_from_a_disk() -> None:
    isolinux = bytearray(2048)
    isolinux[64:68] = b"\xfb\xc0\x78\x70"
    assert starts_from_disk(isolinux)
    assert not starts_from_disk(bytes(2048))
    assert not starts_from_disk(b"")


@pytest.mark.oracle
def test_code_is_that_of_the_assembled_source(tmp_path: Path) -> None:
    source = Path(purekernel.__file__).parent / "formats" / "hybrid_mbr.S"
    objects, binary = tmp_path / "code.o", tmp_path / "code.bin"
    run(require("as"), "--32", "-o", objects, source)
    address = ("-Ttext", "0x600")
    run(require("ld"), "-m", "elf_i386", *address, "--oformat", "binary", "-o", binary, objects)
    assert build_hybrid_code(0) == binary.read_bytes()


@pytest.mark.oracle
def test_isolinux_of_debian_starts_from_a_disk() -> None:
    isolinux = Path("/usr/lib/ISOLINUX/isolinux.bin")
    if not isolinux.is_file():
        skip_or_fail(f"{isolinux} is not installed")
    assert starts_from_disk(isolinux.read_bytes())
