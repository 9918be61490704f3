from __future__ import annotations

from purekernel.rootfs.ownership import own_as_root, protect_shadow
from purekernel.tree import Directory, File, Layer, Metadata, Node, Tree


def metadata(mode: int, uid: int = 1234, gid: int = 1234) -> Metadata:
    return Metadata(mode=mode, uid=uid, gid=gid, mtime=5)


def layer() -> Layer:
    tree = Tree(Directory(metadata=metadata(0o700)))
    for folder in (
        b"etc", b"home", b"home/tc", b"usr", b"usr/local", b"usr/local/tce.installed",
        b"usr/local/tce.installed/mcollective-2.0.0",
    ):  # fmt: skip
        tree.add(folder, Directory(metadata=metadata(0o755)))
    for file, mode in {
        b"etc/passwd": 0o644,
        b"home/tc/.profile": 0o600,
        b"home/other": 0o644,
        b"usr/local/tce.installed/openssh": 0o644,
        b"usr/local/tce.installed/mcollective-2.0.0/lib": 0o644,
    }.items():
        tree.add(file, File(metadata=metadata(mode)))
    return Layer(source="x", tree=tree)


def owner(node: Node) -> tuple[int, int, int]:
    return node.metadata.uid, node.metadata.gid, node.metadata.mode


def test_root_owns_all_files_except_those_of_tiny_core() -> None:
    owned = own_as_root(layer()).tree
    assert {path: owner(node) for path, node in owned.walk()} == {
        b"": (0, 0, 0o700),
        b"etc": (0, 0, 0o755),
        b"etc/passwd": (0, 0, 0o644),
        b"home": (0, 0, 0o755),
        b"home/other": (0, 0, 0o644),
        b"home/tc": (1001, 50, 0o755),
        b"home/tc/.profile": (1001, 50, 0o600),
        b"usr": (0, 0, 0o755),
        b"usr/local": (0, 0, 0o755),
        b"usr/local/tce.installed": (0, 50, 0o775),
        b"usr/local/tce.installed/mcollective-2.0.0": (0, 0, 0o755),
        b"usr/local/tce.installed/mcollective-2.0.0/lib": (0, 0, 0o644),
        b"usr/local/tce.installed/openssh": (1001, 50, 0o755),
    }


def test_owners_in_manifest_are_kept() -> None:
    stated = {
        b"etc/passwd": frozenset({"uid"}),
        b"usr/local/tce.installed/openssh": frozenset({"mode", "gid"}),
    }
    given = layer()
    owned = own_as_root(Layer(source="x", tree=given.tree, stated=stated)).tree
    assert owner(owned[b"etc/passwd"]) == (1234, 0, 0o644)
    assert owner(owned[b"usr/local/tce.installed/openssh"]) == (1001, 1234, 0o644)


def test_shadow_files_are_readable_by_root_only() -> None:
    tree = Tree()
    tree.add(b"etc", Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"etc/shadow", File(metadata=Metadata(mode=0o644)))
    tree.add(b"etc/gshadow", File(metadata=Metadata(mode=0o400)))
    protected = protect_shadow(tree)
    assert protected[b"etc/shadow"].metadata.mode == 0o640
    assert protected[b"etc/gshadow"].metadata.mode == 0o400
    assert tree[b"etc/shadow"].metadata.mode == 0o644
    assert protect_shadow(Tree()) == Tree()


def test_homes_belong_to_the_accounts_of_the_overlay() -> None:
    tree = Tree()
    for folder in (b"etc", b"home", b"home/ann", b"home/bob", b"home/eve", b"tmp"):
        tree.add(folder, Directory(metadata=metadata(0o755)))
    accounts = (
        b"root:x:0:0:root:/root:/bin/sh\n"
        b"ann:x:1002:50::/home/ann:/bin/sh\r\n"
        b"bob:x:-1:50::/home/bob:/bin/sh\n"
        b"eve:x:1003:50::/home:/bin/sh\n"
        b"garbage\n"
    )
    tree.add(b"etc/passwd", File(metadata=metadata(0o644), content=accounts))
    for path in (b"home/ann/.profile", b"home/bob/file", b"home/eve/file", b"tmp/setup.lst"):
        tree.add(path, File(metadata=metadata(0o664)))
    owned = own_as_root(Layer(source="x", tree=tree)).tree
    assert owner(owned[b"home"]) == (0, 0, 0o755)
    assert owner(owned[b"home/ann"]) == (1002, 50, 0o755)
    assert owner(owned[b"home/ann/.profile"]) == (1002, 50, 0o664)
    assert owner(owned[b"home/bob/file"]) == (0, 0, 0o664)
    assert owner(owned[b"home/eve/file"]) == (0, 0, 0o664)
    # tce-load appends to this file as user tc.
    assert owner(owned[b"tmp/setup.lst"]) == (1001, 50, 0o664)
