from __future__ import annotations

import pytest

from purekernel.rootfs.passes import finishing_passes
from purekernel.tree import Directory, File, Metadata, Symlink, Tree

FOLDER = Directory(metadata=Metadata(mode=0o755))


def test_passes_return_new_trees_and_complete_a_core() -> None:
    tree = Tree()
    for path in (b"etc", b"lib", b"lib/modules", b"lib/modules/3.0"):
        tree.add(path, FOLDER)
    tree.add(b"etc/shadow", File(metadata=Metadata(mode=0o644)))
    before = tree.copy()
    for words, run in finishing_passes(mtime=5, note=pytest.fail):
        assert words
        after = run(tree)
        assert tree == before
        tree, before = after, after.copy()
    assert tree[b"etc/shadow"].metadata.mode == 0o640
    link = tree[b"lib/modules/3.0/kernel.tclocal"]
    assert isinstance(link, Symlink)
    assert link.metadata.mtime == 5


def test_changed_files_of_passwords_are_protected_and_nothing_else_is_done() -> None:
    for path in (b"etc/shadow", b"etc/gshadow"):
        words = [
            words for words, _run in finishing_passes(mtime=5, note=pytest.fail, changed=[path])
        ]
        assert words == ["protect etc/shadow"]
    assert finishing_passes(mtime=5, note=pytest.fail, changed=[b"etc/motd"]) == []
