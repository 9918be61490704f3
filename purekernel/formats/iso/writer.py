"""Write a tree as a bootable ISO 9660 image, as mkisofs does.

The image corresponds to ``mkisofs -l -J -R``, with ``-no-emul-boot -boot-load-size
-boot-info-table -b -c`` if it boots: plain names of up to 31 characters, Rock Ridge with every
name, owner, mode, time, link and device, and Joliet for Windows. The bytes depend only on the
arguments, not on the clock, the time zone or the host.

Differences from mkisofs: Joliet omits links, devices and fifos, for which mkisofs makes empty
files. If an empty file, a device, fifo, socket or symbolic link has several names, files get serial
numbers (Rock Ridge 1.12), because there is no content that the names could share. Times before 1900
or after 2155 become the nearest time that the format can store.
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import BinaryIO

from attrs import evolve
from pycdlib import inode, pycdlibexception

from purekernel.errors import UnrepresentableError, UsageError, raise_all
from purekernel.formats.iso.boot import IsoBoot
from purekernel.formats.iso.boot_catalog import catalog_bytes
from purekernel.formats.iso.boot_writer import check_entries, lay_out, settle_boot, write_around
from purekernel.formats.iso.clock import hold, in_range
from purekernel.formats.iso.layout import (
    MAX_FILE_BYTES,
    VolumeFields,
    check_fields,
    fits,
    set_fields,
)
from purekernel.formats.iso.mastering import MAX_LEVELS, BootCatalog, Mastering
from purekernel.formats.iso.names import iso_names, joliet_names
from purekernel.formats.iso.pieces import DiscPlace, Extents, Links, Names
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Device,
    Directory,
    File,
    Metadata,
    Node,
    Tree,
    display,
)
from purekernel.tree.path import join, name, parent

RELOCATED = Names(iso=b"RR_MOVED", joliet=b"", raw=b"rr_moved")


# mkisofs adds the same padding: some drives read ahead past the end of a disc.
PADDING_SECTORS = 150


# Path tables number folders with 16 bits.
MAX_FOLDERS = 0xFFFF


# pycdlib recomputes a folder's layout for each name that is out of order. More names take minutes.
MAX_FOLDER_NAMES = 20_000
MAX_ID = 0xFFFFFFFF


# Larger than any file, so that each file is written as one view.
BLOCK_BYTES = 1 << 32


@frozen(kw_only=True)
class _IsoEntry:
    """A path of the image with its names and node."""

    path: bytes
    names: Names
    node: Node


def build_iso(tree: Tree, *, fields: VolumeFields, boot: IsoBoot | None, timestamp: int) -> bytes:
    """Return the image that :func:`write_iso` writes.

    Raises:
        UsageError: a field is too long, or the boot settings are invalid.
        UnrepresentableError: the format cannot represent something in the tree.
    """
    stream = io.BytesIO()
    write_iso(tree, stream, fields=fields, boot=boot, timestamp=timestamp)
    return stream.getvalue()


def write_iso(
    tree: Tree, stream: BinaryIO, *, fields: VolumeFields, boot: IsoBoot | None, timestamp: int
) -> None:
    """Write ``tree`` as an ISO image.

    Args:
        tree: the content of the image. File contents are not copied.
        stream: a writable stream, which need not be seekable. It is written from start to end,
            after the layout of the whole image is known.
        fields: the text fields of the volume descriptor. A copyright file in the root is written
            as its ISO 9660 identifier, as the standard requires.
        boot: how the image boots; ``None`` for one that does not. Where an entry says so, tables in
            the boot image change. A file at the catalog's path in ``tree`` is not written.
        timestamp: the time of the volume and the boot catalog, in seconds since 1970, UTC.

    Raises:
        UsageError: a field is too long, or the boot settings are invalid.
        UnrepresentableError: the format cannot represent something in the tree.
    """
    check_fields(fields)
    plan = _plan(tree, boot, timestamp)
    extents = Extents()
    with hold(timestamp):
        image = Mastering()
        try:
            contents, catalog = _fill(image, tree, plan, boot)
            set_fields(image, _with_identifier(fields, plan))
            if boot is None or catalog is None:
                image.write_fp(extents, blocksize=BLOCK_BYTES)  # type: ignore[arg-type]  # same methods
            else:
                layout = lay_out(image, tree, boot, contents)
                catalog.data = settle_boot(image, tree, boot, layout, contents)
                image.write_fp(extents, blocksize=BLOCK_BYTES)  # type: ignore[arg-type]  # same methods
                write_around(extents, boot, layout)
        except pycdlibexception.PyCdlibException as error:
            raise UnrepresentableError(f"cannot write the tree as an ISO image: {error}") from error
        finally:
            with suppress(pycdlibexception.PyCdlibException):  # raised if begin() failed
                image.close()  # else pycdlib's caches keep the image and all contents alive
    extents.write_to(stream)


def _plan(tree: Tree, boot: IsoBoot | None, timestamp: int) -> list[_IsoEntry]:
    """Check all nodes, and return the entries of the image, parents first."""
    if boot is not None:
        tree = _with_catalog(tree, boot, timestamp)
    if sum(isinstance(node, Directory) for _path, node in tree.walk()) >= MAX_FOLDERS:
        raise UnrepresentableError(
            f"an ISO image must have fewer than {MAX_FOLDERS} folders", hint="remove folders"
        )
    iso: dict[bytes, bytes] = {ROOT: b""}
    joliet: dict[bytes, bytes] = {ROOT: b""}
    entries = []
    for path, node in tree.walk():
        _check_node(path, node)
        names = Names(iso=iso[path], joliet=joliet[path], raw=name(path))
        mtime = in_range(node.metadata.mtime)
        timed = evolve(node, metadata=evolve(node.metadata, mtime=mtime))
        entries.append(_IsoEntry(path=path, names=names, node=timed))
        if isinstance(node, Directory):
            if len(tree.entries(path)) > MAX_FOLDER_NAMES:
                raise UnrepresentableError(
                    f"{display(path)}: a folder of an ISO image must have at most "
                    f"{MAX_FOLDER_NAMES} names, got {len(tree.entries(path))}",
                    hint="split the folder",
                )
            children = {
                raw: isinstance(tree[join(path, raw)], Directory) for raw in tree.entries(path)
            }
            taken = [] if path else [RELOCATED.iso]
            for raw, identifier in iso_names(children, taken=taken).items():
                iso[join(path, raw)] = identifier
            for raw, identifier in joliet_names(children).items():
                joliet[join(path, raw)] = identifier
    return entries


def _with_catalog(tree: Tree, boot: IsoBoot, timestamp: int) -> Tree:
    """Check ``boot``, and return ``tree`` with a file at the path of the boot catalog."""
    raise_all(check_entries(tree, boot))
    folder = parent(boot.catalog)
    if not boot.catalog or not isinstance(tree.get(folder), Directory):
        raise UsageError(
            f"the boot catalog {display(boot.catalog)} must be in a folder of the image",
            hint="name a path in a folder of the image, such as boot/isolinux/boot.cat",
        )
    if boot.catalog in {entry.path for entry in boot.entries} or isinstance(
        tree.get(boot.catalog), Directory
    ):
        raise UsageError(
            f"the boot catalog must not replace {display(boot.catalog)}",
            hint="name another path, such as boot/isolinux/boot.cat",
        )
    tree = tree.copy()
    tree.add(boot.catalog, File(metadata=Metadata(mode=0o444, mtime=timestamp)))
    return tree


def _check_node(path: bytes, node: Node) -> None:
    metadata = node.metadata
    if not (0 <= metadata.uid <= MAX_ID and 0 <= metadata.gid <= MAX_ID):
        raise UnrepresentableError(
            f"{display(path)}: the owner and group in an ISO image must be from 0 to {MAX_ID}, "
            f"got {metadata.uid}:{metadata.gid}",
            hint="change the owner of the file",
        )
    if isinstance(node, File) and memoryview(node.content).nbytes > MAX_FILE_BYTES:
        raise UnrepresentableError(
            f"{display(path)}: a file in an ISO image must be at most {MAX_FILE_BYTES} bytes "
            f"(4 GiB), got {memoryview(node.content).nbytes}",
            hint="split the file, or leave it out",
        )
    if not isinstance(node, Device):
        return
    if not fits(node.major, node.minor):
        raise UnrepresentableError(
            f"{display(path)}: Linux cannot read the device numbers {node.major}:{node.minor} "
            "back from an ISO image",
            hint="leave out the device",
        )


def _fill(
    image: Mastering, tree: Tree, plan: list[_IsoEntry], boot: IsoBoot | None
) -> tuple[dict[int, inode.Inode], BootCatalog | None]:
    """Add all entries of ``plan`` to ``image``.

    Returns:
        The contents by the inodes of the tree, and the boot catalog.
    """
    root = plan[0].node
    if not isinstance(root, Directory):
        raise AssertionError  # noqa: TRY004  # the root of a tree is always a folder
    linked = tree.hard_links().values()
    numbered = any(not _has_content(tree[paths[0]]) for paths in linked)
    start = image.begin(root, relocated=_relocated(plan), numbered=numbered)
    places: dict[bytes, DiscPlace] = {ROOT: start}
    contents: dict[int, inode.Inode] = {}
    catalog: _IsoEntry | None = None
    for entry in plan[1:]:
        place, node = places[parent(entry.path)], entry.node
        if isinstance(node, Directory):
            places[entry.path] = image.add_folder(place, entry.names, node)
            continue
        if boot is not None and entry.path == boot.catalog:
            catalog = entry
            continue
        number = tree.inode(entry.path)
        links = Links(count=tree.count_names(entry.path), serial=number + 1 if numbered else 0)
        if isinstance(node, File):
            if number not in contents and len(node.content):
                contents[number] = image.add_content(node.content)
            image.add_name(place, entry.names, node, contents.get(number), links)
        else:
            image.add_special(place, entry.names, node, links)
    image.add_padding(PADDING_SECTORS)
    if boot is None or catalog is None or not isinstance(catalog.node, File):
        return contents, None
    paths = dict.fromkeys(entry.path for entry in boot.entries if entry.path is not None)
    images = {id(data): data for data in (contents[tree.inode(path)] for path in paths)}
    place = places[parent(boot.catalog)]
    size_bytes = catalog_bytes(boot.entries)
    added = image.add_boot_catalog(
        place, catalog.names, catalog.node, list(images.values()), size_bytes
    )
    return contents, added


def _has_content(node: Node) -> bool:
    return isinstance(node, File) and node.size_bytes > 0


def _relocated(plan: list[_IsoEntry]) -> Names | None:
    """Return the names of the folder for relocated folders; ``None`` if none is too deep."""
    deepest = max(
        (
            entry.path.count(b"/") + 2
            for entry in plan
            if isinstance(entry.node, Directory) and entry.path
        ),
        default=1,
    )
    if deepest <= MAX_LEVELS:
        return None
    taken = {entry.path for entry in plan}
    raw = RELOCATED.raw
    while raw in taken:
        raw += b"_"
    return evolve(RELOCATED, raw=raw)


def _with_identifier(fields: VolumeFields, plan: list[_IsoEntry]) -> VolumeFields:
    """Replace the copyright file, if it is in the root, by its identifier (ECMA-119, 8.4.23)."""
    path = fields.copyright_file_id.encode("utf-8", "surrogateescape")
    for entry in plan[1:]:
        if entry.path == path and isinstance(entry.node, File):
            return evolve(fields, copyright_file_id=entry.names.iso.decode("ascii"))
    return fields
