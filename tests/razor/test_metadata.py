from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import yaml

from purekernel.razor.microkernel import METADATA_FILE, VERSION_FILE, Microkernel
from purekernel.recipe.composition import BootFiles
from purekernel.recipe.flavour import Flavour, Generation


def microkernel(version: str) -> Microkernel:
    return Microkernel(version=version, flavour=Flavour.DEV, generation=Generation.V2013)


def test_version_file_has_the_key_read_by_boot_scripts() -> None:
    assert microkernel("0.9.0.1").root_files == {VERSION_FILE: b"---\nmk_version: 0.9.0.1\n"}


def test_numeric_version_stays_a_string() -> None:
    for version in ("0.9", "1e3", "12", "1_0", "0x1F"):
        data = microkernel(version).root_files[VERSION_FILE]
        assert yaml.safe_load(data) == {"mk_version": version}


def test_metadata_has_the_original_keys_in_order() -> None:
    files = BootFiles(
        kernel_path="boot/vmlinuz",
        kernel=b"k",
        core_path="boot/core.gz",
        core=b"i",
        timestamp=1369216800,
    )
    described = microkernel("0.9.0.1").describe(files)
    assert list(described) == [METADATA_FILE]
    data = bytes(described[METADATA_FILE])
    assert data.decode() == (
        "---\n"
        "iso_version: 0.9.0.1\n"
        "kernel: boot/vmlinuz\n"
        "initrd: boot/core.gz\n"
        "hash_description:\n"
        "  type: Digest::SHA2\n"
        "  bitlen: 256\n"
        f"kernel_hash: '{hashlib.sha256(b'k').hexdigest()}'\n"
        f"initrd_hash: '{hashlib.sha256(b'i').hexdigest()}'\n"
        "iso_build_time: 2013-05-22 10:00:00+00:00\n"
    )
    loaded = yaml.safe_load(data)
    assert loaded["iso_build_time"] == datetime(2013, 5, 22, 10, tzinfo=UTC)
    assert loaded["hash_description"] == {"type": "Digest::SHA2", "bitlen": 256}
