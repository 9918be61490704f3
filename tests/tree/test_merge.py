from __future__ import annotations

import pytest

from purekernel.errors import PurekernelError
from purekernel.tree import Directory, File, Metadata, Node, Symlink, Tree, merge


def folder(mode: int = 0o755, uid: int = 0, gid: int = 0, mtime: int = 1) -> Directory:
    return Directory(metadata=Metadata(mode=mode, uid=uid, gid=gid, mtime=mtime))


def file(content: bytes = b"x", mode: int = 0o644) -> File:
    return File(metadata=Metadata(mode=mode), content=content)


def link(target: bytes) -> Symlink:
    return Symlink(metadata=Metadata(mode=0o777), target=target)


def tree(nodes: dict[bytes, Node]) -> Tree:
    made = Tree()
    for path, node in nodes.items():
        made.add(path, node)
    return made


def test_base_folder_keeps_owner_mode_and_time() -> None:
    base = tree({b"tmp": folder(0o1777), b"opt": folder(0o2775, 0, 50)})
    overlay = tree({b"tmp": folder(mtime=9), b"opt": folder(uid=1234), b"opt/x": file()})
    merged = merge(base, overlay)
    assert merged[b"tmp"] == folder(0o1777)
    assert merged[b"opt"] == folder(0o2775, 0, 50)
    assert b"opt/x" in merged


def test_stated_folder_metadata_replaces_base_per_field() -> None:
    base = tree({b"opt": folder(0o2775, 0, 50, mtime=5)})
    overlay = tree({b"opt": folder(0o700, 7, 8, mtime=9)})
    merged = merge(base, overlay, stated={b"opt": frozenset({"mode"})})
    assert merged[b"opt"] == folder(0o700, 0, 50, mtime=5)
    merged = merge(base, overlay, stated={b"opt": frozenset({"mode", "uid", "gid", "mtime"})})
    assert merged[b"opt"] == folder(0o700, 7, 8, mtime=9)


def test_root_metadata_follows_folder_rules() -> None:
    overlay = Tree(folder(0o700))
    assert merge(Tree(folder(0o755)), overlay)[b""] == folder(0o755)
    stated = {b"": frozenset({"mode"})}
    assert merge(Tree(folder(0o755)), overlay, stated=stated)[b""] == folder(0o700)


def test_files_and_links_replace_each_other() -> None:
    base = tree({b"a": file(b"old"), b"b": link(b"a"), b"c": file(b"c")})
    merged = merge(base, tree({b"a": link(b"c"), b"b": file(b"new")}))
    assert merged[b"a"] == link(b"c")
    assert merged[b"b"] == file(b"new")
    assert merged[b"c"] == file(b"c")
    assert base[b"a"] == file(b"old")


def test_overlay_hard_links_stay_and_base_hard_links_split() -> None:
    base = tree({b"a": file(b"busybox")})
    base.link(b"b", b"a")
    overlay = tree({b"b": file(b"new")})
    overlay.link(b"c", b"b")
    merged = merge(base, overlay)
    assert list(merged.hard_links().values()) == [[b"b", b"c"]]
    assert merged[b"a"] == file(b"busybox")


def test_base_link_to_folder_is_followed_inside_tree() -> None:
    base = tree({
        b"usr": folder(), b"usr/lib": folder(), b"lib": link(b"/usr/lib"),
        b"out": link(b"../../../usr"),
    })  # fmt: skip
    overlay = tree({b"lib": folder(0o700), b"lib/a": file(), b"out": folder(), b"out/b": file()})
    merged = merge(base, overlay)
    assert merged[b"lib"] == link(b"/usr/lib")
    assert merged[b"usr/lib/a"] == file()
    assert merged[b"usr/b"] == file()
    assert merged[b"usr/lib"] == folder()


def test_link_replaces_only_an_empty_folder() -> None:
    base = tree({b"empty": folder(), b"full": folder(), b"full/x": file()})
    assert merge(base, tree({b"empty": link(b"full")}))[b"empty"] == link(b"full")
    with pytest.raises(PurekernelError) as caught:
        merge(base, tree({b"full": link(b"empty")}))
    assert str(caught.value) == "'full' is a folder, and a symbolic link cannot replace it"


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({b"f": folder()}, "'f' must be a folder, got a file"),
        ({b"d": file()}, "'d' is a folder, and a file cannot replace it"),
        (
            {b"to-file": folder()},
            (
                "'to-file' is a folder in the overlay; in the base it is a symbolic link to 'f', "
                "which is not a folder"
            ),
        ),
        (
            {b"dangling": folder()},
            (
                "'dangling' is a folder in the overlay; in the base it is a symbolic link to "
                "'no-such', which is not a folder"
            ),
        ),
        (
            {b"loop": folder()},
            "folder 'loop' of the overlay: 'loop' passes through more than 40 symbolic links",
        ),
    ],
)
def test_merge_conflict_is_refused(over: dict[bytes, Node], message: str) -> None:
    base = tree({
        b"f": file(), b"d": folder(), b"to-file": link(b"f"), b"dangling": link(b"no-such"),
        b"loop": link(b"loop"),
    })  # fmt: skip
    with pytest.raises(PurekernelError) as caught:
        merge(base, tree(over))
    assert str(caught.value) == message


def test_hard_link_does_not_point_to_replacement_of_first_name() -> None:
    base = tree({b"lib": folder(), b"lib64": link(b"lib")})
    overlay = tree({
        b"lib": folder(), b"lib/x": file(b"one"), b"lib64": folder(), b"lib64/x": file(b"two"),
    })  # fmt: skip
    overlay.link(b"z", b"lib/x")
    overlay.link(b"zz", b"lib/x")
    merged = merge(base, overlay)
    assert merged[b"lib/x"] == file(b"two")
    assert merged[b"z"] == file(b"one")
    assert list(merged.hard_links().values()) == [[b"z", b"zz"]]


def test_kept_limits_which_folders_keep_metadata() -> None:
    core = tree({b"core": folder(0o700)})
    earlier = merge(core, tree({b"core": folder(0o711), b"new": folder(0o711)}), kept=core)
    later = merge(earlier, tree({b"core": folder(0o722), b"new": folder(0o722)}), kept=core)
    assert later[b"core"] == folder(0o700)
    assert later[b"new"] == folder(0o722)
    assert merge(later, tree({b"new": folder(0o733)}))[b"new"] == folder(0o722)


def test_explicit_folder_overrides_implied_folder() -> None:
    implying = Tree()
    implying.add_parents(b"a/b/c")
    implying.add(b"a/b/c", file())
    said = tree({b"a": folder(0o700), b"a/b": folder(0o711)})
    for merged in (merge(said, implying), merge(merge(Tree(), implying), said)):
        assert (merged[b"a"], merged[b"a/b"]) == (folder(0o700), folder(0o711))
        assert merged.implied() == []
        assert merged[b"a/b/c"] == file()
    assert merge(Tree(), implying).implied() == [b"a", b"a/b"]
    with pytest.raises(PurekernelError, match="'a' must be a folder, got a file"):
        merge(tree({b"a": file()}), implying)
