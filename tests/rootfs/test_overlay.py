from __future__ import annotations

import pytest

from purekernel.rootfs.overlay import OverlayTree
from purekernel.tree import Directory, File, Metadata, Symlink, Tree

MTIME = 1_400_000_000
PLAIN_FOLDER = Metadata(mode=0o755, mtime=MTIME)


def make_source() -> Tree:
    """Return a tree with owners, unusual modes, hard links, and a folder without an entry."""
    tree = Tree(Directory(metadata=Metadata(mode=0o700, uid=5, gid=6, mtime=1)))
    tree.add(b"kept", Directory(metadata=Metadata(mode=0o1777, uid=5, gid=6, mtime=2)))
    content = File(metadata=Metadata(mode=0o640, uid=5, gid=6, mtime=3), content=b"x")
    tree.add(b"kept/a", content)
    tree.link(b"kept/b", b"kept/a")
    tree.imply(b"implied")
    tree.add(b"implied/c", content)
    return tree


def entries(tree: Tree) -> dict[bytes, Metadata]:
    return {path: node.metadata for path, node in tree.walk()}


@pytest.mark.parametrize("kind", ["folder", "file", "link", "files", "copy"])
def test_missing_folders_have_mode_0755_and_the_time_of_the_overlay(kind: str) -> None:
    overlay = OverlayTree(MTIME)
    if kind == "folder":
        overlay.folder(b"usr/local/bin")
    elif kind == "file":
        overlay.file(b"usr/local/bin/x", b"", 0o755)
    elif kind == "link":
        overlay.link(b"usr/local/bin/x", b"y")
    elif kind == "files":
        overlay.files(b"usr/local/bin", {"x": b""})
    else:
        overlay.copy(make_source(), b"kept/a", b"usr/local/bin/x")
    made = entries(overlay.tree)
    assert {path: made[path] for path in (b"", b"usr", b"usr/local", b"usr/local/bin")} == (
        dict.fromkeys((b"", b"usr", b"usr/local", b"usr/local/bin"), PLAIN_FOLDER)
    )


def test_existing_folder_keeps_its_mode() -> None:
    overlay = OverlayTree(MTIME)
    overlay.copy_all(make_source())
    overlay.folder(b"kept/below")
    assert entries(overlay.tree)[b"kept"].mode == 0o1777


def test_copied_tree_belongs_to_root_and_keeps_modes_times_and_links() -> None:
    overlay = OverlayTree(MTIME)
    overlay.copy_all(make_source(), b"top")
    assert entries(overlay.tree) == {
        b"": PLAIN_FOLDER,
        b"top": PLAIN_FOLDER,
        b"top/implied": PLAIN_FOLDER,
        b"top/implied/c": Metadata(mode=0o640, mtime=3),
        b"top/kept": Metadata(mode=0o1777, mtime=2),
        b"top/kept/a": Metadata(mode=0o640, mtime=3),
        b"top/kept/b": Metadata(mode=0o640, mtime=3),
    }
    assert overlay.tree.inode(b"top/kept/a") == overlay.tree.inode(b"top/kept/b")


@pytest.mark.parametrize(("executable", "mode"), [(False, 0o640), (True, 0o755)])
def test_copied_file_becomes_executable_if_asked(executable: bool, mode: int) -> None:
    overlay = OverlayTree(MTIME)
    overlay.copy(make_source(), b"kept/a", b"x", executable=executable)
    assert entries(overlay.tree)[b"x"] == Metadata(mode=mode, mtime=3)


def test_files_and_links_have_the_modes_of_linux() -> None:
    overlay = OverlayTree(MTIME)
    overlay.file(b"a", b"content")
    overlay.file(b"b", b"", 0o4755)
    overlay.link(b"c", b"a")
    made = entries(overlay.tree)
    assert [made[path].mode for path in (b"a", b"b", b"c")] == [0o644, 0o4755, 0o777]
    link = overlay.tree[b"c"]
    assert isinstance(link, Symlink)
    assert link.target == b"a"
