from __future__ import annotations

import pytest

from purekernel.errors import ConflictError
from purekernel.tree import (
    Directory,
    File,
    Metadata,
    Symlink,
    Tree,
    clamp_times,
    content_bytes,
    newest_time,
    put_file,
    subtree,
)

MADE = Metadata(mode=0o644, mtime=7)


def test_put_file_makes_folders_and_goes_through_links_inside_the_tree() -> None:
    tree = Tree()
    tree.add(b"var", Directory(metadata=MADE))
    tree.add(b"tmp", Symlink(metadata=MADE, target=b"/var/tmp"))
    put_file(tree, b"tmp/mk/version", b"1", metadata=MADE)
    assert tree[b"var/tmp/mk/version"] == File(metadata=MADE, content=b"1")
    assert tree[b"var/tmp"] == Directory(metadata=Metadata(mode=0o755, mtime=7))
    tree.add(b"f", File(metadata=MADE))
    with pytest.raises(ConflictError, match="'f' must be a folder to hold 'f/x' and is a file"):
        put_file(tree, b"f/x", b"", metadata=MADE)


def test_times_are_clamped_and_found() -> None:
    tree = Tree()
    tree.add(b"old", File(metadata=Metadata(mode=0o644, mtime=5)))
    tree.add(b"new", File(metadata=Metadata(mode=0o644, mtime=50)))
    tree.link(b"new2", b"new")
    clamped = clamp_times(tree, 20)
    assert (newest_time(tree), newest_time(clamped)) == (50, 20)
    assert clamped[b"old"].metadata.mtime == 5
    assert list(clamped.hard_links().values()) == [[b"new", b"new2"]]


def test_a_subtree_keeps_the_way_to_it_and_nothing_else() -> None:
    tree = Tree()
    for folder in (b"a", b"a/b", b"a/b/c", b"a/x", b"y"):
        tree.add(folder, Directory(metadata=MADE))
    assert [path for path, _node in subtree(tree, b"a/b").walk()] == [b"", b"a", b"a/b", b"a/b/c"]


def test_contents_are_counted_once_for_each_inode() -> None:
    tree = Tree()
    tree.add(b"a", File(metadata=MADE, content=b"12345"))
    tree.link(b"b", b"a")
    tree.add(b"c", File(metadata=MADE, content=b"12"))
    assert content_bytes(tree) == 7
