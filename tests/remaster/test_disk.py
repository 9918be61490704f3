from __future__ import annotations

import hashlib
import struct
from functools import cache
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.bundle import make_bundle
from fixtures.core_iso import make_core_iso
from purekernel import Effort, Emit, Outputs, build, write_image
from purekernel.errors import PurekernelError, UnrepresentableError, UsageError
from purekernel.formats.fat import parse_fat
from purekernel.formats.menu import Menu, MenuEntry
from purekernel.formats.partitions import (
    EFI_SYSTEM,
    GPT_BASIC_DATA,
    GPT_EFI_SYSTEM,
    PartitionTable,
    parse_partitions,
)
from purekernel.formats.qcow2 import parse_qcow2
from purekernel.input import Input
from purekernel.razor.bundle import parse_bundle
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.disk import DiskChoice, DiskTable
from purekernel.recipe.flavour import DiskFormat
from purekernel.remaster.boot.disk import disk_notes, has_efi, words_for_tce
from purekernel.remaster.image import Image
from purekernel.remaster.outputs.disk import build_disk
from purekernel.remaster.outputs.write import write_outputs
from purekernel.tree import File, Metadata, Symlink, Tree, put_file
from tests.builds import Encoding, Options, build_image
from tests.hybrids import EFI_IMAGE, add_boot_entry, make_efi_image
from tests.oracles import require, run

MIB = 1 << 20


def make_uefi_iso() -> bytes:
    image = make_efi_image()
    return add_boot_entry(make_core_iso(beside_boot={EFI_IMAGE: image}), image)


@cache
def made(iso: bytes | None, append: str | None) -> Image:
    bundle = parse_bundle(make_bundle() if iso is None else make_bundle(iso=iso), source="b")
    return build_image(bundle, options=Options(version="1", boot=BootChanges(append=append)))


def make(iso: bytes | None = None, *, append: str | None = None, **choice: object) -> Image:
    image = made(iso, append)
    small: dict[str, object] = {} if "size" in choice else {"free": MIB}
    return evolve(image, disk=DiskChoice(**{**small, **choice}))  # type: ignore[arg-type]


def opened(image: Image) -> tuple[PartitionTable, Tree, bytes]:
    """Return the partition table, the files, and the bytes of the disk."""
    disk = build_disk(image).to_bytes()
    table = parse_partitions(Input(disk, name="disk"))
    (partition,) = table.partitions
    part = disk[partition.first * 512 : partition.end * 512]
    return table, parse_fat(Input(part, name="partition")), disk


def content(tree: Tree, path: bytes) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return bytes(node.content)


def test_partition_has_the_files_of_the_iso_and_a_folder_for_extensions() -> None:
    image = make()
    table, tree, _disk = opened(image)
    assert content(tree, b"boot/core.gz") == image.core
    assert content(tree, b"boot/vmlinuz") == image.kernel
    assert content(tree, b"tce/onboot.lst") == b""
    assert list(tree.entries(b"tce/optional")) == []
    (partition,) = table.mbr.partitions
    assert table.gpt is None
    assert (partition.first, partition.is_active) == (2048, True)


def test_extensions_are_in_tce() -> None:
    extensions = Tree()
    put_file(extensions, b"onboot.lst", b"a.tcz\n", metadata=Metadata(mode=0o644))
    put_file(extensions, b"optional/a.tcz", b"a", metadata=Metadata(mode=0o444))
    _table, tree, _disk = opened(evolve(make(), tce=extensions))
    assert content(tree, b"tce/onboot.lst") == b"a.tcz\n"
    assert content(tree, b"tce/optional/a.tcz") == b"a"
    assert tree[b"tce/optional/a.tcz"].metadata.mode == 0o644  # not read-only


def test_boot_code_reads_kernel_and_core_from_where_they_lie() -> None:
    image = make(append="quiet")
    _table, _tree, disk = opened(image)
    loader = disk[34 * 512 : 44 * 512]
    pieces = list(struct.iter_unpack("<IIII", loader[0x420:0xC00]))
    first, sectors, address, _kind = pieces[0]
    assert address == 0x10000
    found = disk[first * 512 : (first + sectors) * 512]
    assert bytes(image.kernel).startswith(found[: len(image.kernel)])
    core = next(piece for piece in pieces if piece[3])
    assert disk[core[0] * 512 :][: len(image.core)] == image.core
    line = loader[0xC00:].rstrip(b"\0")
    place = line.rpartition(b"=")[2]
    assert line == b"loglevel=3 quiet waitusb=15:UUID=%s tce=UUID=%s" % (place, place)
    number = int.from_bytes(disk[2048 * 512 + 39 : 2048 * 512 + 43], "little")
    assert place == b"%04X-%04X" % (number >> 16, number & 0xFFFF)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((b"tce=sda1",), (b"tce=sda1",)),
        ((b"base",), (b"base",)),
        ((b"waitusb=5",), (b"waitusb=5", b"tce=UUID=0012-ABCD")),
        ((), (b"waitusb=15:UUID=0012-ABCD", b"tce=UUID=0012-ABCD")),
    ],
)
def test_words_of_the_user_stay(words: tuple[bytes, ...], expected: tuple[bytes, ...]) -> None:
    assert words_for_tce(words, 0x0012ABCD) == expected


def test_base_with_uefi_gives_an_efi_system_partition_with_its_loader() -> None:
    image = make(make_uefi_iso())
    table, tree, _disk = opened(image)
    assert table.gpt is not None
    (partition,) = table.gpt.partitions
    assert (partition.kind, partition.name) == (GPT_EFI_SYSTEM, "PUREKERNEL")
    assert content(tree, b"EFI/BOOT/BOOTX64.EFI").startswith(b"MZ")
    assert content(tree, b"boot/core.gz") == image.core


def test_table_and_label_are_as_asked_for() -> None:
    table, _tree, disk = opened(make(table=DiskTable.GPT, label="MINE"))
    assert table.gpt is not None
    assert (table.gpt.partitions[0].kind, table.gpt.partitions[0].name) == (GPT_BASIC_DATA, "MINE")
    assert disk[2048 * 512 + 43 : 2048 * 512 + 54] == b"MINE       "
    table, _tree, _disk = opened(make(make_uefi_iso(), table=DiskTable.MBR))
    assert table.mbr.partitions[0].kind == EFI_SYSTEM


def test_size_is_as_asked_for() -> None:
    for table in DiskTable:
        _table, _tree, disk = opened(make(size=40 * MIB, table=table))
        assert len(disk) == 40 * MIB


def test_free_space_is_left() -> None:
    small, large = build_disk(make(free=MIB)), build_disk(make(free=100 * MIB))
    assert large.size_bytes - small.size_bytes >= 99 * MIB
    assert sum(len(part.content) for part in large.parts) < 2 * MIB


def test_disk_of_4_tebibytes_has_one_file_system_of_less_than_2() -> None:
    disk = build_disk(make(size=4 << 40, format=DiskFormat.QCOW2))
    assert parse_qcow2(Input(disk.to_bytes(), name="x")).size_bytes == 4 << 40


def test_same_image_gives_the_same_disk_and_another_other_ids() -> None:
    first, second = build_disk(make()).to_bytes(), build_disk(make()).to_bytes()
    assert first == second
    other = build_disk(make(label="OTHER", append="x")).to_bytes()
    assert first[440:444] != other[440:444]


def test_qcow2_is_the_same_disk() -> None:
    raw, packed = build_disk(make()), build_disk(make(format=DiskFormat.QCOW2))
    assert parse_qcow2(Input(packed.to_bytes(), name="x")).to_bytes() == raw.to_bytes()


@pytest.mark.parametrize(
    ("size", "message"),
    [(MIB, "must be larger than 1 MiB"), (MIB + 512, "")],
)
def test_size_that_is_too_small_is_refused_at_its_place(size: int, message: str) -> None:
    with pytest.raises((UsageError, UnrepresentableError), match=f"^here: .*{message}"):
        build_disk(make(size=size, places={"size": "here"}))


def test_mbr_for_more_than_2_tebibytes_is_refused() -> None:
    with pytest.raises(UsageError, match="an MBR is for disks of at most 2 TiB"):
        build_disk(make(size=3 << 40, table=DiskTable.MBR))


def test_name_that_fat_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    image = make()
    iso = image.iso.copy()
    put_file(iso, b"boot/a:b", b"x", metadata=Metadata(mode=0o644))
    iso.add(b"boot/link", Symlink(metadata=Metadata(mode=0o777), target=b"core.gz"))
    with pytest.raises(PurekernelError, match="a:b"):
        write_image(evolve(image, iso=iso), tmp_path / "out", kinds=[Emit.ISO, Emit.DISK])
    assert not (tmp_path / "out").exists()


def test_file_is_written_with_holes(tmp_path: Path) -> None:
    image = make(free=64 * MIB)
    (output,) = write_image(image, tmp_path, kinds=[Emit.DISK])
    assert output.path.name == f"{image.name}.img"
    data = output.path.read_bytes()
    assert data == build_disk(image).to_bytes()
    assert output.sha256 == hashlib.sha256(data).hexdigest()
    status = output.path.stat()
    if hasattr(status, "st_blocks"):
        assert status.st_blocks * 512 < status.st_size // 4


def test_other_entries_and_a_missing_loader_for_uefi_are_reported() -> None:
    def entry(label: bytes, *words: bytes) -> MenuEntry:
        return MenuEntry(label=label, title=label, kernel=b"boot/vmlinuz", words=words)

    menu = Menu(
        entries=(entry(b"core"), entry(b"same"), entry(b"text", b"text"), entry(b"x", b"x"))
    )
    bios_only, left_out = disk_notes(menu, by_uefi=False)
    assert bios_only == (
        "the disk image boots by BIOS only: the base has no boot loader for UEFI; [boot.efi] in a "
        "recipe adds one"
    )
    assert left_out == (
        "BIOS boots the entry 'core' from the disk image, and shows no menu; 'text' is left out, "
        "and 1 more"
    )
    assert has_efi(made(make_uefi_iso(), None).boot)
    assert not list(disk_notes(None, by_uefi=True))


def test_note_is_among_those_of_the_image() -> None:
    bundle = parse_bundle(make_bundle(), source="b")
    encoding = Encoding(effort=Effort.FAST)
    notes = build(bundle, encoding.context(), encoding.outputs([Emit.DISK])).notes
    assert any("boots by BIOS only" in note for note in notes)
    assert not any("no output includes" in note for note in notes)


def test_output_names_the_disk_by_its_format() -> None:
    assert Outputs(kinds=["disk"]).kinds == (Emit.DISK,)
    assert DiskChoice(format=DiskFormat.QCOW2).file_ending == ".qcow2"


def test_name_of_the_file_decides_the_format(tmp_path: Path) -> None:
    for name, start in (("a.qcow2", b"QFI"), ("b.img", b"\xfa1")):
        (output,) = write_outputs(make(), Outputs(file=tmp_path / name, kinds=[Emit.DISK]))
        assert output.path.read_bytes().startswith(start)


@pytest.mark.oracle
@pytest.mark.parametrize("table", list(DiskTable))
def test_checkers_find_no_errors(table: DiskTable, tmp_path: Path) -> None:
    image = make(make_uefi_iso(), table=table)
    (output,) = write_image(image, tmp_path, kinds=[Emit.DISK])
    assert b"No errors" in run(require("sfdisk"), "-V", output.path)
    if table is DiskTable.GPT:
        assert b"No problems found" in run(require("sgdisk"), "-v", output.path)
    dumped = run(require("sfdisk"), "-d", output.path).decode()
    assert ("label: gpt" in dumped) == (table is DiskTable.GPT)
    size = int(dumped.partition("size=")[2].partition(",")[0])
    partition = tmp_path / "partition"
    partition.write_bytes(output.path.read_bytes()[MIB : MIB + size * 512])
    run(require("fsck.fat"), "-n", partition)
    run(require("mcopy"), "-i", partition, "::/boot/core.gz", tmp_path / "core.gz")
    assert (tmp_path / "core.gz").read_bytes() == image.core
