"""Open archives for comparison, and describe their structure by facts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress

from attrs import field

from purekernel.analysis.diff.model import Fact
from purekernel.encode.libraries import load_deflate
from purekernel.errors import FormatError, PurekernelError
from purekernel.formats.archive import open_archive
from purekernel.formats.boot_menus import FoundMenu, LoaderMenu, MenuEdit
from purekernel.formats.booted import find_boot_menu
from purekernel.formats.compression import COMPRESSED
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.iso import BootEntry, IsoImage, parse_iso
from purekernel.formats.menu_finder import find_menus
from purekernel.formats.partitions import GptPartition, parse_partitions
from purekernel.formats.squashfs import parse_superblock
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import File, Metadata, Symlink, Tree
from purekernel.tree.path import escape

# Menus have these endings.
MENU_ENDINGS = (b".cfg", b".conf")

# How files are packed to estimate what they take. Of a large file, pieces are packed.
_LEVEL = 1
_PIECE_BYTES = 1 << 20
_MOST_PIECES = 8

_EMULATIONS = {0: "none", 1: "1.2 MB floppy", 2: "1.44 MB floppy", 3: "2.88 MB floppy", 4: "disk"}
_SQUASHFS_COMPRESSIONS = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}


@frozen(kw_only=True, eq=False)
class Container:
    """An archive, a file system or a folder that is compared by its files.

    Attributes:
        tree: its files.
        kind: its kind; ``None`` for a folder.
        compression: the compression around it, or ``None``.
        file: the file as it is; ``None`` for a folder.
        iso: how it boots and its fields, if it is an ISO.
    """

    tree: Tree = field(repr=False)
    kind: FileKind | None = None
    compression: FileKind | None = None
    file: Input | None = field(default=None, repr=False)
    iso: IsoImage | None = field(default=None, repr=False)

    @property
    def is_packed(self) -> bool:
        """Whether files take less in it than their size."""
        return self.compression is not None or self.kind is FileKind.SQUASHFS


def open_container(file: Input, *, own_name: bytes) -> Container | None:
    """Open an archive or file system; return ``None`` for a file that is compared as one.

    A compressed file that holds no archive is one, too.

    Raises:
        FormatError: it is damaged.
        LimitError: it exceeds the limits.
        TreeError: names in it contradict each other.
    """
    if detect(file.data) is FileKind.ISO:
        iso = parse_iso(file)
        return Container(tree=iso.tree, kind=FileKind.ISO, file=file, iso=iso)
    archive = open_archive(file, name=own_name, metadata=Metadata(mode=0o644))
    if archive is None or archive.kind in COMPRESSED:
        return None
    return Container(
        tree=archive.tree, kind=archive.kind, compression=archive.compression, file=file
    )


# What files take.


class PackedSizes:
    """Tells what the files of a container take in it.

    Args:
        container: the container.
    """

    def __init__(self, container: Container) -> None:
        self.is_estimate = container.is_packed
        self._tree = container.tree
        links = self._tree.hard_links().values()
        self._further = {path for names in links for path in names[1:]}

    def of(self, path: bytes) -> int:
        """Return what a file or link takes; a further name of a hard link takes nothing."""
        node = self._tree[path]
        if path in self._further or not isinstance(node, File):
            return len(node.target) if isinstance(node, Symlink) else 0
        if not self.is_estimate:
            return node.size_bytes
        with suppress(PurekernelError):  # damaged content, which is reported where it is compared
            return estimate_packed(node.content)
        return node.size_bytes


def estimate_packed(content: bytes | bytearray | memoryview) -> int:
    """Return about what a file takes when it is packed alone, quickly."""
    compress = load_deflate().compress
    size_bytes = len(content)
    if size_bytes <= _MOST_PIECES * _PIECE_BYTES:
        return len(compress(content, _LEVEL))
    view = memoryview(content)
    step = size_bytes // _MOST_PIECES
    packed = sum(
        len(compress(view[start : start + _PIECE_BYTES], _LEVEL))
        for start in range(0, step * _MOST_PIECES, step)
    )
    return packed * size_bytes // (_MOST_PIECES * _PIECE_BYTES)


# Structure.


def structure_of(container: Container) -> dict[str, Fact]:
    """Return what is to be known of a container besides its files."""
    facts: dict[str, Fact] = {}
    if container.file is None or container.kind is None:
        return {"kind": "a folder"}
    facts["kind"] = container.kind.description
    if container.compression is not None:
        facts["compression"] = container.compression.description
    if container.kind is FileKind.SQUASHFS:
        facts |= _squashfs_facts(container.file)
    if container.iso is not None:
        facts |= dict(_iso_facts(container.iso))
    facts |= dict(_disk_facts(container.file))
    return facts


def _squashfs_facts(file: Input) -> dict[str, Fact]:
    with suppress(FormatError):  # compressed around
        block = parse_superblock(file)
        compression = _SQUASHFS_COMPRESSIONS.get(block.compression, str(block.compression))
        return {"compression of blocks": compression, "bytes of a block": str(block.block_size)}
    return {}


def _iso_facts(iso: IsoImage) -> Iterator[tuple[str, Fact]]:
    fields = iso.fields
    yield "volume", fields.volume_id
    yield "system", fields.system_id
    yield "application", fields.application_id
    yield "publisher", fields.publisher_id
    yield "preparer", fields.preparer_id
    yield "copyright file", fields.copyright_file_id
    if iso.boot is not None:
        for number, entry in enumerate(iso.boot.entries, start=1):
            yield f"El Torito entry {number}", tuple(_entry_facts(entry))
    for lost in iso.lost:
        yield f"boots by {lost}", "yes"


def _entry_facts(entry: BootEntry) -> Iterator[str]:
    yield f"firmware: {entry.firmware}"
    yield f"image: {entry.location}"
    if not entry.is_bootable:
        yield "not bootable"
    if entry.emulation:
        yield f"emulates: {_EMULATIONS.get(entry.emulation, str(entry.emulation))}"
    if not entry.load_unit:
        yield f"loads: {entry.load_sectors} sectors"
    if entry.load_segment:
        yield f"segment: {entry.load_segment:#x}"
    if entry.boot_info_table:
        yield "boot info table"
    if entry.grub_boot_info:
        yield "GRUB boot info"


def _disk_facts(file: Input) -> Iterator[tuple[str, Fact]]:
    """Yield the partition tables and the boot code of an image that may be a disk."""
    try:
        table = parse_partitions(file.quiet())
    except PurekernelError:  # no disk, or damaged
        return
    if not table.mbr.partitions and not any(table.mbr.code):
        return
    digest = hashlib.sha256(table.mbr.code).hexdigest()[:16]
    yield "boot code of the MBR", f"sha256:{digest}" if any(table.mbr.code) else "none"
    yield "disk", f"{table.mbr.disk_id:#010x}"
    for part in table.mbr.partitions:
        items = (f"type {part.kind:#04x}", f"from {part.first}", f"{part.sectors} sectors")
        yield f"MBR partition {part.number}", (*items, *(("active",) if part.is_active else ()))
    if table.gpt is not None:
        yield "GPT disk", str(table.gpt.disk_id)
        for each in table.gpt.partitions:
            yield f"GPT partition {each.number}", tuple(_gpt_items(each))


def _gpt_items(part: GptPartition) -> Iterator[str]:
    yield f"type {part.kind}"
    yield f"id {part.id}"
    yield f"from {part.first}"
    yield f"{part.sectors} sectors"
    if part.name:
        yield f"name {part.name}"
    if part.attributes:
        yield f"attributes {part.attributes:#x}"


# Boot menus.


def menus_of(container: Container) -> dict[bytes, FoundMenu]:
    """Return the boot menus in a container by the path of their main file.

    Raises:
        BootMenuError: a menu is too large.
    """
    first = None
    if container.iso is not None and container.iso.boot is not None:
        found = find_boot_menu(container.tree, container.iso.boot.boot_image)
        first = None if found is None else found[0]
    return {menu.path: menu for menu in find_menus(container.tree, first)}


def menu_facts(menu: FoundMenu) -> dict[bytes, dict[str, Fact]]:
    """Return what a menu offers, by the path of the file that says so."""
    facts: dict[bytes, dict[str, Fact]] = {menu.path: {}}
    names = _entry_names(menu)
    if menu.timeout is not None:
        facts[menu.path]["timeout"] = f"{menu.timeout / 10:g} s"
    if menu.default is not None and menu.default < len(names):
        facts[menu.path]["default entry"] = names[menu.default]
    files = list(menu.entries) if isinstance(menu, LoaderMenu) else []
    for index, (entry_name, entry) in enumerate(zip(names, menu.found, strict=True)):
        items = [f"title: {escape(entry.title)}"]
        if entry.kernel is not None:
            items.append(f"kernel: {escape(entry.kernel)}")
        elif not entry.names:  # what a script of GRUB boots outside of entries
            continue
        if entry.initrds:
            items.append(f"initrd: {escape(b','.join(entry.initrds))}")
        items += [escape(word) for word in entry.words]
        path = files[index] if files else menu.path
        facts.setdefault(path, {})[f"entry {entry_name}"] = tuple(items)
    return facts


def menu_files(menu: FoundMenu) -> Sequence[bytes]:
    """Return the paths of the files that a menu is in, the main file first."""
    if isinstance(menu, LoaderMenu):
        return [menu.path, *menu.entries]
    return [menu.path, *menu.change(MenuEdit())]


def _entry_names(menu: FoundMenu) -> list[str]:
    """Return a name for each entry; the second of the same name ends in ``(2)``."""
    counts: dict[str, int] = {}
    names = []
    for entry in menu.found:
        text = escape(entry.names[0] if entry.names else entry.title)
        counts[text] = counts.get(text, 0) + 1
        names.append(text if counts[text] == 1 else f"{text} ({counts[text]})")
    return names
