from __future__ import annotations

import gzip
import lzma
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError, PurekernelError
from purekernel.formats.elf import ByteOrder, ElfClass
from purekernel.formats.kernel_module import (
    ExportedSymbol,
    KernelModule,
    NeededSymbol,
    parse_kernel_module,
    parse_modinfo,
    parse_sections,
)
from purekernel.input import Input, Limits
from tests.kernel_modules import KINDS, Wanted, make_module
from tests.oracles import require, run

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NO_NAMES = (
    "x.ko: expected a section with the names of sections, got section {}, which is not in the file"
)
NO_TABLE = (
    "x.ko, byte 18446744073709551615: expected 9 section headers, "
    "got the end of the file at byte {}"
)

ALIASES = ["alias=pci:v*", "license=GPL", "alias=a=b", "", "lonely", "depends=x,y"]


def sample(elf_class: ElfClass = ElfClass.BITS_64, byte_order: ByteOrder = "little") -> bytes:
    return make_module(
        ALIASES,
        exports=[("one", 0x12345678), ("two", 0xFFFFFFFF)],
        wants=[Wanted(name="three", crc=7), Wanted(name="four", weak=True), "five"],
        versions=[("module_layout", 9)],
        elf_class=elf_class,
        byte_order=byte_order,
    )


def parse(data: bytes) -> KernelModule:
    return parse_kernel_module(Input(data, name="x.ko"))


@pytest.mark.parametrize(("elf_class", "byte_order"), KINDS)
def test_module_of_each_class_and_byte_order_is_read(
    elf_class: ElfClass, byte_order: ByteOrder
) -> None:
    assert parse(sample(elf_class, byte_order)) == KernelModule(
        information=(
            (b"alias", b"pci:v*"),
            (b"license", b"GPL"),
            (b"alias", b"a=b"),
            (b"lonely", b""),
            (b"depends", b"x,y"),
        ),
        exports=(ExportedSymbol(b"one", 0x12345678), ExportedSymbol(b"two", 0xFFFFFFFF)),
        needs=(
            NeededSymbol(b"three", 7, False),
            NeededSymbol(b"four", 0, True),
            NeededSymbol(b"five", 0, False),
            NeededSymbol(b"module_layout", 9, False),
        ),
    )


def test_values_of_a_key_keep_their_order() -> None:
    assert parse(sample()).values(b"alias") == [b"pci:v*", b"a=b"]
    assert parse(sample()).values(b"softdep") == []


@pytest.mark.parametrize(("elf_class", "byte_order"), KINDS)
def test_checksums_in_symbol_values_are_read(elf_class: ElfClass, byte_order: ByteOrder) -> None:
    # Kernels before 5.19 have them there.
    data = make_module(
        exports=[("one", 0xCAFE)], elf_class=elf_class, byte_order=byte_order, crc_section=False
    )
    assert parse(data).exports == (ExportedSymbol(b"one", 0xCAFE),)


@pytest.mark.parametrize("gone", [".symtab", ".strtab"])
def test_without_symbol_table_exports_come_from_the_names(gone: str) -> None:
    module = parse(make_module(exports=[("one", 5)], wants=["two"], without=[gone]))
    assert module.exports == (ExportedSymbol(b"one", 0),)
    assert module.needs == ()


def test_exports_without_checksums_have_checksum_0() -> None:
    assert parse(make_module(exports=[("one", None)])).exports == (ExportedSymbol(b"one", 0),)


def test_module_without_information_is_empty() -> None:
    data = make_module(without=[".modinfo", "__ksymtab_strings", "__versions"])
    assert parse(data) == KernelModule(information=(), exports=(), needs=())


def test_checksum_outside_of_its_section_is_all_ones() -> None:
    data = bytearray(make_module(exports=[("one", 5)]))
    sections = parse_sections(Input(data, name="x.ko"))
    place = sections.span(b".symtab")
    assert place is not None
    # The last symbol's value.
    struct.pack_into("<Q", data, place[0] + place[1] - 16, 1)
    assert parse(bytes(data)).exports == (ExportedSymbol(b"one", 2**64 - 1),)


def test_versions_of_a_partial_entry_are_ignored() -> None:
    data = make_module(without=["__versions"], more=[("__versions", bytes(63))])
    assert parse(data).needs == ()


def test_register_symbols_of_sparc_are_not_needed() -> None:
    data = bytearray(make_module(wants=["g2"]))
    place = parse_sections(Input(data, name="x.ko")).span(b".symtab")
    assert place is not None
    data[place[0] + 24 + 4] = 1 << 4 | 13
    assert parse(bytes(data)).needs == (NeededSymbol(b"g2", 0, False),)
    struct.pack_into("<H", data, 18, 43)
    assert parse(bytes(data)).needs == ()


@pytest.mark.parametrize("behind", [b"er", b""])
def test_last_name_ends_at_the_next_nul_in_the_file(behind: bytes) -> None:
    # Sections are 8-aligned, with zeros between them.
    strings = b"\0needed_"
    data = make_module(
        wants=["needed_"], without=[".strtab"], more=[(".strtab", strings), ("more", behind)]
    )
    assert parse(data).needs == (NeededSymbol(b"needed_" + behind, 0, False),)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd.compress])
def test_compressed_module_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    assert parse(pack(sample())) == parse(sample())


def test_module_larger_than_the_limit_is_refused() -> None:
    with pytest.raises(LimitError):
        parse_kernel_module(
            Input(gzip.compress(sample()), name="x.ko.gz", limits=Limits(unpacked_bytes=100))
        )


def damaged(offset: int, content: bytes, data: bytes | None = None) -> bytes:
    data = sample() if data is None else data
    return data[:offset] + content + data[offset + len(content) :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.ko, byte 0: expected an ELF file, got b''"),
        (b"\x7fELF", "x.ko, byte 4: expected the header of an ELF file, got the end of the file"),
        (damaged(0, b"#!/b"), "x.ko, byte 0: expected an ELF file, got b'#!/b'"),
        (damaged(4, b"\3"), "x.ko, byte 4: expected the class 1 or 2, got 3"),
        (damaged(5, b"\0"), "x.ko, byte 5: expected the byte order 1 or 2, got 0"),
        (sample()[:60], "x.ko, byte 60: expected an ELF header, got the end of the file"),
        (damaged(58, b"\x28"), "x.ko: expected section headers of 64 bytes, got 40"),
        (
            damaged(62, b"\0\0"),
            NO_NAMES.format(0),
        ),
        (
            damaged(62, b"\xff\xff"),
            NO_NAMES.format(65535),
        ),
        (
            damaged(40, b"\xff" * 8),
            NO_TABLE.format(len(sample())),
        ),
    ],
)
def test_damaged_file_raises_format_error_with_offset(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as raised:
        parse(data)
    assert str(raised.value) == message


def test_section_names_without_nul_are_refused() -> None:
    data = sample()
    end = data.rindex(b".shstrtab\0") + len(b".shstrtab")
    with pytest.raises(FormatError, match="expected names of sections that end in a NUL"):
        parse(damaged(end, b"x"))


def test_each_truncated_module_is_refused() -> None:
    data = sample()
    for size in range(len(data)):
        with pytest.raises(FormatError):
            parse(data[:size])


@pytest.mark.slow
def test_random_damage_raises_only_our_errors() -> None:
    chance = random.Random(4)
    parsed = 0
    for _ in range(3000):
        data = bytearray(sample(*chance.choice(KINDS)))
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 255, chance.randrange(256)))
        try:
            parse(bytes(data))
        except PurekernelError:
            continue
        parsed += 1
    assert 500 < parsed < 2900


@given(st.binary(max_size=200))
def test_any_bytes_are_split_at_nuls(data: bytes) -> None:
    pairs = parse_modinfo(data)
    assert all(b"\0" not in key + value and b"=" not in key for key, value in pairs)
    rebuilt = [key + b"=" + value for key, value in pairs]
    assert len(rebuilt) <= data.count(b"\0") + 1


@pytest.mark.oracle
def test_information_equals_that_of_modinfo(tmp_path: Path) -> None:
    modinfo = require("modinfo")
    path = tmp_path / "some_module.ko"
    path.write_bytes(sample())
    ours = [key + b"=" + value for key, value in parse(sample()).information]
    shown = run(modinfo, "-0", path).split(b"\0")[1:-1]
    assert [line for line in shown if not line.startswith(b"name=")] == ours
