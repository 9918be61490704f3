from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import FormatError
from purekernel.formats.elf import (
    ByteOrder,
    DynamicName,
    SharedLibrary,
    parse_elf_header,
    parse_shared_library,
)
from purekernel.input import Input
from tests.elves import make_library


def read(data: bytes, byte_order: ByteOrder | None = None) -> SharedLibrary | None:
    file = Input(data, name="libx.so")
    return parse_shared_library(file, parse_elf_header(file, byte_order=byte_order))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_library_of_each_class_and_byte_order_is_read(bits: int, byte_order: ByteOrder) -> None:
    data = make_library(
        b"libx.so.1",
        b"libc.so.6",
        bits=bits,
        byte_order=byte_order,
        interpreter=b"/lib/ld.so",
        isa_needed=7,
        os_version=(2, 6, 32),
    )
    assert read(data) == SharedLibrary(
        interpreters=(b"/lib/ld.so",),
        names=(DynamicName(b"libc.so.6", False), DynamicName(b"libx.so.1", True)),
        isa_level=2,
        os_version=0x020620,
    )


def test_other_elf_files_give_none() -> None:
    assert read(make_library(kind=1)) is None
    assert read(make_library()[:64].ljust(64, b"\0")[:56] + bytes(8)) is None


LONG = "libx.so, byte 251: expected a string of less than 4096 bytes that ends in a NUL,"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "libx.so, byte 0: expected an ELF file, got b''"),
        (b"MZ" + bytes(100), "libx.so, byte 0: expected an ELF file, got b'MZ\\x00\\x00'"),
        (
            b"\x7fELF\x03\x01" + bytes(100),
            "libx.so, byte 4: expected ELF class 1 (32 bits) or 2 (64 bits), got 3",
        ),
        (
            b"\x7fELF\x02\x03" + bytes(100),
            "libx.so, byte 5: expected byte order 1 (little) or 2 (big), got 3",
        ),
        (make_library()[:63], "libx.so, byte 63: expected an ELF header, got the end of the file"),
        (
            make_library()[:100],
            "libx.so, byte 64: expected 2 program headers, got the end of the file",
        ),
        (
            make_library()[:180],
            "libx.so, byte 176: expected a dynamic section that ends, got the end of the file",
        ),
    ],
)
def test_damaged_file_raises_format_error_with_offset(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(data)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (make_library(b"libx.so.1", b"libc.so.6")[:-1], "got the end of the file"),
        (make_library(b"x" * 5000, b"libc.so.6"), "got a longer one"),
    ],
)
def test_damaged_name_is_a_fault_of_that_name_only(data: bytes, message: str) -> None:
    library = read(data)
    assert library is not None
    needed, soname = library.names
    assert needed == DynamicName(b"libc.so.6", False)
    assert needed.fault is None
    assert soname == DynamicName(b"", True)
    assert str(soname.fault) == f"{LONG} {message}"


SOUND = make_library(
    b"libx.so.1", b"libc.so.6", interpreter=b"/lib/ld.so", isa_needed=1, os_version=(2, 6, 0)
)


@pytest.mark.slow
@settings(max_examples=500)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=8),
    end=st.integers(0, len(SOUND)) | st.just(len(SOUND)),
    byte_order=st.sampled_from(["little", "big", None]),
)
def test_random_damage_raises_only_format_errors(
    changes: list[tuple[int, int]], end: int, byte_order: ByteOrder | None
) -> None:
    data = bytearray(SOUND)
    for place, byte in changes:
        data[place] = byte
    with suppress(FormatError):
        read(bytes(data[:end]), byte_order)
