"""Fill a pycdlib image record by record.

pycdlib's public methods take paths and names as text, cannot set owners or make device nodes, and
lose the continuation of a relocated folder's long name. This module therefore creates the directory
records that those methods create, with the same bookkeeping: it reports the bytes of each addition
to the volume (``_finish_add``), and allocates the continuation area of each record with Rock Ridge
(``_update_rr_ce_entry``).
"""

from __future__ import annotations

import stat
from collections.abc import Sequence

from pycdlib import dr, eltorito, headervd, inode, path_table_record, pycdlib, rockridge

from purekernel.formats.iso.layout import SECTOR_BYTES, split_device
from purekernel.formats.iso.pieces import (
    DeviceRecord,
    DiscContent,
    DiscPlace,
    Links,
    Names,
    date_of,
    entries_with,
    own,
)
from purekernel.tree import Buffer, Device, Directory, File, Metadata, Node, Symlink, file_type

# The version that mkisofs and xorriso write. It lacks the RR record of 1.09.
ROCK_RIDGE = "1.10"

# The version with serial numbers of files.
ROCK_RIDGE_NUMBERED = "1.12"

# Long file names need level 2 or 3. No file has several extents.
INTERCHANGE_LEVEL = 3

# The maximum of folder levels (ECMA-119, 6.8.2.1); the root is level 1.
MAX_LEVELS = 8

RELOCATED_MODE = 0o555


class BootCatalog(eltorito.EltoritoBootCatalog):
    """A boot catalog that pycdlib places, and whose bytes are not pycdlib's.

    pycdlib puts the images of its entries first on the disc, in the order of their names.
    """

    __slots__ = ("data",)

    def boot(self, images: Sequence[inode.Inode]) -> None:
        """Set the contents to put first."""
        first, *others = images or [inode.Inode()]
        if not images:
            first.new(0, DiscContent(b""), False, 0)  # type: ignore[arg-type]  # same methods
        self.new(self.br, first, 0, 0, "noemul", 0, 0, True)
        for image in others:
            self.add_section(image, 0, 0, "noemul", 0, efi=True, bootable=True)
        self.data = b""

    def record(self) -> bytes:  # overrides pycdlib's method
        """Return the bytes of the catalog."""
        return self.data


class Mastering(pycdlib.PyCdlib):
    """Build an image. Use it inside :func:`purekernel.formats.iso.clock.hold`."""

    __slots__ = ("_relocated",)

    def begin(
        self, root: Directory, *, relocated: Names | None, numbered: bool = False
    ) -> DiscPlace:
        """Start an empty image and return its root.

        Args:
            root: the root folder, for its metadata.
            relocated: the names of the folder for relocated folders; ``None`` if no folder needs
                relocation.
            numbered: whether names have serial numbers, by which those of one file are known.
        """
        version = ROCK_RIDGE_NUMBERED if numbered else ROCK_RIDGE
        self.new(interchange_level=INTERCHANGE_LEVEL, joliet=3, rock_ridge=version)
        if self.joliet_vd is None:
            raise AssertionError  # new() above was called with joliet=3
        place = DiscPlace(
            record=self.pvd.root_directory_record(),
            joliet=self.joliet_vd.root_directory_record(),
            level=1,
        )
        place.record.date = place.joliet.date = date_of(root.metadata.mtime)
        for record in place.record.children[:2]:
            record.date = date_of(root.metadata.mtime)
            entries = entries_with(record, "tf_record")
            entries.tf_record = rockridge.RRTFRecord()
            entries.tf_record.new(rockridge.TF_FLAGS, root.metadata.mtime)
            own(record, root)
        for record in place.joliet.children[:2]:
            record.date = date_of(root.metadata.mtime)
        self._relocated: dr.DirectoryRecord | None = None
        if relocated is not None:
            metadata = Metadata(mode=RELOCATED_MODE, mtime=root.metadata.mtime)
            folder = Directory(metadata=metadata)
            self._relocated = self._add_rock_ridge_folder(place.record, relocated, folder)
        return place

    def add_folder(self, place: DiscPlace, names: Names, node: Directory) -> DiscPlace:
        """Add a folder, relocate it if it is too deep, and return its place."""
        level = place.level + 1
        if level <= MAX_LEVELS or self._relocated is None:
            record = self._add_rock_ridge_folder(place.record, names, node)
        else:
            record = self._relocate_folder(place.record, names, node)
            level = 3  # the root, the folder for relocated folders, this folder
        return DiscPlace(
            record=record,
            joliet=self._add_joliet_folder(place.joliet, names.joliet, node),
            level=level,
        )

    def add_name(
        self, place: DiscPlace, names: Names, node: File, data: inode.Inode | None, links: Links
    ) -> None:
        """Add a name of a file.

        Args:
            place: the folder that contains the name.
            names: the name.
            node: the file.
            data: the content, from :meth:`add_content`; ``None`` for an empty file.
            links: the names of the file.
        """
        size_bytes = len(memoryview(node.content).cast("B"))
        record = self._new_leaf(dr.DirectoryRecord(), place, names, node, size_bytes)
        links.describe(record)
        joliet = self._new_joliet_leaf(place, names, node, size_bytes)
        if data is not None:
            record.inode = joliet.inode = data
            data.linked_records += [(record, True), (joliet, False)]

    def add_content(self, content: Buffer) -> inode.Inode:
        """Add a content, which several names may share."""
        data = inode.Inode()
        size_bytes = len(memoryview(content).cast("B"))
        data.new(size_bytes, DiscContent(content), False, 0)  # type: ignore[arg-type]  # same methods
        self.inodes.append(data)
        self._finish_add(size_bytes, 0)
        return data

    def add_special(self, place: DiscPlace, names: Names, node: Node, links: Links) -> None:
        """Add a symbolic link, device, fifo or socket. Joliet cannot represent these."""
        if isinstance(node, Symlink):
            record = dr.DirectoryRecord()
            record.new_symlink(
                self.pvd, names.iso, place.record, node.target, 1, self.rock_ridge, names.raw,
                False, node.metadata.mtime,
            )  # fmt: skip
            own(record, node)
            links.describe(record)
            self._attach(record)
        elif isinstance(node, Device):
            record = self._new_leaf(DeviceRecord(), place, names, node, 0, attach=False)
            numbers = rockridge.RRPNRecord()
            numbers.new(*split_device(node.major, node.minor))
            # pycdlib writes this list record by record, for any type of record.
            record.rock_ridge.dr_entries.pd_records.append(numbers)  # type: ignore[union-attr,arg-type]
            links.describe(record)
            self._attach(record)
        else:
            links.describe(self._new_leaf(dr.DirectoryRecord(), place, names, node, 0))

    def add_boot_catalog(
        self,
        place: DiscPlace,
        names: Names,
        node: File,
        images: Sequence[inode.Inode],
        size_bytes: int,
    ) -> BootCatalog:
        """Add the boot record, and a file for the boot catalog; its bytes are set later.

        Args:
            place: the folder of the file.
            names: its name.
            node: the file, for its metadata.
            images: the contents of boot images, from :meth:`add_content`. They come first on the
                disc.
            size_bytes: the size of the catalog, in whole sectors.
        """
        boot_record = headervd.BootRecord()
        boot_record.new(b"EL TORITO SPECIFICATION")
        self.brs.append(boot_record)
        catalog = BootCatalog(boot_record)
        catalog.boot(images)
        self.eltorito_boot_catalog = catalog
        record = self._new_leaf(dr.DirectoryRecord(), place, names, node, size_bytes)
        catalog.add_dirrecord(record)
        catalog.add_dirrecord(self._new_joliet_leaf(place, names, node, size_bytes))
        self._finish_add(SECTOR_BYTES + size_bytes, 0)  # the record, and the catalog itself
        return catalog

    def settle(self) -> int:
        """Fix all places, and return the size of the volume in sectors. Add nothing later."""
        self.force_consistency()
        return int(self.pvd.space_size)

    def replace_content(self, data: inode.Inode, content: Buffer) -> None:
        """Replace a content by another of the same size."""
        data.update_fp(DiscContent(content), len(content))  # type: ignore[arg-type]  # same methods

    def add_padding(self, sectors: int) -> None:
        """Add ``sectors`` of zeros at the end of the image."""
        self._finish_add(sectors * SECTOR_BYTES, 0)

    # Private helpers

    def _add_rock_ridge_folder(
        self,
        parent: dr.DirectoryRecord,
        names: Names,
        node: Directory,
        *,
        shown_in: dr.DirectoryRecord | None = None,
    ) -> dr.DirectoryRecord:
        """Add a folder to the primary hierarchy.

        ``shown_in`` is the original parent of a relocated folder.
        """
        relocated = shown_in is not None
        mode, mtime = stat.S_IFDIR | node.metadata.mode, node.metadata.mtime
        record = dr.DirectoryRecord()
        record.new_dir(
            self.pvd, names.iso, parent, 1, self.rock_ridge, names.raw, SECTOR_BYTES, False,
            relocated, False, mode, mtime,
        )  # fmt: skip
        own(record, node)
        self._attach(record)
        dot = dr.DirectoryRecord()
        dot.new_dot(self.pvd, record, 1, self.rock_ridge, SECTOR_BYTES, False, mode, mtime)
        own(dot, node)
        self._attach(dot)
        above = entries_with((shown_in or parent).children[0], "px_record").px_record
        dot_dot = dr.DirectoryRecord()
        dot_dot.new_dotdot(
            self.pvd, record, 1, self.rock_ridge, SECTOR_BYTES, relocated, False,
            above.posix_file_mode, mtime,
        )  # fmt: skip
        owner = entries_with(dot_dot, "px_record").px_record
        owner.posix_user_id, owner.posix_group_id = above.posix_user_id, above.posix_group_id
        dot_dot.rock_ridge.parent_link = shown_in  # type: ignore[union-attr]  # all have Rock Ridge
        self._attach(dot_dot)
        pointer = path_table_record.PathTableRecord()
        pointer.new_dir(names.iso)
        record.set_ptr(pointer)
        self._finish_add(self._add_to_ptr_size(pointer) + SECTOR_BYTES, 0)
        return record

    def _relocate_folder(
        self, parent: dr.DirectoryRecord, names: Names, node: Directory
    ) -> dr.DirectoryRecord:
        """Add a folder to the folder for relocated folders, and a link at its original path."""
        if self._relocated is None:
            raise AssertionError  # the caller has checked
        # Folders from different parents could have the same ISO name; numbers are unique.
        shared = Names(
            iso=b"%08d" % len(self._relocated.children), joliet=names.joliet, raw=names.raw
        )
        record = self._add_rock_ridge_folder(self._relocated, shared, node, shown_in=parent)
        link = dr.DirectoryRecord()
        link.new_dir(
            self.pvd, names.iso, parent, 1, self.rock_ridge, names.raw, SECTOR_BYTES, True, False,
            False, stat.S_IFDIR | node.metadata.mode, node.metadata.mtime,
        )  # fmt: skip
        own(link, node)
        link.rock_ridge.cl_to_moved_dr = record  # type: ignore[union-attr]  # all have Rock Ridge
        record.rock_ridge.moved_to_cl_dr = link  # type: ignore[union-attr]  # likewise
        self._attach(link)
        return record

    def _add_joliet_folder(
        self, parent: dr.DirectoryRecord, name: bytes, node: Directory
    ) -> dr.DirectoryRecord:
        volume, mtime = parent.vd, node.metadata.mtime
        record, dot, dot_dot = (dr.DirectoryRecord() for _ in range(3))
        record.new_dir(
            volume, name, parent, 1, "", b"", SECTOR_BYTES, False, False, False, 0, mtime
        )
        self._attach(record)
        dot.new_dot(volume, record, 1, "", SECTOR_BYTES, False, 0, mtime)
        self._attach(dot)
        dot_dot.new_dotdot(volume, record, 1, "", SECTOR_BYTES, False, False, 0, mtime)
        self._attach(dot_dot)
        pointer = path_table_record.PathTableRecord()
        pointer.new_dir(name)
        record.set_ptr(pointer)
        grown = volume.add_to_ptr_size(path_table_record.PathTableRecord.record_length(len(name)))
        self._finish_add(SECTOR_BYTES + 4 * SECTOR_BYTES * grown, 0)
        return record

    def _new_leaf(
        self,
        record: dr.DirectoryRecord,
        place: DiscPlace,
        names: Names,
        node: Node,
        size_bytes: int,
        *,
        attach: bool = True,
    ) -> dr.DirectoryRecord:
        mode = file_type(node) | node.metadata.mode
        record.new_file(
            self.pvd, size_bytes, names.iso, place.record, 1, self.rock_ridge, names.raw, False,
            mode, node.metadata.mtime,
        )  # fmt: skip
        own(record, node)
        if attach:
            self._attach(record)
        return record

    def _new_joliet_leaf(
        self, place: DiscPlace, names: Names, node: Node, size_bytes: int
    ) -> dr.DirectoryRecord:
        record = dr.DirectoryRecord()
        record.new_file(
            place.joliet.vd, size_bytes, names.joliet, place.joliet, 1, "", b"", False, 0,
            node.metadata.mtime,
        )  # fmt: skip
        self._attach(record)
        return record

    def _attach(self, record: dr.DirectoryRecord) -> None:
        self._finish_add(self._add_child_to_dr(record) + self._update_rr_ce_entry(record), 0)
