"""Test that an overlay may be a place inside a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.errors import ChecksumError, PurekernelError
from purekernel.formats.tar import build_tar
from purekernel.input import DEFAULT_LIMITS
from purekernel.recipe.additions import OverlayChoice
from purekernel.recipe.model import Recipe
from purekernel.recipe.overlays import Overlays, missing_overlays
from purekernel.tree import Directory, File, Metadata, Tree

TIME = 1_700_000_000
FILE = File(metadata=Metadata(mode=0o644, mtime=TIME, uid=1001), content=b"hello\n")
FOLDER = Directory(metadata=Metadata(mode=0o755, mtime=TIME))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = Tree(FOLDER)
    for path in ("site", "site/etc"):
        inner.add(path.encode(), FOLDER)
    inner.add(b"site/etc/motd", FILE)
    inner.link(b"site/etc/issue", b"site/etc/motd")
    inner.add(b"other", FILE)
    outer = Tree(FOLDER)
    outer.add(b"inner.tar", File(metadata=FILE.metadata, content=build_tar(inner)))
    (tmp_path / "outer.tar").write_bytes(build_tar(outer))
    return tmp_path


def layers(folder: Path, *paths: str, **options: object) -> tuple[Tree, ...]:
    choices = tuple(OverlayChoice(path=path, **options) for path in paths)  # type: ignore[arg-type]
    recipe = Recipe(folder=folder, overlays=choices)
    assert not [*missing_overlays(recipe)]
    return tuple(layer.tree for layer in Overlays(recipe, limits=DEFAULT_LIMITS).layers(TIME))


def test_archive_in_an_archive_is_an_overlay(folder: Path) -> None:
    (tree,) = layers(folder, "outer.tar:inner.tar")
    assert tree.read("site/etc/motd") == b"hello\n"
    assert tree[b"other"].metadata.uid == 0


def test_folder_in_an_archive_is_an_overlay_without_its_parents(folder: Path) -> None:
    (tree,) = layers(folder, "outer.tar:inner.tar:site", keep_owners=True)
    assert [path for path, _node in tree.walk()] == [b"", b"etc", b"etc/issue", b"etc/motd"]
    assert tree.inode(b"etc/issue") == tree.inode(b"etc/motd")
    assert tree[b"etc/motd"].metadata.uid == 1001


def test_root_file_system_of_an_iso_is_an_overlay(folder: Path) -> None:
    (folder / "x.iso").write_bytes(make_core_iso())
    (tree,) = layers(folder, "x.iso:boot/core.gz")
    assert b"etc" in tree


def test_digest_is_that_of_the_inner_file(folder: Path) -> None:
    (whole,) = layers(folder, "outer.tar")
    content = whole.read("inner.tar")
    digest = hashlib.sha256(content).hexdigest()
    assert layers(folder, "outer.tar:inner.tar", sha256=digest)
    with pytest.raises(ChecksumError, match=r"outer\.tar:inner\.tar failed verification"):
        layers(folder, "outer.tar:inner.tar", sha256="0" * 64)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_file_on_the_host_with_a_colon_wins(folder: Path) -> None:
    name = "outer.tar:inner.tar"
    (folder / name).mkdir()
    (tree,) = layers(folder, name)
    assert len(tree) == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("outer.tar:iner.tar", "outer.tar has no iner.tar"),
        ("outer.tar:inner.tar:other", "is not a known kind of overlay"),
    ],
)
def test_place_that_is_missing_or_no_overlay_is_an_error(
    folder: Path, path: str, message: str
) -> None:
    with pytest.raises(PurekernelError, match=message):
        layers(folder, path)


def test_missing_file_before_the_colon_is_found_before_anything_is_read(folder: Path) -> None:
    recipe = Recipe(folder=folder, overlays=(OverlayChoice(path="no.tar:inner.tar"),))
    (error,) = missing_overlays(recipe)
    assert "overlay not found" in str(error)
