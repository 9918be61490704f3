from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError
from purekernel.formats.elf import (
    ByteOrder,
    ElfClass,
    ElfObject,
    NeededVersion,
    parse_object,
    read_object,
)
from purekernel.formats.elf.layout import EM_386, EM_X86_64, ET_EXEC
from purekernel.formats.squashfs import open_squashfs
from purekernel.input import Input
from purekernel.tree import File
from tests.elves import make_library
from tests.oracles import require, run
from tests.shared import extension

PROGRAM = make_library(
    None,
    b"libx.so.1",
    b"libc.so.6",
    kind=ET_EXEC,
    interpreter=b"/lib/ld-linux-x86-64.so.2",
    rpath=b"/opt/lib",
    runpath=b"$ORIGIN/../lib",
    flags_1=0x800,
    needed_versions={b"libc.so.6": [b"GLIBC_2.2", b"GLIBC_2.28"], b"libx.so.1": [b"X_1"]},
    weak=[b"X_1"],
)


def read(data: bytes) -> ElfObject | None:
    return parse_object(Input(data, name="x"))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_versions_of_each_class_and_byte_order_are_read(bits: int, byte_order: ByteOrder) -> None:
    found = read(
        make_library(
            b"libx.so.1",
            b"libc.so.6",
            bits=bits,
            byte_order=byte_order,
            needed_versions={b"libc.so.6": [b"GLIBC_2.28"]},
            versions=[b"libx.so.1", b"X_1.0", b"X_1.2"],
        )
    )
    assert found is not None
    assert found.header.elf_class is (ElfClass.BITS_32 if bits == 32 else ElfClass.BITS_64)
    assert (found.soname, found.needed) == (b"libx.so.1", (b"libc.so.6",))
    assert found.needed_versions == (NeededVersion(b"libc.so.6", b"GLIBC_2.28"),)
    assert found.versions == (b"libx.so.1", b"X_1.0", b"X_1.2")
    assert found.interpreter is None
    assert not found.is_program


def test_program_with_folders_loader_and_weak_version_is_read() -> None:
    found = read(PROGRAM)
    assert found is not None
    assert found.interpreter == b"/lib/ld-linux-x86-64.so.2"
    assert found.is_program
    assert found.is_dynamic
    assert (found.rpath, found.runpath) == (b"/opt/lib", b"$ORIGIN/../lib")
    assert found.skips_default_folders
    assert found.needed == (b"libx.so.1", b"libc.so.6")
    assert found.needed_versions == (
        NeededVersion(b"libc.so.6", b"GLIBC_2.2"),
        NeededVersion(b"libc.so.6", b"GLIBC_2.28"),
        NeededVersion(b"libx.so.1", b"X_1", is_weak=True),
    )
    assert found.versions == ()


def test_static_program_has_no_dynamic_section() -> None:
    header = PROGRAM[:64]
    # The program header table has its first entry only: PT_LOAD.
    data = header[:56] + struct.pack("<H", 1) + header[58:64] + PROGRAM[64:120]
    found = read(data)
    assert found is not None
    assert not found.is_dynamic
    assert found.is_program
    assert found.needed == ()


def test_relocatable_file_gives_none() -> None:
    assert read(make_library(kind=1)) is None


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


CUT_STRING = (
    f"x, byte {PROGRAM.index(b'libx.so.1')}: expected a string of less than 4096 bytes "
    "that ends in a NUL, got the end of the file"
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"#!/bin/sh\n".ljust(80), "x, byte 0: expected an ELF file, got b'#!/b'"),
        (PROGRAM[:40], "x, byte 40: expected an ELF header, got the end of the file"),
        (PROGRAM[:100], "x, byte 64: expected 3 program headers, got the end of the file"),
        (
            PROGRAM[:56] + b"\xff\xff" + PROGRAM[58:],
            "x, byte 64: expected at most 65536 bytes of program headers, got 3669960",
        ),
        (
            PROGRAM[: PROGRAM.index(b"libx.so.1") + 4],
            CUT_STRING,
        ),
    ],
)
def test_damaged_object_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(data)
    assert str(caught.value) == message


@pytest.mark.slow
def test_too_many_versions_and_libraries_are_refused() -> None:
    many = make_library(b"l", b"c", needed_versions={b"c": [b"V"] * 5000})
    with pytest.raises(FormatError, match="expected at most 4096 needed versions, got more"):
        read(many)
    with pytest.raises(FormatError, match="expected at most 4096 defined versions, got more"):
        read(make_library(b"l", versions=[b"V"] * 5000))
    with pytest.raises(FormatError, match="expected at most 4096 needed libraries, got more"):
        read(make_library(b"l", *[b"c"] * 5000))


def test_address_outside_of_all_segments_is_refused() -> None:
    data = make_library(b"l", b"c")
    strings = struct.pack("<Q", 0x10000 + data.index(b"\0c\0l\0"))
    with pytest.raises(FormatError, match="expected an address in a loaded segment, got 0x10"):
        read(changed(data, strings, struct.pack("<Q", 0x10)))


@given(st.integers(0, len(PROGRAM) - 1), st.integers(0, 255))
def test_changed_byte_raises_no_other_error(position: int, value: int) -> None:
    data = bytearray(PROGRAM)
    data[position] = value
    with suppress(FormatError):
        read(bytes(data))


def test_parts_give_the_same_as_the_whole_file() -> None:
    parts: list[tuple[int, int]] = []

    def part(start: int, size_bytes: int) -> bytes:
        parts.append((start, size_bytes))
        return PROGRAM[start : start + size_bytes]

    assert read_object(part, len(PROGRAM), name="x") == read(PROGRAM)
    assert max(size_bytes for _start, size_bytes in parts) < len(PROGRAM)


NAMES = ("bash", "htop", "openssl-1.1.1", "util-linux")


@pytest.mark.oracle
@pytest.mark.parametrize("name", NAMES)
def test_real_extension_equals_readelf(name: str, tmp_path: Path) -> None:
    """Compare needed libraries, soname, folders, loader and versions."""
    readelf = require("readelf")
    image = open_squashfs(Input(extension(name).read_bytes(), name=name))
    compared = 0
    for path, node in image.tree.walk():
        if not isinstance(node, File) or bytes(node.part(0, 4)) != b"\x7fELF":
            continue
        found = read_object(node.part, node.size_bytes, name=path.decode())
        assert found is not None
        place = tmp_path / "x"
        place.write_bytes(node.content)
        shown = run(readelf, "-W", "-d", "-V", "-l", place).decode()
        assert words(shown, "(NEEDED)") == [needed.decode() for needed in found.needed]
        assert words(shown, "(SONAME)") == ([found.soname.decode()] if found.soname else [])
        needed, defined = versions(shown)
        assert needed == [
            (version.library.decode(), version.name.decode()) for version in found.needed_versions
        ]
        assert defined == [version.decode() for version in found.versions]
        loader = found.interpreter
        assert (loader is not None) == ("Requesting program interpreter" in shown)
        assert loader is None or f"interpreter: {loader.decode()}]" in shown
        assert found.header.machine in (EM_386, EM_X86_64)
        compared += 1
    assert compared


def words(shown: str, mark: str) -> list[str]:
    lines = [line for line in shown.splitlines() if mark in line]
    return [line.partition("[")[2].partition("]")[0] for line in lines]


def versions(shown: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the needed versions with their libraries, and the defined ones."""
    needed, defined = [], []
    library, section = "", ""
    for line in shown.splitlines():
        if line.startswith("Version "):
            section = line.split()[1]
        elif section == "needs" and " File: " in line:
            library = line.partition(" File: ")[2].split()[0]
        elif section == "needs" and " Name: " in line:
            needed.append((library, line.partition(" Name: ")[2].split()[0]))
        elif section == "definition" and " Rev: " in line:
            defined.append(line.partition(" Name: ")[2].strip())
    return needed, defined
