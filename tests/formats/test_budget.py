"""Every reader takes what it unpacks from the budget of the command."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.gem import pack_members
from purekernel.encode.encoders import Effort
from purekernel.encode.squashfs import SquashfsCompression, make_codec
from purekernel.errors import LimitError
from purekernel.formats import zstd
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.formats.debian import parse_deb
from purekernel.formats.fat import parse_fat
from purekernel.formats.gem import parse_gem
from purekernel.formats.iso import VolumeFields, parse_iso, write_iso
from purekernel.formats.lz4 import build_lz4
from purekernel.formats.squashfs import (
    Options,
    build_squashfs,
    parse_squashfs,
)
from purekernel.formats.tar import build_tar
from purekernel.host.overlay_reader import load_layer, parse_layer
from purekernel.input import Input, Limits
from purekernel.rootfs.modules import unpack_modules
from purekernel.threads import running_executor
from purekernel.tree import File, Metadata, Tree
from tests.debs import deb, entry
from tests.formats.fats import make_fat12

CONTENT = bytes(range(256)) * 512
SIZE = len(CONTENT)
TREE = Tree()
TREE.add(b"f", File(metadata=Metadata(mode=0o644), content=CONTENT))


METADATA = b"""--- !ruby/object:Gem::Specification
name: a
version: !ruby/object:Gem::Version
  version: '1'
"""


def iso() -> bytes:
    stream = io.BytesIO()
    write_iso(TREE, stream, fields=VolumeFields(), boot=None, timestamp=0)
    return stream.getvalue()


def squashfs() -> bytes:
    codec = make_codec(SquashfsCompression.GZIP, Effort.FAST, Options().block_bytes)
    with running_executor(jobs=1) as executor:
        return build_squashfs(TREE, codec=codec, executor=executor)


def gem() -> bytes:
    data = gzip.compress(build_tar(TREE))
    return pack_members({"metadata.gz": gzip.compress(METADATA), "data.tar.gz": data})


READERS: dict[str, tuple[Callable[[], bytes], Callable[[Input], object]]] = {
    "plain tar": (lambda: build_tar(TREE), parse_layer),
    "gzip": (lambda: gzip.compress(build_tar(TREE)), parse_layer),
    "bzip2": (lambda: bz2.compress(build_tar(TREE)), parse_layer),
    "xz": (lambda: lzma.compress(build_tar(TREE)), parse_layer),
    "zstd": (lambda: zstd.compress(build_tar(TREE)), parse_layer),
    "lz4": (lambda: build_lz4(build_tar(TREE)), parse_layer),
    "plain cpio": (lambda: build_cpio(TREE), parse_layer),
    "core": (lambda: build_cpio(Tree()) + gzip.compress(build_cpio(TREE)), parse_cpio),
    "squashfs": (squashfs, parse_squashfs),
    "ISO": (iso, parse_iso),
    "FAT": (lambda: bytes(make_fat12({"A.BIN": CONTENT})), parse_fat),
    "gem": (gem, parse_gem),
    "package": (
        lambda: deb(data=[entry("./"), entry("./f", CONTENT)]),
        lambda file: parse_deb(file).unpack(),
    ),
    "package with a plain data.tar": (
        lambda: deb(data=[entry("./"), entry("./f", CONTENT)], packed=""),
        lambda file: parse_deb(file).unpack(),
    ),
}


@pytest.mark.parametrize("kind", READERS)
def test_second_input_above_the_budget_is_refused_by_name(kind: str) -> None:
    make, read = READERS[kind]
    data = make()
    limits = Limits(unpacked_bytes=2 * SIZE, total_bytes=SIZE * 7 // 4).budgeted()
    read(Input(data, name="first", limits=limits))
    assert limits.budget is not None
    # Nothing is counted twice: there is little around the content.
    assert SIZE <= limits.budget.used_bytes < SIZE * 3 // 2
    with pytest.raises(LimitError) as caught:
        read(Input(data, name="second", limits=limits))
    message = f"at most {SIZE * 7 // 4} bytes unpacked from all inputs together"
    assert str(caught.value).startswith("second")
    assert message in str(caught.value)
    assert "--max-unpacked" in caught.value.hint
    # Without a budget, the limit of one input does not count the others.
    read(Input(data, name="second", limits=limits.unbudgeted()))


def test_folders_and_manifests_take_from_the_budget(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(CONTENT)
    (tmp_path / "list").write_text("#mtree\na type=file contents=f\nb type=file contents=f\n")
    limits = Limits(unpacked_bytes=4 * SIZE, total_bytes=2 * SIZE - 1)
    for path in (tmp_path, tmp_path / "list"):
        budgeted = limits.budgeted()
        if path == tmp_path:
            load_layer(path, mtime=0, limits=budgeted)
        with pytest.raises(LimitError, match="from all inputs together"):
            load_layer(path, mtime=0, limits=budgeted)


def test_manifest_of_a_folder_does_not_count_its_files_again(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(CONTENT)
    (tmp_path / ".mtree").write_text("#mtree\nf type=file\n")
    limits = Limits(unpacked_bytes=SIZE + 1000)
    assert b"f" in load_layer(tmp_path, mtime=0, limits=limits.budgeted()).tree
    (tmp_path / ".mtree").write_text("#mtree\nf type=file\ng type=file contents=f\n")
    limits = Limits(unpacked_bytes=2 * SIZE, total_bytes=SIZE + 1000)
    with pytest.raises(LimitError, match="from all inputs together"):
        load_layer(tmp_path, mtime=0, limits=limits.budgeted())


def test_unpacked_kernel_modules_take_from_the_budget() -> None:
    tree = Tree()
    for name in (b"lib/modules/4/a.ko.gz", b"lib/modules/4/b.ko.gz"):
        tree.add_parents(name)
        tree.add(name, File(metadata=Metadata(mode=0o644), content=gzip.compress(CONTENT)))
    limits = Limits(unpacked_bytes=2 * SIZE)
    assert len(unpack_modules(tree, limits=limits.budgeted())) == len(tree)
    limits = evolve(limits, total_bytes=2 * SIZE - 1)
    with pytest.raises(LimitError, match=r"'lib/modules/4/b\.ko\.gz'.* from all inputs together"):
        unpack_modules(tree, limits=limits.budgeted())
