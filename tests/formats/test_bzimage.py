from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.kernel import RELEASE, make_kernel
from purekernel.formats.bzimage import kernel_release
from purekernel.formats.iso import parse_iso
from purekernel.tree import File
from tests.oracles import require, run
from tests.shared import core_iso


def kernel(version: bytes, pointer: int = 0x100) -> bytes:
    header = bytearray(0x400)
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", header, 0x20E, pointer)
    header[0x300 : 0x300 + len(version)] = version
    return bytes(header)


def test_a_kernel_says_its_release() -> None:
    assert kernel_release(make_kernel()) == RELEASE
    assert kernel_release(kernel(b"6.1.0-13-amd64 (x@y) #1 SMP\0")) == "6.1.0-13-amd64"
    assert kernel_release(kernel(b"3.0.3-tinycore\0")) == "3.0.3-tinycore"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MZ" + bytes(2000),
        kernel(b"1\0", pointer=0),
        kernel(b"1\0", pointer=0xFFFF),
        kernel(b"\0"),
        kernel(b" x\0"),
        kernel(b"../../etc\0"),
        kernel(b"3.0\xff\0"),
        kernel(b"3" * 0x100),
    ],
)
def test_what_says_none(content: bytes) -> None:
    assert kernel_release(content) is None


@given(st.integers(0, 0x400), st.integers(0, 0xFFFF), st.binary(max_size=8))
def test_any_bytes_are_read(until: int, pointer: int, version: bytes) -> None:
    kernel_release(kernel(version, pointer)[:until])


@pytest.mark.oracle
def test_file_reads_the_same_release() -> None:
    require("file")
    node = parse_iso(core_iso().read_bytes(), source="iso").tree[b"boot/vmlinuz"]
    assert isinstance(node, File)
    said = run("file", "-", stdin=bytes(node.content)).decode()
    assert f"version {kernel_release(node.content)} " in said
