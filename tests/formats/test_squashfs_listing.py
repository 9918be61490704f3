"""Lists and descriptions as unsquashfs prints them; other tests compare with unsquashfs itself."""

from __future__ import annotations

from purekernel.formats.squashfs import open_squashfs
from purekernel.formats.squashfs.listing import describe_image, list_details, list_names
from purekernel.input import Input
from purekernel.tree import Device, DeviceKind, Directory, File, Metadata, Symlink, Tree
from tests.formats.test_squashfs_writer import build


def small_tree() -> Tree:
    tree = Tree(Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"bin", Directory(metadata=Metadata(mode=0o755, mtime=86_400)))
    metadata = Metadata(mode=0o4755, uid=1001, gid=50, mtime=1_400_000_000)
    tree.add(b"bin/tool", File(metadata=metadata, content=b"x" * 5000))
    tree.add(b"link", Symlink(metadata=Metadata(mode=0o777), target=b"bin/tool"))
    device = {"metadata": Metadata(mode=0o640, gid=6), "kind": DeviceKind.BLOCK}
    tree.add(b"disk", Device(**device, major=8, minor=1))  # type: ignore[arg-type]
    return tree


def test_details_have_the_columns_of_unsquashfs() -> None:
    image = open_squashfs(Input(build(small_tree()), name="x.tcz"))
    lines = list_details(
        image,
        small_tree(),
        top=b"top",
        user={0: "root", 1001: "1001"}.__getitem__,
        group={0: "root", 6: "disk", 50: "staff"}.__getitem__,
    )
    # As unsquashfs 4.5.1 printed them.
    assert [line.decode() for line in lines][2:] == [
        "-rwsr-xr-x 1001/staff             5000 2014-05-13 16:53 top/bin/tool",
        "brw-r----- root/disk             8,  1 1970-01-01 00:00 top/disk",
        "lrwxrwxrwx root/root                 8 1970-01-01 00:00 top/link -> bin/tool",
    ]


def test_names_stand_below_the_top() -> None:
    names = list(list_names(small_tree(), top=b"top"))
    assert names == [b"top", b"top/bin", b"top/bin/tool", b"top/disk", b"top/link"]


def test_image_is_described() -> None:
    image = open_squashfs(Input(build(small_tree(), tails=False, exports=False), name="x.tcz"))
    lines = describe_image(image, name="x.tcz")
    assert lines[0] == "Found a valid SQUASHFS 4:0 superblock on x.tcz."
    assert "Compression gzip" in lines
    assert "Filesystem is not exportable via NFS" in lines
    assert "Fragments are not stored" in lines
    assert "Number of fragments 0" in lines
    assert "Number of inodes 5" in lines
