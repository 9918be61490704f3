from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import yaml

from purekernel.razor.metadata import build_iso_metadata, build_version_file


def test_version_file_has_the_key_that_boot_scripts_read() -> None:
    assert build_version_file("0.9.0.1") == b"---\nmk_version: 0.9.0.1\n"


def test_version_that_looks_like_a_number_stays_a_string() -> None:
    for version in ("0.9", "1e3", "12", "1_0", "0x1F"):
        assert yaml.safe_load(build_version_file(version)) == {"mk_version": version}


def test_metadata_has_the_original_keys_in_order() -> None:
    data = build_iso_metadata(
        version="0.9.0.1",
        kernel_path="boot/vmlinuz",
        kernel=b"k",
        initrd_path="boot/core.gz",
        initrd=b"i",
        timestamp=1369216800,
    )
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
