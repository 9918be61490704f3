from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError
from purekernel.formats.pe import Machine, NewSection, PeImage, add_sections, parse_pe
from purekernel.input import Buffer, Input
from tests.oracles import require, run
from tests.pes import HEADER, make_pe, make_stub

OPTIONAL = HEADER + 24


def content(image: PeImage, name: bytes) -> bytes:
    section = image.section(name)
    assert section is not None
    return bytes(section)


def parse(data: bytes) -> PeImage:
    return parse_pe(Input(data, name="x.efi"))


@pytest.mark.parametrize("wide", [True, False])
def test_headers_and_sections_are_read(wide: bool) -> None:
    image = parse(make_pe({b".text": b"code", b".data": b"d" * 700}, wide=wide))
    assert image.machine is Machine.X64
    assert image.is_program
    assert not image.is_signed
    assert [each.name for each in image.sections] == [b".text", b".data"]
    assert content(image, b".data") == b"d" * 700
    assert image.section(b".rsrc") is None
    assert image.image_bytes == 0x3000


@pytest.mark.parametrize("wide", [True, False])
def test_file_with_a_certificate_is_signed(wide: bool) -> None:
    assert parse(make_pe(signature=b"PKCS#7", wide=wide)).is_signed


def test_driver_and_unknown_processor_are_no_programs() -> None:
    assert not parse(make_pe(subsystem=11)).is_program
    assert parse(make_pe(machine=0x1234)).machine is None
    assert not parse(make_pe(machine=0x1234)).is_program


def patched(data: bytes, offset: int, layout: str, *values: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(layout, changed, offset, *values)
    return bytes(changed)


TABLE = OPTIONAL + 240


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.efi, byte 0: expected a PE file, which begins with 'MZ', got nothing"),
        (
            b"\x7fELF" + bytes(99),
            "x.efi, byte 0: expected a PE file, which begins with 'MZ', got 7f 45 4c 46",
        ),
        (b"MZ" + bytes(200), "x.efi, byte 60: expected the offset of a PE header, got 0"),
        (make_pe()[:100], "x.efi, byte 60: expected the offset of a PE header, got 64"),
        (
            patched(make_pe(), OPTIONAL, "<H", 0x107),
            "x.efi, byte 88: expected an optional header of PE32 or PE32+, got magic 0x0107",
        ),
        (
            patched(make_pe(), HEADER + 20, "<H", 90),
            "x.efi, byte 88: expected an optional header of PE32 or PE32+, got magic 0x020b",
        ),
        (
            patched(make_pe(), HEADER + 6, "<H", 97),
            "x.efi, byte 70: expected at most 96 sections in the file, got 97",
        ),
        (
            make_pe(subsystem=3),
            "x.efi, byte 156: expected a program for UEFI (subsystem 10), got subsystem 3",
        ),
        (
            patched(make_pe(), TABLE + 16, "<I", 1 << 20),
            (
                "x.efi, byte 344: expected the section .text inside the file, got 1048576 bytes "
                "at 1024 of 1536"
            ),
        ),
        (
            make_pe(signature=b"12345678")[:-1],
            "x.efi, byte 232: expected a certificate table inside the file, got 8 at 1536",
        ),
    ],
)
def test_damaged_file_is_refused_at_its_offset(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(data)
    assert str(caught.value) == message


@given(st.integers(0, 500), st.binary(max_size=8), st.integers(0, 2048))
def test_any_damage_is_an_error_of_ours(offset: int, junk: bytes, until: int) -> None:
    data = bytearray(make_stub(signature=b"sign"))
    data[offset : offset + len(junk)] = junk
    with suppress(FormatError):
        image = parse(bytes(data[:until]))
        assert bytes(image.file.data) == data[:until]
        add_sections(image, [NewSection(name=b".linux", content=[b"kernel"])])


# More sections.


def added(data: bytes, **sections: bytes) -> PeImage:
    new = [NewSection(name=b"." + name.encode(), content=[c]) for name, c in sections.items()]
    return parse(bytes(add_sections(parse(data), new)))


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("alignment", [0x200, 0x1000, 0x2000])
def test_added_sections_are_read_back_after_the_others(wide: bool, alignment: int) -> None:
    stub = make_stub(wide=wide, alignment=alignment)
    image = added(stub, osrel=b"ID=x", initrd=b"i" * 5000, linux=b"k" * 513)
    assert [each.name for each in image.sections] == [
        b".text", b".sdmagic", b".osrel", b".initrd", b".linux",
    ]  # fmt: skip
    assert content(image, b".initrd") == b"i" * 5000
    assert content(image, b".linux") == b"k" * 513
    ends = 0
    for section in image.sections:
        assert section.address >= ends
        ends = section.address + section.memory_bytes
    assert all(each.address % max(alignment, 4096) == 0 for each in image.sections[2:])
    assert ends <= image.image_bytes < ends + alignment
    assert image.image_bytes % alignment == 0


def test_bytes_of_the_stub_stay_where_they_are() -> None:
    stub = make_stub()
    whole = bytes(add_sections(parse(stub), [NewSection(name=b".linux", content=[b"k"])]))
    assert whole[1024 : len(stub)] == stub[1024:]
    assert len(whole) % 512 == 0


def test_symbols_after_the_sections_are_dropped() -> None:
    stub = patched(make_stub(), HEADER + 12, "<II", len(make_stub()), 1) + b"symbols" * 9
    whole = bytes(add_sections(parse(stub), [NewSection(name=b".linux", content=[b"k"])]))
    assert b"symbols" not in whole
    assert whole[HEADER + 12 : HEADER + 20] == bytes(8)


def test_section_may_be_larger_in_memory() -> None:
    section = NewSection(name=b".linux", content=[b"kernel"], memory_bytes=70000)
    image = parse(bytes(add_sections(parse(make_stub()), [section])))
    assert image.sections[-1].memory_bytes == 70000
    assert image.image_bytes >= image.sections[-1].address + 70000


def test_content_in_pieces_is_joined() -> None:
    pieces: list[Buffer] = [b"first", memoryview(b"second"), b""]
    image = parse(
        bytes(add_sections(parse(make_stub()), [NewSection(name=b".initrd", content=pieces)]))
    )
    assert content(image, b".initrd") == b"firstsecond"


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (
            make_stub(signature=b"PKCS#7"),
            b".linux",
            (
                "x.efi: expected a file without a signature, as more sections change it, got a "
                "signed file"
            ),
        ),
        (
            make_stub(),
            b".text",
            "x.efi: expected no section .text, got one of that name",
        ),
        (
            make_stub(headers_bytes=512, alignment=300),
            b".linux",
            "x.efi, byte 120: expected alignments that are powers of two, got 300",
        ),
        (
            patched(make_stub(), OPTIONAL + 60, "<I", 420),
            b".linux",
            (
                "x.efi, byte 328: expected room for the headers of 1 more sections, got 92 bytes "
                "for all"
            ),
        ),
    ],
)
def test_file_that_cannot_get_sections_is_refused(data: bytes, name: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        add_sections(parse(data), [NewSection(name=name, content=[b"x"])])
    assert str(caught.value) == message


def checksum(data: bytes) -> int:
    """Add the 16-bit words one by one, as imagehlp's CheckSumMappedFile is described."""
    total = 0
    for (word,) in struct.iter_unpack("<H", data + bytes(len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(data)


@given(st.binary(max_size=3000))
def test_checksum_is_that_of_the_words_and_the_size(content: bytes) -> None:
    section = NewSection(name=b".linux", content=[content or b"k"])
    whole = bytearray(add_sections(parse(make_stub()), [section]))
    (found,) = struct.unpack_from("<I", whole, OPTIONAL + 64)
    whole[OPTIONAL + 64 : OPTIONAL + 68] = bytes(4)
    assert found == checksum(bytes(whole))


@pytest.mark.oracle
def test_objdump_reads_added_sections_back(tmp_path: Path) -> None:
    image = parse(make_stub())
    sections = [
        NewSection(name=b".cmdline", content=[b"quiet"]),
        NewSection(name=b".linux", content=[b"k" * 1000]),
    ]
    path = tmp_path / "unified.efi"
    path.write_bytes(add_sections(image, sections))
    heard = run(require("objdump"), "-h", "-p", path).decode()
    assert "pei-x86-64" in heard
    rows = [line.split() for line in heard.splitlines() if " ." in line]
    sizes = {row[1]: int(row[2], 16) for row in rows if len(row) == 7}
    assert sizes[".cmdline"] == 5
    assert sizes[".linux"] == 1000
    contents = run(require("objdump"), "-s", "-j", ".cmdline", path).decode()
    assert "quiet" in contents
