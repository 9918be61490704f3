"""Test what is described of images, with images that independent programs made."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.analysis.inspection import Inspection, inspect_image
from purekernel.analysis.sections import Section
from purekernel.formats.cpio import build_cpio
from purekernel.formats.mtree import EntryType, build_mtree, parse_mtree
from purekernel.formats.tar import build_tar
from purekernel.input import Input, Limits, limits_of
from purekernel.tree import Metadata, Tree, put_file
from tests.analysis.images import pack, tree_of
from tests.oracles import require, run


def inspect(path: Path, limits: Limits | None = None) -> Inspection:
    return inspect_image(str(path), limits=limits or limits_of(None))


def sections(found: Inspection, place: str = "") -> dict[str, Section]:
    for part, structure in zip(found.contents.parts, found.structures, strict=True):
        if part.place == place:
            return {section.key: section for section in structure.sections}
    raise AssertionError(f"no part at {place!r}")


def make_layout(*layers: Tree) -> dict[str, bytes]:
    """Return the files of an OCI image layout of these layers."""
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def add(content: bytes) -> dict[str, str]:
        digest = hashlib.sha256(content).hexdigest()
        files[f"blobs/sha256/{digest}"] = content
        return {"digest": f"sha256:{digest}"}

    manifest = {
        "config": add(json.dumps({"os": "linux", "config": {"Cmd": ["sh"]}}).encode()),
        "layers": [add(build_tar(layer)) for layer in layers],
    }
    index = {"manifests": [add(json.dumps(manifest).encode())]}
    return {**files, "index.json": json.dumps(index).encode()}


def test_layers_are_merged_and_whiteouts_remove(tmp_path: Path) -> None:
    lower = tree_of({"etc/a": b"a", "etc/b": b"b", "opt/x": b"x", "opt/y": b"y"})
    upper = tree_of({"etc/.wh.a": b"", "opt/.wh..wh..opq": b"", "opt/z": b"z"})
    image = tmp_path / "image.tar"
    image.write_bytes(build_tar(tree_of(make_layout(lower, upper))))
    found = inspect(image)
    assert not found.faults
    assert found.contents.root is not None
    assert [path for path, _node in found.contents.root.walk()] == [
        b"", b"etc", b"etc/b", b"opt", b"opt/z",
    ]  # fmt: skip
    section = sections(found)["oci"]
    assert (section.facts["os"], section.facts["command"]) == ("linux", ["sh"])
    assert [row["layer"] for row in section.rows] == [1, 2]


def test_layer_with_another_digest_is_a_fault(tmp_path: Path) -> None:
    files = make_layout(tree_of({"etc/a": b"a"}))
    layer = max(files, key=lambda name: len(files[name]))
    image = tmp_path / "image.tar"
    image.write_bytes(build_tar(tree_of({**files, layer: files[layer] + bytes(512)})))
    found = inspect(image)
    assert len(found.faults) == 1
    assert "expected the digest" in str(found.faults[0])


def test_manifest_is_read_back_with_odd_names() -> None:
    tree = Tree()
    name = b"a b#\\*\xff\n="
    put_file(tree, b"d/" + name, b"x", metadata=Metadata(mode=0o4755, uid=7, gid=8, mtime=-9))
    text = b"\n".join(build_mtree(tree)) + b"\n"
    assert text.isascii()
    entry = parse_mtree(Input(text, name="m"))[-1]
    assert (entry.path, entry.kind) == (b"d/" + name, EntryType.FILE)
    assert entry.metadata == {"mode": 0o4755, "uid": 7, "gid": 8, "mtime": -9}
    assert entry.digests == (("sha256", hashlib.sha256(b"x").hexdigest()),)


def test_truncated_iso_has_all_names_and_the_cut_initrd(tmp_path: Path) -> None:
    image = tmp_path / "cut.iso"
    whole = make_core_iso()
    (tmp_path / "whole.iso").write_bytes(whole)
    image.write_bytes(whole[: whole.index(b"\x1f\x8b") + 3000])
    found = inspect(image)
    names = [path for path, _node in inspect(tmp_path / "whole.iso").contents.disc.walk()]
    assert [path for path, _node in found.contents.disc.walk()] == names
    assert {"volume", "el_torito"} <= sections(found).keys()
    assert len(found.faults) >= 1


@pytest.mark.parametrize("kept", [97, 150, 200])
def test_truncated_extension_is_a_fault_and_its_superblock_is_described(
    tmp_path: Path, kept: int
) -> None:
    image = tmp_path / "a.tcz"
    content = pack(tree_of({"usr/a": b"a" * 5000}))
    image.write_bytes(content[:kept])
    found = inspect(image)
    assert len(found.faults) == 1
    assert sections(found)["squashfs"].facts["compression"] == "gzip"


def test_bomb_stops_at_the_limit(tmp_path: Path) -> None:

    image = tmp_path / "bomb"
    image.write_bytes(gzip.compress(build_cpio(tree_of({"a": bytes(4 << 20)}))))
    found = inspect(image, limits_of(1 << 20))
    assert [fault.code for fault in found.faults] == ["limit"]


@pytest.mark.oracle
def test_disk_by_sfdisk_and_mkfs_has_its_partition_raw_and_as_qcow2(tmp_path: Path) -> None:
    sfdisk, mkfs, mcopy, qemu_img = map(require, ("sfdisk", "mkfs.fat", "mcopy", "qemu-img"))
    volume, disk = tmp_path / "fat.img", tmp_path / "disk.img"
    volume.write_bytes(bytes(4 << 20))
    run(mkfs, "-n", "PLAYGROUND", volume)
    (tmp_path / "hello.txt").write_bytes(b"hello")
    run(mcopy, "-i", volume, tmp_path / "hello.txt", "::HELLO.TXT")
    disk.write_bytes(bytes(8 << 20))
    run(sfdisk, disk, stdin=b"label: gpt\nstart=2048, size=8192, type=uefi, name=first\n")
    content = bytearray(disk.read_bytes())
    content[1 << 20 : 5 << 20] = volume.read_bytes()
    disk.write_bytes(content)
    run(qemu_img, "convert", "-c", "-O", "qcow2", disk, tmp_path / "disk.qcow2")
    for image in (disk, tmp_path / "disk.qcow2"):
        found = inspect(image)
        assert not found.faults
        assert sections(found, "1")["fat"].facts["volume_bytes"] == 4 << 20
        part = found.contents.part("1")
        assert part is not None
        assert part.tree.read("HELLO.TXT") == b"hello"
    facts = sections(inspect(disk))
    assert facts["gpt"].rows[0]["label"] == "first"
    assert facts["gpt"].rows[0]["name"] == "EFI system"
    assert sections(inspect(tmp_path / "disk.qcow2"))["qcow2"].facts["disk_bytes"] == 8 << 20


@pytest.mark.oracle
@pytest.mark.parametrize("program", ["genisoimage", "xorriso"])
def test_iso_of_others_has_their_fields_entries_and_names(program: str, tmp_path: Path) -> None:
    maker = require(program)
    top = tmp_path / "top"
    (top / "boot").mkdir(parents=True)
    (top / "boot/loader.bin").write_bytes(bytes(3000))
    (top / "readme.txt").write_bytes(b"hello")
    command = [maker, "-as", "mkisofs"] if program == "xorriso" else [maker]
    run(
        *command, "-quiet", "-R", "-J", "-V", "MYDISC", "-b", "boot/loader.bin", "-c",
        "boot/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-o", tmp_path / "x.iso", top,
    )  # fmt: skip
    found = inspect(tmp_path / "x.iso")
    assert not found.faults
    facts = sections(found)
    assert facts["volume"].facts["volume_id"] == "MYDISC"
    assert facts["volume"].facts["rock_ridge"]
    assert facts["volume"].facts["joliet"]
    (entry,) = facts["el_torito"].rows
    assert (entry["firmware"], entry["image"]) == ("BIOS", "boot/loader.bin")
    assert [path for path, _node in found.contents.parts[0].tree.walk()] == [
        b"", b"boot", b"boot/boot.cat", b"boot/loader.bin", b"readme.txt",
    ]  # fmt: skip


@pytest.mark.oracle
def test_initrd_by_gnu_cpio_in_two_segments_is_described(tmp_path: Path) -> None:
    cpio, gzip_program = require("cpio"), require("gzip")
    (tmp_path / "kernel").mkdir()
    (tmp_path / "a").write_bytes(b"a" * 100)
    first = run(cpio, "-o", "-H", "newc", "--quiet", stdin=b"kernel\n", cwd=tmp_path)
    archive = run(cpio, "-o", "-H", "newc", "--quiet", stdin=b"a\n", cwd=tmp_path)
    second = run(gzip_program, "-9n", stdin=archive)
    image = tmp_path / "initrd"
    image.write_bytes(first + second)
    rows = sections(inspect(image))["initrd"].rows
    assert [(row["compression"], row["members"], row["archives"]) for row in rows] == [
        (None, 1, 1), ("gzip", 1, 1),
    ]  # fmt: skip
    assert [row["packed_bytes"] for row in rows][1] == len(second)
    assert rows[1]["offset"] == len(first)


@pytest.mark.oracle
def test_manifest_is_accepted_by_bsdtar(tmp_path: Path) -> None:
    bsdtar = require("bsdtar")
    image = tmp_path / "a.cpio"
    image.write_bytes(build_cpio(tree_of({"d/a b": b"x", "d/l": b"->a b"})))
    lines = inspect(image).mtree(lambda fault: pytest.fail(str(fault)))
    manifest = tmp_path / "m"
    manifest.write_bytes(b"\n".join(lines) + b"\n")
    listed = run(bsdtar, "-tf", manifest).decode().split("\n")
    assert {"./d/a b", "./d/l"} <= set(listed)


@pytest.mark.oracle
def test_extension_by_mksquashfs_adds_up(tmp_path: Path) -> None:
    mksquashfs = require("mksquashfs")
    (tmp_path / "top").mkdir()
    (tmp_path / "top/a").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "top/b").write_bytes(b"small")
    run(mksquashfs, tmp_path / "top", tmp_path / "x.tcz", "-b", "4096", "-noappend", "-quiet")
    found = inspect(tmp_path / "x.tcz")
    (usage,) = found.usage_json()
    entries = usage["entries"]
    assert isinstance(entries, list)
    sizes = {entry["path"]: entry for entry in entries}
    assert sizes[b"a"]["bytes"] == 256000
    assert 0 < sizes[b"a"]["packed_bytes"] < (tmp_path / "x.tcz").stat().st_size
    assert sizes[b""]["packed_bytes"] == sizes[b"a"]["packed_bytes"] + sizes[b"b"]["packed_bytes"]
