from __future__ import annotations

import pytest
from attrs import evolve

from purekernel.errors import ConflictError, LinkLoopError, MissingPathError
from purekernel.tree import Directory, File, Metadata, Symlink, Tree

FOLDER = Directory(metadata=Metadata(mode=0o755))
FILE = File(metadata=Metadata(mode=0o644), content=b"one")
OTHER = File(metadata=Metadata(mode=0o600), content=b"two")


def small() -> Tree:
    tree = Tree()
    tree.add(b"etc", FOLDER)
    tree.add(b"etc/b", FILE)
    tree.add(b"etc/a", OTHER)
    tree.add(b"etc-x", FILE)
    return tree


def test_walk_yields_parents_first_and_siblings_in_byte_order() -> None:
    tree = small()
    tree.add(b"\xff", FILE)
    assert [path for path, _node in tree.walk()] == [
        b"", b"etc", b"etc/a", b"etc/b", b"etc-x", b"\xff",
    ]  # fmt: skip
    assert [path for path, _node in tree.walk(b"etc")] == [b"etc", b"etc/a", b"etc/b"]


def test_hard_link_shares_inode() -> None:
    tree = small()
    tree.link(b"linked", b"etc/a")
    tree.replace(b"linked", FILE)
    assert tree[b"etc/a"] == FILE
    assert list(tree.hard_links().values()) == [[b"etc/a", b"linked"]]
    tree.add(b"linked", OTHER)
    assert tree[b"etc/a"] == FILE
    assert tree.hard_links() == {}


def test_link_to_itself_changes_nothing() -> None:
    tree = small()
    tree.link(b"etc/a", b"etc/a")
    assert tree == small()


def test_removing_last_name_deletes_node() -> None:
    tree = small()
    tree.link(b"linked", b"etc/a")
    tree.remove(b"etc")
    assert tree[b"linked"] == OTHER
    tree.remove(b"linked")
    assert sorted(tree._nodes) == sorted(set(tree._inodes.values()))
    assert [path for path, _node in tree.walk()] == [b"", b"etc-x"]


def test_copy_is_independent_and_shares_contents() -> None:
    tree = small()
    copy = tree.copy()
    assert copy == tree
    copy.remove(b"etc")
    copy.add(b"etc-x", OTHER)
    assert tree == small()
    assert tree[b"etc-x"] is FILE


def test_equality_compares_names_nodes_contents_and_links() -> None:
    tree = small()
    for change in (
        lambda copy: copy.add(b"new", FILE),
        lambda copy: copy.add(b"etc/a", FILE),
        lambda copy: copy.add(b"etc", Directory(metadata=Metadata(mode=0o700))),
        lambda copy: copy.link(b"etc-x", b"etc/b"),
    ):
        copy = tree.copy()
        change(copy)
        assert copy != tree


def test_adding_existing_folder_keeps_entries() -> None:
    tree = small()
    tree.add(b"etc", Directory(metadata=Metadata(mode=0o700)))
    assert tree[b"etc"].metadata.mode == 0o700
    assert tree.entries(b"etc") == [b"a", b"b"]


@pytest.mark.parametrize(
    ("path", "node", "error", "message"),
    [
        (b"etc", FILE, ConflictError, "'etc' is a folder, and a file cannot replace it"),
        (b"etc/a", FOLDER, ConflictError, "'etc/a' must be a folder, got a file"),
        (
            b"etc/a/x",
            FILE,
            ConflictError,
            "'etc/a' must be a folder to hold 'etc/a/x', got a file",
        ),
        (b"no/x", FILE, MissingPathError, "the image has no folder 'no'"),
        (b"", FILE, ConflictError, "'' is a folder, and a file cannot replace it"),
    ],
)
def test_add_conflict_is_refused(
    path: bytes, node: File, error: type[Exception], message: str
) -> None:
    tree = small()
    with pytest.raises(error) as caught:
        tree.add(path, node)
    assert str(caught.value) == message
    assert tree == small()


def test_missing_path_raises() -> None:
    tree = small()
    assert tree.get(b"no") is None
    assert b"no" not in tree
    for look in (tree.__getitem__, tree.inode, tree.entries, tree.remove):
        with pytest.raises(MissingPathError):
            look(b"no")
    with pytest.raises(MissingPathError):
        tree.entries(b"etc/a")


def test_folders_and_root_cannot_be_linked_removed_or_replaced() -> None:
    tree = small()
    with pytest.raises(ConflictError):
        tree.link(b"x", b"etc")
    with pytest.raises(ConflictError):
        tree.link(b"etc", b"etc-x")
    with pytest.raises(ConflictError):
        tree.remove(b"")
    with pytest.raises(ConflictError):
        tree.replace(b"etc", FILE)


def test_add_parents_creates_missing_and_refuses_files() -> None:
    tree = small()
    tree.add_parents(b"etc/x/y/z", Metadata(mode=0o750))
    assert tree[b"etc/x/y"] == Directory(metadata=Metadata(mode=0o750))
    assert tree[b"etc"] == FOLDER
    with pytest.raises(ConflictError):
        tree.add_parents(b"etc/a/x")
    tree.add(b"link", Symlink(metadata=Metadata(mode=0o777), target=b"etc"))
    with pytest.raises(ConflictError):
        tree.add_parents(b"link/x")


def test_implied_folders_are_tracked() -> None:
    tree = Tree()
    tree.add_parents(b"a/b/c")
    assert tree.implied() == [b"a", b"a/b"]
    assert tree.copy().implied() == [b"a", b"a/b"]
    tree.add(b"a", FOLDER)
    assert not tree.is_implied(b"a")
    assert tree.is_implied(b"a/b")
    tree.remove(b"a/b")
    assert tree.implied() == []
    with pytest.raises(ConflictError, match="'a' already exists in the image"):
        tree.imply(b"a")


def test_read_follows_links_and_takes_text_or_bytes() -> None:
    tree = small()
    tree.add(b"link", Symlink(metadata=Metadata(mode=0o777), target=b"/etc/a"))
    tree.add("etc/ä".encode(), FILE)
    assert tree.read("link") == tree.read(b"etc/a") == tree.read("/etc/a") == b"two"
    assert tree.read("etc/ä") == b"one"
    with pytest.raises(MissingPathError, match="the image has no 'etc/c'"):
        tree.read("etc/c")
    with pytest.raises(ConflictError, match="'etc' must be a file, and is a folder"):
        tree.read("etc")
    tree.add(b"loop", Symlink(metadata=Metadata(mode=0o777), target=b"loop"))
    with pytest.raises(LinkLoopError):
        tree.read("loop")


def test_removed_hard_link_leaves_the_others_linked() -> None:
    tree = small()
    tree.link(b"two", b"etc/a")
    tree.link(b"three", b"two")
    tree.remove(b"etc/a")
    assert list(tree.hard_links().values()) == [[b"three", b"two"]]
    tree.remove(b"three")
    assert tree.hard_links() == {}
    tree.link(b"four", b"two")
    assert list(tree.hard_links().values()) == [[b"four", b"two"]]


def test_nodes_are_those_of_the_walk_with_hard_links_once() -> None:
    tree = small()
    tree.link(b"linked", b"etc/a")
    assert sorted(map(repr, tree.nodes())) == sorted(
        repr(node) for path, node in tree.walk() if path != b"linked"
    )


def test_metadata_is_changed_once_for_all_nodes_that_share_it() -> None:
    tree = small()
    tree.link(b"linked", b"etc/a")
    seen = []

    def later(metadata: Metadata) -> Metadata:
        seen.append(metadata)
        return metadata if metadata == OTHER.metadata else evolve(metadata, mtime=5)

    changed = tree.map_metadata(later)
    assert seen.count(FILE.metadata) == 1
    assert tree == with_link(small())
    assert changed[b"etc/b"] == File(metadata=Metadata(mode=0o644, mtime=5), content=b"one")
    assert changed[b"etc/b"].metadata is changed[b"etc-x"].metadata
    assert changed[b"etc/a"] is OTHER
    assert changed[b"etc"] == Directory(metadata=Metadata(mode=0o755, mtime=5))
    assert list(changed.hard_links().values()) == [[b"etc/a", b"linked"]]


def with_link(tree: Tree) -> Tree:
    tree.link(b"linked", b"etc/a")
    return tree


def test_names_of_an_inode_are_counted() -> None:
    tree = Tree()
    for name in (b"a", b"b"):
        tree.add(name, File(metadata=Metadata(mode=0o644), content=name))
    tree.link(b"c", b"a")
    tree.link(b"d", b"a")
    assert [tree.count_names(path) for path in (b"", b"a", b"b", b"c")] == [1, 3, 1, 3]
    tree.remove(b"a")
    assert tree.count_names(b"d") == 2
    tree.remove(b"c")
    assert tree.count_names(b"d") == 1
    with pytest.raises(MissingPathError):
        tree.count_names(b"a")


def test_recorded_paths_are_those_that_got_a_node() -> None:
    tree = Tree()
    tree.add(b"folder", Directory(metadata=Metadata(mode=0o755)))
    for path in (b"a", b"b", b"c"):
        tree.add(path, File(metadata=Metadata(mode=0o644), content=path))
    tree.link(b"folder/a", b"a")
    with tree.recorded() as paths:
        tree.replace(b"a", File(metadata=Metadata(mode=0o644), content=b"new"))
        tree.add(b"folder", Directory(metadata=Metadata(mode=0o700)))
        tree.add(b"new", File(metadata=Metadata(mode=0o644), content=b"new"))
        tree.link(b"link", b"c")
        tree.remove(b"b")
    tree.add(b"later", File(metadata=Metadata(mode=0o644), content=b"later"))
    assert paths == {b"a", b"folder/a", b"folder", b"new", b"link"}


def test_changed_paths_are_those_with_another_node_object() -> None:
    old = Tree()
    for path in (b"a", b"b", b"c", b"d"):
        old.add(path, File(metadata=Metadata(mode=0o644), content=path))
    new = old.copy()
    assert new.changed_since(old) == []
    new.replace(b"a", File(metadata=Metadata(mode=0o644), content=b"a"))
    new.link(b"e", b"b")
    new.remove(b"b")
    new.link(b"c", b"d")
    new.add(b"f", File(metadata=Metadata(mode=0o644), content=b"f"))
    assert sorted(new.changed_since(old)) == [b"a", b"c", b"e", b"f"]
