"""Write a tree as a bootable ISO 9660 image, as mkisofs would.

In effect what ``mkisofs -l -J -R`` writes, with ``-no-emul-boot -boot-load-size
-boot-info-table -b -c`` where it boots: plain names of up to 31 characters, Rock Ridge
with every name, owner, mode, time, link and device, Joliet for Windows. All of it follows
from the arguments: no clock, no time zone, no host.

What differs from mkisofs: Joliet leaves out links, devices and fifos, of which mkisofs
makes empty files; hard links among empty files come apart, having no bytes to share; times
before 1900 or after 2155 become the nearest that the format knows.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import BinaryIO

from attrs import evolve, frozen
from pycdlib import inode, pycdlibexception

from purekernel.errors import UnrepresentableError, UsageError
from purekernel.formats.iso.clock import hold, in_range
from purekernel.formats.iso.layout import (
    BOOT_INFO_END,
    MAX_FILE_BYTES,
    ElTorito,
    VolumeFields,
    check_fields,
    fits,
    set_fields,
)
from purekernel.formats.iso.mastering import MAX_LEVELS, Mastering
from purekernel.formats.iso.names import iso_names, joliet_names
from purekernel.formats.iso.pieces import Names, Place
from purekernel.tree import (
    ROOT,
    Buffer,
    Device,
    Directory,
    File,
    Metadata,
    Node,
    Tree,
    display,
    with_metadata,
)
from purekernel.tree.path import join, name, parent

RELOCATED = Names(iso=b"RR_MOVED", joliet=b"", raw=b"rr_moved")


# mkisofs ends every image with as much: some drives read ahead past the end of a disc.
PADDING_SECTORS = 150


# Path tables number folders with 16 bits.
MAX_FOLDERS = 0xFFFF


# pycdlib lays a folder out anew for each name that comes out of order: minutes for more.
MAX_FOLDER_NAMES = 20_000
MAX_ID = 0xFFFFFFFF


# More than any file, so that each is written as one view.
BLOCK_BYTES = 1 << 32


ZEROS = bytes(1 << 16)


@frozen(kw_only=True)
class _Entry:
    """One name in the image."""

    path: bytes
    names: Names
    node: Node


def build_iso(tree: Tree, *, fields: VolumeFields, boot: ElTorito | None, timestamp: int) -> bytes:
    """Return the image that :func:`write_iso` writes.

    Raises:
        UsageError: a field or what is to boot does not fit.
        UnrepresentableError: the format cannot say something in the tree.
    """
    stream = io.BytesIO()
    write_iso(tree, stream, fields=fields, boot=boot, timestamp=timestamp)
    return stream.getvalue()


# A stream that pycdlib writes an image to, which keeps what it is given by offset.
#
# pycdlib writes with seeks in all directions. Kept here, views of file contents stay views,
# and the image then goes out from its first byte to its last, to any stream.


class Extents:
    """What has been written so far, and where."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, Buffer]] = []
        self._offset = 0
        self._end = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to ``offset``, and return where that is."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._end}[whence]
        self._offset = start + offset
        return self._offset

    def tell(self) -> int:
        """Return where the next write goes."""
        return self._offset

    def write(self, data: Buffer) -> int:
        """Keep ``data``, uncopied."""
        if len(data):
            self._pieces.append((self._offset, data))
            self._offset += len(data)
            self._end = max(self._end, self._offset)
        return len(data)

    def write_to(self, stream: BinaryIO) -> None:
        """Write it all to ``stream``, in order, with zeros in the gaps."""
        here = 0
        for offset, data in sorted(self._pieces, key=lambda piece: piece[0]):
            if offset < here:
                raise AssertionError(f"two things at byte {offset} of the image")
            stream.writelines(ZEROS[: offset - start] for start in range(here, offset, len(ZEROS)))
            stream.write(data)
            here = offset + len(data)


def write_iso(
    tree: Tree, stream: BinaryIO, *, fields: VolumeFields, boot: ElTorito | None, timestamp: int
) -> None:
    """Write ``tree`` as an ISO image.

    Args:
        tree: what the image holds. File contents are not copied.
        stream: is only ever written to, from start to end; nothing is written before the
            whole image is laid out.
        fields: the texts of the volume descriptor. A copyright file that lies in the
            root is named by its ISO 9660 identifier, as the standard demands.
        boot: how it boots. With a boot info table the boot image is written with bytes 8
            to 63 changed. What stands at the catalog's path in ``tree`` is not written.
        timestamp: of the volume and the boot catalog, in seconds since 1970, UTC.

    Raises:
        UsageError: a field is too long, or the boot image is not a file that can boot.
        UnrepresentableError: the format cannot say something in the tree.
    """
    check_fields(fields)
    plan = _plan(tree, boot, timestamp)
    extents = Extents()
    with hold(timestamp):
        image = Mastering()
        try:
            _fill(image, tree, plan, boot)
            set_fields(image, _with_identifier(fields, plan))
            image.write_fp(extents, blocksize=BLOCK_BYTES)  # type: ignore[arg-type]  # writes alike
        except pycdlibexception.PyCdlibException as error:
            raise UnrepresentableError(f"the tree does not fit an ISO image: {error}") from error
        finally:
            with suppress(pycdlibexception.PyCdlibException):  # it was never quite begun
                image.close()  # pycdlib's caches hold it, and all contents, else
    extents.write_to(stream)


def _plan(tree: Tree, boot: ElTorito | None, timestamp: int) -> list[_Entry]:
    """Return all names of the image, parents first, after a look at each."""
    if boot is not None:
        tree = _with_catalog(tree, boot, timestamp)
    if sum(isinstance(node, Directory) for _path, node in tree.walk()) >= MAX_FOLDERS:
        raise UnrepresentableError(f"an ISO image holds less than {MAX_FOLDERS} folders")
    iso: dict[bytes, bytes] = {ROOT: b""}
    joliet: dict[bytes, bytes] = {ROOT: b""}
    entries = []
    for path, node in tree.walk():
        _check_node(path, node)
        names = Names(iso=iso[path], joliet=joliet[path], raw=name(path))
        mtime = in_range(node.metadata.mtime)
        timed = with_metadata(node, evolve(node.metadata, mtime=mtime))
        entries.append(_Entry(path=path, names=names, node=timed))
        if isinstance(node, Directory):
            if len(tree.entries(path)) > MAX_FOLDER_NAMES:
                raise UnrepresentableError(
                    f"{display(path)} holds {len(tree.entries(path))} names; "
                    f"a folder of an ISO image has at most {MAX_FOLDER_NAMES} here"
                )
            below = {
                raw: isinstance(tree[join(path, raw)], Directory) for raw in tree.entries(path)
            }
            taken = [] if path else [RELOCATED.iso]
            for raw, identifier in iso_names(below, taken=taken).items():
                iso[join(path, raw)] = identifier
            for raw, identifier in joliet_names(below).items():
                joliet[join(path, raw)] = identifier
    return entries


def _with_catalog(tree: Tree, boot: ElTorito, timestamp: int) -> Tree:
    """Return ``tree`` with a file where the boot catalog shows, after a look at ``boot``."""
    image = tree.get(boot.boot_image)
    if not isinstance(image, File) or not len(image.content):
        raise UsageError(
            f"the boot image {display(boot.boot_image)} is not a file with something in it",
            hint="name a file of the image, such as boot/isolinux/isolinux.bin",
        )
    if boot.boot_info_table and len(image.content) < BOOT_INFO_END:
        raise UsageError(
            f"the boot image {display(boot.boot_image)} has {len(image.content)} bytes, too few "
            f"for a boot info table, which ends at byte {BOOT_INFO_END}",
            hint="use isolinux.bin as the boot image",
        )
    if not 0 < boot.load_sectors <= 0xFFFF:
        raise UsageError(f"{boot.load_sectors} sectors to load is not between 1 and 65535")
    folder = parent(boot.catalog)
    if not boot.catalog or not isinstance(tree.get(folder), Directory):
        raise UsageError(f"there is no folder for the boot catalog {display(boot.catalog)}")
    if boot.catalog == boot.boot_image or isinstance(tree.get(boot.catalog), Directory):
        raise UsageError(f"the boot catalog cannot take the place of {display(boot.catalog)}")
    tree = tree.copy()
    tree.add(boot.catalog, File(metadata=Metadata(mode=0o444, mtime=timestamp)))
    return tree


def _check_node(path: bytes, node: Node) -> None:
    metadata = node.metadata
    if not (0 <= metadata.uid <= MAX_ID and 0 <= metadata.gid <= MAX_ID):
        raise UnrepresentableError(
            f"{display(path)} has owner {metadata.uid}:{metadata.gid}; "
            f"an ISO image knows numbers from 0 to {MAX_ID}"
        )
    if isinstance(node, File) and memoryview(node.content).nbytes > MAX_FILE_BYTES:
        raise UnrepresentableError(
            f"{display(path)} has {memoryview(node.content).nbytes} bytes; "
            f"in an ISO image a file has at most {MAX_FILE_BYTES} (4 GiB)"
        )
    if not isinstance(node, Device):
        return
    if not fits(node.major, node.minor):
        raise UnrepresentableError(
            f"{display(path)} is device {node.major}:{node.minor}, "
            "which Linux would not read back from an ISO image"
        )


def _fill(image: Mastering, tree: Tree, plan: list[_Entry], boot: ElTorito | None) -> None:
    """Add all of ``plan`` to ``image``."""
    root = plan[0].node
    if not isinstance(root, Directory):
        raise AssertionError  # noqa: TRY004  # a tree's root always is one
    places: dict[bytes, Place] = {ROOT: image.begin(root, relocated=_relocated(plan))}
    contents: dict[int, inode.Inode] = {}
    links = tree.hard_links()
    catalog: _Entry | None = None
    for entry in plan[1:]:
        place, node = places[parent(entry.path)], entry.node
        if isinstance(node, Directory):
            places[entry.path] = image.add_folder(place, entry.names, node)
        elif boot is not None and entry.path == boot.catalog:
            catalog = entry
        elif isinstance(node, File):
            number = tree.inode(entry.path)
            if number not in contents and len(node.content):
                contents[number] = image.add_content(node.content)
            count = len(links.get(number, [b""]))
            image.add_name(place, entry.names, node, contents.get(number), count)
        else:
            image.add_special(place, entry.names, node)
    image.add_padding(PADDING_SECTORS)
    if boot is not None and catalog is not None and isinstance(catalog.node, File):
        loaded = tree[boot.boot_image]
        data = contents[tree.inode(boot.boot_image)]
        place = places[parent(boot.catalog)]
        image.add_boot_catalog(place, catalog.names, catalog.node, data, boot.load_sectors)
        if boot.boot_info_table and isinstance(loaded, File):
            image.patch_boot_info(data, loaded.content)


def _relocated(plan: list[_Entry]) -> Names | None:
    """Return what the folder of relocated folders is called; ``None`` where none is deep."""
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


def _with_identifier(fields: VolumeFields, plan: list[_Entry]) -> VolumeFields:
    """Name the copyright file by its identifier, if it lies in the root (ECMA-119, 8.4.23)."""
    wanted = fields.copyright_file_id.encode("utf-8", "surrogateescape")
    for entry in plan[1:]:
        if entry.path == wanted and isinstance(entry.node, File):
            return evolve(fields, copyright_file_id=entry.names.iso.decode("ascii"))
    return fields
