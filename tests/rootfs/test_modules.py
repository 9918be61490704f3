from __future__ import annotations

from purekernel.rootfs.modules import kernel_releases, link_local_modules
from purekernel.tree import Directory, File, Metadata, Symlink, Tree

FOLDER = Directory(metadata=Metadata(mode=0o755))


def test_each_release_gets_a_relative_link() -> None:
    tree = Tree()
    for folder in (b"lib", b"lib/modules", b"lib/modules/3.0.3-tinycore", b"lib/modules/a b"):
        tree.add(folder, FOLDER)
    tree.add(b"lib/modules/README", File(metadata=Metadata(mode=0o644)))
    absolute = b"/usr/local/lib/modules/3.0.3-tinycore/kernel/"
    link = Symlink(metadata=Metadata(mode=0o777), target=absolute)
    tree.add(b"lib/modules/3.0.3-tinycore/kernel.tclocal", link)
    assert kernel_releases(tree) == [b"3.0.3-tinycore", b"a b"]
    linked = link_local_modules(tree, mtime=9)
    for release in (b"3.0.3-tinycore", b"a b"):
        assert linked[b"lib/modules/" + release + b"/kernel.tclocal"] == Symlink(
            metadata=Metadata(mode=0o777, mtime=9),
            target=b"../../../usr/local/lib/modules/" + release + b"/kernel",
        )
    assert tree[b"lib/modules/3.0.3-tinycore/kernel.tclocal"] == link


def test_tree_without_modules_is_unchanged() -> None:
    assert kernel_releases(Tree()) == []
    assert link_local_modules(Tree(), mtime=1) == Tree()
