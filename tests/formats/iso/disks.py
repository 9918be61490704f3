"""Make trees for the ISO writer, and folders for mkisofs and xorriso."""

from __future__ import annotations

import os
from pathlib import Path

from purekernel.formats.iso import IsoBoot, VolumeFields
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Metadata,
    Node,
    Socket,
    Symlink,
    Tree,
)

TIME = 1_400_000_000
FIELDS = VolumeFields()
BOOT = IsoBoot.by_bios(boot_image=b"boot/isolinux/isolinux.bin", catalog=b"boot/isolinux/boot.cat")

DEEP = b"/".join(b"%02d-" % level + b"x" * 40 for level in range(20))


def meta(mode: int = 0o644, uid: int = 0, gid: int = 0, mtime: int = TIME) -> Metadata:
    return Metadata(mode=mode, uid=uid, gid=gid, mtime=mtime)


def plant(tree: Tree, path: bytes, node: Node) -> None:
    tree.add_parents(path, meta(0o755))
    tree.add(path, node)


def file(content: bytes, mode: int = 0o644) -> File:
    return File(metadata=meta(mode), content=content)


def boot_tree() -> Tree:
    """Make the files that isolinux needs, with an arbitrary boot image."""
    tree = Tree(Directory(metadata=meta(0o755)))
    plant(tree, BOOT.boot_image, file(bytes(range(256)) * 13 + b"odd"))
    plant(tree, b"boot/isolinux/isolinux.cfg", file(b"default core\n"))
    plant(tree, b"boot/core.gz", file(b"\x1f\x8b" + b"core" * 5000))
    plant(tree, b"boot/vmlinuz", file(b"kernel" * 1000, 0o755))
    plant(tree, b"LICENSE", file(b"do as you like\n"))
    return tree


def every_kind() -> Tree:
    """Make a tree with every type of node that Rock Ridge supports."""
    tree = boot_tree()
    plant(
        tree,
        b"kinds/null",
        Device(metadata=meta(0o666), kind=DeviceKind.CHARACTER, major=1, minor=3),
    )
    plant(
        tree,
        b"kinds/loop0",
        Device(metadata=meta(0o660, 0, 50), kind=DeviceKind.BLOCK, major=7, minor=0),
    )
    plant(
        tree,
        b"kinds/far",
        Device(metadata=meta(0o600), kind=DeviceKind.BLOCK, major=259, minor=70000),
    )
    plant(
        tree, b"kinds/zero", Device(metadata=meta(0o600), kind=DeviceKind.BLOCK, major=0, minor=255)
    )
    plant(tree, b"kinds/fifo", Fifo(metadata=meta(0o600)))
    plant(tree, b"kinds/socket", Socket(metadata=meta(0o777)))
    plant(tree, b"kinds/empty", file(b""))
    plant(tree, b"kinds/owned", File(metadata=meta(0o4750, 70_000, 4_000_000_000, 1), content=b"x"))
    plant(tree, b"kinds/sticky", Directory(metadata=meta(0o1777, 1001, 50)))
    for target in (b"/", b"/etc/../a//b/./c/", b"..", b"a" * 300, b"../" * 400 + b"end", b"\xff\n"):
        plant(
            tree,
            b"links/%d" % len(target),
            Symlink(metadata=meta(0o777), target=target),
        )
    plant(tree, b"names/\xff\xfe raw", file(b"raw"))
    plant(tree, b"names/caf\xc3\xa9 \xf0\x9f\x92\xbe.tar.gz", file(b"utf-8"))
    plant(tree, b"names/" + b"n" * 255, file(b"long"))
    plant(tree, b"names/UPPER.TXT", file(b"upper"))
    plant(tree, b"names/upper.txt", file(b"lower"))
    plant(tree, DEEP + b"/end", file(b"deep"))
    plant(tree, DEEP[:200].rpartition(b"/")[0] + b"/also", file(b"beside"))
    tree.link(b"names/hard", b"boot/vmlinuz")
    tree.link(DEEP + b"/hard", b"boot/vmlinuz")
    return tree


def make_folder(root: Path) -> Path:
    """Make a folder for mkisofs and xorriso, and return it."""
    deep = root / "one/two/three/four/five/six/seven/eight/nine/ten"
    deep.mkdir(parents=True)
    (deep / "end.txt").write_bytes(b"deep\n")
    (root / "one/two/three/four/five/six/seven/other").mkdir()
    (root / "boot").mkdir()
    (root / "boot/image.bin").write_bytes(bytes(range(256)) * 20)
    (root / "boot/isolinux.cfg").write_bytes(b"default core\n")
    (root / "archive.tar.gz").write_bytes(b"two dots")
    (root / "noext").write_bytes(b"no dot" * 1000)
    (root / "empty").write_bytes(b"")
    (root / ".hidden").write_bytes(b"dot first")
    (root / "x").mkdir()
    (root / ("a-name-of-sixty-characters-" + "z" * 33)).write_bytes(b"sixty")
    (root / "link").symlink_to("../one/./two//three")
    # For longer targets genisoimage overflows the length byte.
    (root / "long-link").symlink_to("/" + "component/" * 15 + "y" * 60)
    os.link(root / "noext", root / "x" / "hard")
    os.mkfifo(root / "fifo")
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, (TIME, TIME), follow_symlinks=False)
    os.utime(root, (TIME, TIME))
    return root
