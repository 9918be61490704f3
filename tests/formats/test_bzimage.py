from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.kernel import RELEASE, make_kernel
from purekernel.formats.bzimage import kernel_release, unpack_kernel
from purekernel.formats.iso import parse_iso
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.tree import Buffer, File
from tests.bzimages import PACKERS, make_bzimage, make_payload
from tests.oracles import require, run
from tests.shared import core_iso

VMLINUX = b"\x7fELF" + b"".join(str(number).encode() for number in range(9_000))


def unpack(image: Buffer, limits: Limits = DEFAULT_LIMITS) -> Buffer | None:
    return unpack_kernel(Input(image, name="vmlinuz", limits=limits))


def kernel(version: bytes, pointer: int = 0x100) -> bytes:
    header = bytearray(0x400)
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", header, 0x20E, pointer)
    header[0x300 : 0x300 + len(version)] = version
    return bytes(header)


def test_release_of_a_kernel_is_read() -> None:
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
def test_file_without_a_release_has_none(content: bytes) -> None:
    assert kernel_release(content) is None


@given(st.integers(0, 0x400), st.integers(0, 0xFFFF), st.binary(max_size=8))
def test_any_bytes_raise_no_error(until: int, pointer: int, version: bytes) -> None:
    kernel_release(kernel(version, pointer)[:until])


@pytest.mark.oracle
def test_file_prints_the_same_release() -> None:
    require("file")
    node = parse_iso(Input(core_iso().read_bytes(), name="iso")).tree[b"boot/vmlinuz"]
    assert isinstance(node, File)
    output = run("file", "-", stdin=bytes(node.content)).decode()
    assert f"version {kernel_release(node.content)} " in output


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("setup_sectors", [0, 2, 255])
def test_kernel_is_unpacked(packer: str, setup_sectors: int) -> None:
    image = make_bzimage(make_payload(VMLINUX, packer), setup_sectors=setup_sectors)
    assert unpack(memoryview(image)) == VMLINUX


@pytest.mark.parametrize("packer", PACKERS)
def test_damaged_or_too_large_kernel_is_not_unpacked(packer: str) -> None:
    payload = make_payload(VMLINUX, packer)
    image = make_bzimage(payload)
    assert unpack(image[: len(image) - 600]) is None
    assert unpack(image, limits=Limits(unpacked_bytes=len(VMLINUX))) == VMLINUX
    assert unpack(image, limits=Limits(unpacked_bytes=len(VMLINUX) - 1)) is None
    assert unpack(make_bzimage(payload[:-1] + b"\x01")) is None
    assert unpack(make_bzimage(payload[: len(payload) // 2])) is None


def test_payload_with_unknown_compression_is_not_unpacked() -> None:
    for payload in (b"", b"\x89LZO", b"\x89LZO\0\r\n\x1a\n" + bytes(50), VMLINUX):
        assert unpack(make_bzimage(payload)) is None
    assert unpack(make_bzimage(b"", payload_bytes=0xFFFFFFFF)) is None
    assert unpack(make_kernel()) is None
    assert unpack(VMLINUX) is None


def test_gzip_payload_of_an_older_kernel_is_searched() -> None:
    payload = make_payload(VMLINUX, "gzip")
    assert unpack(make_bzimage(payload, version=0x0207)) == VMLINUX
    # Up to seven false matches are skipped.
    lookalike = b"\x1f\x8b\x08 not gzip"
    assert unpack(make_bzimage(lookalike * 7 + payload, version=0x0203)) == VMLINUX
    assert unpack(make_bzimage(lookalike * 99 + payload, version=0x0203)) is None
    assert unpack(make_bzimage(b"", version=0x0207)) is None


@given(st.sampled_from(sorted(PACKERS)), st.integers(0, 5000), st.binary(min_size=1, max_size=9))
def test_damaged_kernel_raises_no_error(packer: str, offset: int, damage: bytes) -> None:
    image = bytearray(make_bzimage(make_payload(VMLINUX[:3000], packer)))
    offset %= len(image)
    image[offset : offset + len(damage)] = damage
    unpack(image)
