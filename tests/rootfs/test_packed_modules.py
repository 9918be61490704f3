from __future__ import annotations

import gzip

import pytest

from purekernel.errors import FormatError, LimitError
from purekernel.input import Limits
from purekernel.rootfs.modules import is_packed_module, unpack_modules
from purekernel.tree import File, Metadata, Symlink, Tree

FOLDER = b"lib/modules/3.0.3/kernel/"
CONTENT = b"\x7fELF of a module" * 50


def put(tree: Tree, path: bytes, content: bytes) -> None:
    tree.add_parents(path)
    tree.add(path, File(metadata=Metadata(mode=0o640, mtime=7), content=content))


def content_of(tree: Tree, path: bytes) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return bytes(node.content)


def names(tree: Tree) -> set[bytes]:
    return {path for path, node in tree.walk() if isinstance(node, File | Symlink)}


def test_packed_module_is_detected_by_path() -> None:
    for folder in (b"lib/modules/", b"usr/lib/modules/", b"usr/local/lib/modules/"):
        assert is_packed_module(folder + b"x/a.ko.gz")
    for path in (b"lib/modules/x/a.ko", b"lib/modules/x/a.ko.xz", b"opt/a.ko.gz", b"lib/a.ko.gz"):
        assert not is_packed_module(path)


def test_packed_modules_are_unpacked_and_renamed() -> None:
    tree = Tree()
    put(tree, FOLDER + b"a.ko.gz", gzip.compress(CONTENT))
    put(tree, b"opt/b.ko.gz", gzip.compress(CONTENT))
    before = tree.copy()
    found = unpack_modules(tree)
    assert tree == before
    assert names(found) == {FOLDER + b"a.ko", b"opt/b.ko.gz"}
    assert content_of(found, FOLDER + b"a.ko") == CONTENT
    assert found[FOLDER + b"a.ko"].metadata == Metadata(mode=0o640, mtime=7)


def test_links_to_packed_modules_are_changed() -> None:
    tree = Tree()
    put(tree, FOLDER + b"a.ko.gz", gzip.compress(CONTENT))
    tree.link(FOLDER + b"b.ko.gz", FOLDER + b"a.ko.gz")
    for name, target in ((b"c.ko.gz", b"a.ko.gz"), (b"d.ko.gz", b"../elsewhere")):
        tree.add(FOLDER + name, Symlink(metadata=Metadata(mode=0o777), target=target))
    found = unpack_modules(tree)
    assert names(found) == {FOLDER + name for name in (b"a.ko", b"b.ko", b"c.ko", b"d.ko.gz")}
    assert found.inode(FOLDER + b"a.ko") == found.inode(FOLDER + b"b.ko")
    assert content_of(found, FOLDER + b"b.ko") == CONTENT
    link = found[FOLDER + b"c.ko"]
    assert isinstance(link, Symlink)
    assert link.target == b"a.ko"


def test_module_with_existing_plain_name_stays_packed() -> None:
    tree = Tree()
    put(tree, FOLDER + b"a.ko.gz", gzip.compress(CONTENT))
    put(tree, FOLDER + b"a.ko", b"another")
    assert unpack_modules(tree) == tree


def test_damaged_module_and_bomb_are_refused() -> None:
    tree = Tree()
    put(tree, FOLDER + b"a.ko.gz", gzip.compress(CONTENT)[:-9])
    with pytest.raises(FormatError, match=r"'lib/modules/3\.0\.3/kernel/a\.ko\.gz', byte"):
        unpack_modules(tree)
    tree = Tree()
    put(tree, FOLDER + b"a.ko.gz", gzip.compress(CONTENT))
    with pytest.raises(LimitError):
        unpack_modules(tree, limits=Limits(unpacked_bytes=len(CONTENT) - 1))
