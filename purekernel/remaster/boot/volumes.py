"""Open the file systems of an image that have boot menus, and write changed files into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve, field

from purekernel.errors import PurekernelError
from purekernel.formats.boot_menus import FoundMenu
from purekernel.formats.booted import find_boot_menu
from purekernel.formats.fat import parse_fat, put_files_in_fat
from purekernel.formats.iso import EFI, BootEntry, IsoBoot
from purekernel.formats.menu_finder import find_menus
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
from purekernel.tree import Buffer, File, Tree, display


@frozen(kw_only=True, eq=False)
class Volume:
    """A file system that has menus: the ISO, or an image that UEFI boots from.

    Attributes:
        entry: the El Torito entry of the image; ``None`` for the ISO.
        tree: its files; ``None`` if they cannot be read.
        menus: its menus.
    """

    entry: BootEntry | None = None
    tree: Tree | None
    menus: tuple[FoundMenu, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """What it is, for messages; empty for the ISO."""
        return "" if self.entry is None else self.entry.location

    def describe(self, path: bytes) -> str:
        """Return where one of its files is, for messages."""
        return f"{display(path)} inside {self.name}" if self.name else display(path)

    def find_copies(self, content: Buffer) -> list[bytes]:
        """Return the paths of an image for UEFI that have this content; none of the ISO."""
        if self.entry is None or self.tree is None or not content:
            return []
        return [
            path
            for path, node in self.tree.walk()
            if isinstance(node, File)
            if node.size_bytes == len(content) and node.content == content
        ]


def open_volumes(
    iso: Tree, boot: IsoBoot, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[Volume, ...]:
    """Return the ISO, and the images that UEFI boots from.

    Raises:
        BootMenuError: the menus are too large.
    """
    found = find_boot_menu(iso, boot.boot_image)
    volumes = [Volume(tree=iso, menus=find_menus(iso, None if found is None else found[0]))]
    seen: set[tuple[bytes | None, int | None]] = set()
    for entry in boot.entries:
        if entry.platform != EFI or (entry.path, entry.appended) in seen:
            continue
        seen.add((entry.path, entry.appended))
        volume = Volume(entry=entry, tree=None)
        try:
            tree = parse_fat(_image(iso, boot, entry, limits))
        except PurekernelError:
            volumes.append(volume)
        else:
            volumes.append(evolve(volume, tree=tree, menus=find_menus(tree)))
    return tuple(volumes)


def write_volumes(
    iso: Tree,
    boot: IsoBoot,
    changed: Iterable[tuple[Volume, Mapping[bytes, Buffer]]],
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Tree, IsoBoot]:
    """Return an image with new contents of files. Files that it lacks are added.

    Args:
        iso: the tree of the ISO.
        boot: how it boots.
        changed: the volumes, and the contents of files in them by path.
        limits: limits on parsed input.

    Raises:
        FormatError: an image is damaged.
        UnrepresentableError: FAT cannot hold a file.
    """
    for volume, files in changed:
        if volume.tree is None:
            continue
        new = {path: data for path, data in files.items() if data != _content(volume.tree, path)}
        if volume.entry is None:
            iso = _with_files(iso, new)
            continue
        if new:
            old = _image(iso, boot, volume.entry, limits)
            # What is added is as old as the newest file that was there.
            timestamp = max(node.metadata.mtime for _path, node in volume.tree.walk())
            image = put_files_in_fat(old, new, timestamp=timestamp)
            iso, boot = _with_image(iso, boot, volume.entry, bytes(image))
    return iso, boot


def replace_copies(
    iso: Tree,
    boot: IsoBoot,
    contents: Iterable[tuple[Buffer, Buffer]],
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Tree, IsoBoot]:
    """Return an image in which copies of files, inside the images for UEFI, are new too.

    systemd-boot, and others that cannot read an ISO, have kernel and initrds there.

    Args:
        iso: the tree of the ISO.
        boot: how it boots.
        contents: old and new content of each file.
        limits: limits on parsed input.

    Raises:
        PurekernelError: as for :func:`write_volumes`.
    """
    pairs = [(old, new) for old, new in contents if old != new]
    changed = [
        (
            volume,
            {path: new for old, new in pairs for path in volume.find_copies(old)},
        )
        for volume in open_volumes(iso, boot, limits=limits)
    ]
    return write_volumes(iso, boot, changed, limits=limits)


def _image(iso: Tree, boot: IsoBoot, entry: BootEntry, limits: Limits) -> Input:
    # The unpacked files are not kept.
    return Input(boot.image_of(entry, iso), name=entry.location, limits=limits.unbudgeted())


def _with_image(iso: Tree, boot: IsoBoot, entry: BootEntry, image: bytes) -> tuple[Tree, IsoBoot]:
    if entry.appended is not None:
        appended = list(boot.appended)
        appended[entry.appended] = image
        return iso, evolve(boot, appended=tuple(appended))
    assert entry.path is not None  # noqa: S101  # an image is a file or an area
    return _with_files(iso, {entry.path: image}), boot


def _with_files(tree: Tree, files: Mapping[bytes, Buffer]) -> Tree:
    tree = tree.copy()
    for path, content in files.items():
        old = tree.get(path)
        if isinstance(old, File):
            tree.replace(path, evolve(old, content=content))
        else:
            beside = next(node for _path, node in tree.walk() if isinstance(node, File))
            tree.add(path, evolve(beside, content=content))
    return tree


def _content(tree: Tree, path: bytes) -> Buffer | None:
    node = tree.get(path)
    return node.content if isinstance(node, File) else None
