from __future__ import annotations

import pytest

from purekernel.errors import ConflictError, PathError
from purekernel.tree import (
    Directory,
    File,
    Metadata,
    Symlink,
    Tree,
    clamp_times,
    content_bytes,
    date_all,
    difference,
    newest_time,
    put_file,
    subtree,
)

METADATA = Metadata(mode=0o644, mtime=7)


def test_put_file_creates_parents_and_follows_links() -> None:
    tree = Tree()
    tree.add(b"var", Directory(metadata=METADATA))
    tree.add(b"tmp", Symlink(metadata=METADATA, target=b"/var/tmp"))
    put_file(tree, b"tmp/mk/version", b"1", metadata=METADATA)
    assert tree[b"var/tmp/mk/version"] == File(metadata=METADATA, content=b"1")
    assert tree[b"var/tmp"] == Directory(metadata=Metadata(mode=0o755, mtime=7))
    tree.add(b"f", File(metadata=METADATA))
    with pytest.raises(ConflictError, match="'f' must be a folder to hold 'f/x', got a file"):
        put_file(tree, b"f/x", b"", metadata=METADATA)
    for path in (b"opt/../etc/shadow", b"/etc/shadow", b""):
        with pytest.raises(PathError):
            put_file(tree, path, b"", metadata=METADATA)


def test_difference_returns_changed_nodes_with_parents() -> None:
    old = Tree()
    folder = Metadata(mode=0o755)
    for path in (b"etc", b"usr", b"usr/bin", b"var"):
        old.add(path, Directory(metadata=folder))
    for path in (b"etc/motd", b"etc/gone", b"usr/bin/same"):
        old.add(path, File(metadata=METADATA, content=b"old"))
    new = old.copy()
    new.replace(b"etc/motd", File(metadata=METADATA, content=b"new"))
    new.remove(b"etc/gone")
    new.add(b"usr/bin/first", File(metadata=METADATA, content=b"x"))
    new.link(b"usr/bin/second", b"usr/bin/first")
    new.replace(b"var", Directory(metadata=Metadata(mode=0o700)))
    changes = difference(old, new)
    assert sorted(path for path, _node in changes.walk() if path) == [
        b"etc", b"etc/motd", b"usr", b"usr/bin", b"usr/bin/first", b"usr/bin/second", b"var",
    ]  # fmt: skip
    assert changes[b"etc/motd"] == new[b"etc/motd"]
    assert changes[b"var"] == new[b"var"]
    assert changes.inode(b"usr/bin/first") == changes.inode(b"usr/bin/second")
    assert [path for path, _node in difference(old, old).walk()] == [b""]


def test_date_all_sets_every_time() -> None:
    tree = Tree()
    tree.add(b"a", Directory(metadata=Metadata(mode=0o755, mtime=1)))
    tree.add(b"a/b", File(metadata=Metadata(mode=0o644, mtime=9), content=b"x"))
    tree.link(b"a/c", b"a/b")
    dated = date_all(tree, 5)
    assert {node.metadata.mtime for _path, node in dated.walk()} == {5}
    assert dated.inode(b"a/b") == dated.inode(b"a/c")
    assert tree[b"a/b"].metadata.mtime == 9


def test_clamp_times_and_newest_time() -> None:
    tree = Tree()
    tree.add(b"old", File(metadata=Metadata(mode=0o644, mtime=5)))
    tree.add(b"new", File(metadata=Metadata(mode=0o644, mtime=50)))
    tree.link(b"new2", b"new")
    clamped = clamp_times(tree, 20)
    assert (newest_time(tree), newest_time(clamped)) == (50, 20)
    assert clamped[b"old"].metadata.mtime == 5
    assert list(clamped.hard_links().values()) == [[b"new", b"new2"]]


def test_subtree_keeps_only_folder_and_its_parents() -> None:
    tree = Tree()
    for folder in (b"a", b"a/b", b"a/b/c", b"a/x", b"y"):
        tree.add(folder, Directory(metadata=METADATA))
    assert [path for path, _node in subtree(tree, b"a/b").walk()] == [b"", b"a", b"a/b", b"a/b/c"]


def test_content_bytes_counts_hard_links_once() -> None:
    tree = Tree()
    tree.add(b"a", File(metadata=METADATA, content=b"12345"))
    tree.link(b"b", b"a")
    tree.add(b"c", File(metadata=METADATA, content=b"12"))
    assert content_bytes(tree) == 7
