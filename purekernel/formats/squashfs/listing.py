"""List and describe an image in the output format of unsquashfs.

Times are in UTC, as with the option -UTC of unsquashfs.

Source: unsquashfs.c and unsquash-4.c of squashfs-tools 4.5.1.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator

from purekernel.formats.squashfs.codecs import NAMES
from purekernel.formats.squashfs.layout import SuperblockFlag
from purekernel.formats.squashfs.reader import OpenImage
from purekernel.tree import Device, Node, Symlink, Tree, file_type

Named = Callable[[int], str]
"""Return the name of an owner or a group, given its ID."""

# The width of owner, group and size together in a long listing.
_COLUMNS = 25
_DEVICE_COLUMNS = _COLUMNS - 7


def list_names(tree: Tree, *, top: bytes) -> Iterator[bytes]:
    """Yield a line, without its end, for each path in ``tree``, below ``top``."""
    for path, _node in tree.walk():
        yield _below(top, path)


def list_details(
    image: OpenImage, tree: Tree, *, top: bytes, user: Named = str, group: Named = str
) -> Iterator[bytes]:
    """Yield a line, without its end, for each path: mode, owner, size, time and name.

    Args:
        image: the image, for the sizes.
        tree: the part of the image to list.
        top: the folder to put before each path.
        user: returns the name of an owner.
        group: returns the name of a group.
    """
    for path, node in tree.walk():
        metadata = node.metadata
        owner, its_group = user(metadata.uid), group(metadata.gid)
        size = _size(node, image.sizes[path], len(owner) + len(its_group))
        mode = stat.filemode(file_type(node) | metadata.mode)
        date = time.gmtime(metadata.mtime)
        line = (
            f"{mode} {owner}/{its_group} {size} {date.tm_year}-{date.tm_mon:02}-{date.tm_mday:02} "
            f"{date.tm_hour:02}:{date.tm_min:02} "
        )
        target = b" -> " + node.target if isinstance(node, Symlink) else b""
        yield line.encode() + _below(top, path) + target


def describe_image(image: OpenImage, *, name: str) -> list[str]:
    """Return the lines that describe the superblock; ``name`` is the file name to show."""
    facts = image.facts

    def has(flag: SuperblockFlag) -> bool:
        return bool(facts.flags & flag)

    def packed(*flags: SuperblockFlag) -> str:
        return ("un" if any(map(has, flags)) else "") + "compressed"

    when = time.gmtime(facts.mkfs_time)
    kilobytes, megabytes = (f"{facts.used_bytes / unit:.2f}" for unit in (1 << 10, 1 << 20))
    lines = [
        f"Found a valid SQUASHFS 4:0 superblock on {name}.",
        f"Creation or last append time {time.asctime(when)}",
        f"Filesystem size {facts.used_bytes} bytes ({kilobytes} Kbytes / {megabytes} Mbytes)",
        f"Compression {NAMES[facts.compression]}",
        f"Block size {facts.block_bytes}",
        f"Filesystem is {'' if has(SuperblockFlag.EXPORTABLE) else 'not '}exportable via NFS",
        f"Inodes are {packed(SuperblockFlag.PLAIN_INODES)}",
        f"Data is {packed(SuperblockFlag.PLAIN_DATA)}",
        f"Uids/Gids (Id table) are {packed(SuperblockFlag.PLAIN_INODES, SuperblockFlag.PLAIN_IDS)}",
    ]
    if has(SuperblockFlag.NO_FRAGMENTS):
        lines.append("Fragments are not stored")
    else:
        always = "" if has(SuperblockFlag.ALWAYS_FRAGMENTS) else "not "
        lines.append(f"Fragments are {packed(SuperblockFlag.PLAIN_FRAGMENTS)}")
        lines.append(f"Always-use-fragments option is {always}specified")
    if has(SuperblockFlag.NO_XATTRS):
        lines.append("Xattrs are not stored")
    else:
        lines.append(f"Xattrs are {packed(SuperblockFlag.PLAIN_XATTRS)}")
    lines += [
        f"Duplicates are {'' if has(SuperblockFlag.DUPLICATES) else 'not '}removed",
        f"Number of fragments {facts.fragments}",
        f"Number of inodes {facts.inodes}",
        f"Number of ids {facts.ids}",
    ]
    if not has(SuperblockFlag.NO_XATTRS):
        lines.append(f"Number of xattr ids {image.xattr_sets}")
    return lines


def _below(top: bytes, path: bytes) -> bytes:
    return top + b"/" + path if path else top


def _size(node: Node, size_bytes: int, names_columns: int) -> str:
    if isinstance(node, Device):
        padding = " ".rjust(max(_DEVICE_COLUMNS - names_columns, 0))
        return f"{padding}{node.major:3},{node.minor:3}"
    size = len(node.target) if isinstance(node, Symlink) else size_bytes
    return str(size).rjust(max(_COLUMNS - names_columns, 0))
