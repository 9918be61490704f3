"""Convert pycdlib's directory records to nodes of a tree.

Source: IEEE P1282, Rock Ridge Interchange Protocol 1.12, 4.1; fs/isofs/rock.c of the Linux
kernel, for the interpretation.
"""

from __future__ import annotations

import re
import stat
from datetime import UTC, datetime, timedelta
from typing import Any

from pycdlib import dr

from purekernel.formats.iso.layout import join_device
from purekernel.formats.iso.zisofs import ZisofsEntry, parse_entry
from purekernel.tree import (
    Buffer,
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    LazyContent,
    Metadata,
    Node,
    Socket,
    Symlink,
)

# The modes of files and folders without Rock Ridge, as with mount(8).
FILE_MODE = 0o644
FOLDER_MODE = 0o755

# The identifiers of Rock Ridge 1.09, of 1.12, and of 1.12 from xorriso. pycdlib supports the first
# two.
EXTENSIONS = (b"RRIP_1991A", b"IEEE_P1282", b"IEEE_1282")

VERSION = re.compile(rb";[0-9]*\Z")
JOLIET_VERSION = re.compile(r";[0-9]*\Z")

# Flags of a component of a symbolic link (4.1.3.1).
CONTINUES, CURRENT, PARENT, FROM_ROOT = 1, 2, 4, 8
COMPONENTS = {CURRENT: b".", PARENT: b"..", FROM_ROOT: b"/"}

DEVICES = {stat.S_IFCHR: DeviceKind.CHARACTER, stat.S_IFBLK: DeviceKind.BLOCK}

MULTI_EXTENT = 0x80
ASSOCIATED = 0x04


def declares_rock_ridge(root: dr.DirectoryRecord) -> bool:
    """Return whether the root's own record (".") declares Rock Ridge, of any version."""
    own = own_record(root)
    extension = None if own is None else _entry(own, "er_record")
    return extension is not None and extension.ext_id in EXTENSIONS


def own_record(folder: dr.DirectoryRecord) -> dr.DirectoryRecord | None:
    """Return a folder's record of itself (".")."""
    return next((child for child in folder.children if child.file_ident == b"\0"), None)


def is_dots(record: dr.DirectoryRecord) -> bool:
    """Return whether ``record`` is "." or ".."."""
    return record.file_ident in (b"\0", b"\1")


def rock_ridge_name(record: dr.DirectoryRecord) -> bytes:
    """Return the Rock Ridge name, or the plain name if the record has none."""
    if record.rock_ridge is None or not _entries(record, "nm_records"):
        return plain_name(record)
    return record.rock_ridge.name()


def plain_name(record: dr.DirectoryRecord) -> bytes:
    """Return an ISO 9660 identifier in lower case without version: ``readme.txt``."""
    name = VERSION.sub(b"", record.file_ident).lower()
    return name.rstrip(b".") or name or record.file_ident


def joliet_name(record: dr.DirectoryRecord) -> bytes:
    """Return a Joliet identifier in UTF-8, without its version."""
    name = record.file_ident.decode("utf-16-be", "replace")
    return (JOLIET_VERSION.sub("", name) or name).encode("utf-8", "replace")


def node_of(
    record: dr.DirectoryRecord,
    content: Buffer | LazyContent,
    attributes: dr.DirectoryRecord | None = None,
) -> Node | None:
    """Return the node of a record, or ``None`` for a type that Linux does not have.

    Args:
        record: the directory record.
        content: the content, if the record is a file.
        attributes: the record with the Rock Ridge entries, if not ``record``.
    """
    attributes = attributes or record
    owner = _entry(attributes, "px_record")
    mtime = _mtime(attributes)
    if owner is None:
        if record.isdir:
            return Directory(metadata=Metadata(mode=FOLDER_MODE, mtime=mtime))
        return File(metadata=Metadata(mode=FILE_MODE, mtime=mtime), content=content)
    metadata = Metadata(
        mode=stat.S_IMODE(owner.posix_file_mode),
        uid=owner.posix_user_id,
        gid=owner.posix_group_id,
        mtime=mtime,
    )
    kind = stat.S_IFMT(owner.posix_file_mode)
    if record.isdir:
        return Directory(metadata=metadata)
    if kind == stat.S_IFREG:
        return File(metadata=metadata, content=content)
    return _special(record, kind, metadata)


def _special(record: dr.DirectoryRecord, kind: int, metadata: Metadata) -> Node | None:
    """Return a node that is neither a file nor a folder."""
    if kind == stat.S_IFLNK:
        return Symlink(metadata=metadata, target=_target(record))
    if kind in DEVICES:
        numbers = _entry(record, "pn_record")
        major, minor = (
            (0, 0) if numbers is None else join_device(numbers.dev_t_high, numbers.dev_t_low)
        )
        return Device(metadata=metadata, kind=DEVICES[kind], major=major, minor=minor)
    if kind == stat.S_IFIFO:
        return Fifo(metadata=metadata)
    return Socket(metadata=metadata) if kind == stat.S_IFSOCK else None


def link_key(record: dr.DirectoryRecord) -> tuple[int, ...] | None:
    """Return a key that all names of an inode share; ``None`` for a single name.

    The key is the serial number, or else the extent: Rock Ridge 1.09 stores the number of links,
    but no serial number.
    """
    owner = _entry(record, "px_record")
    if owner is None or owner.posix_file_links < 2 or record.isdir:
        return None
    if owner.posix_serial_number:
        return (owner.posix_serial_number,)
    if not record.data_length:
        return None
    return (record.extent_location(), record.data_length)


def zisofs_entry(record: dr.DirectoryRecord) -> ZisofsEntry | None:
    """Return the ZF entry of a record; the survey made it a PD entry for pycdlib."""
    if record.isdir:
        return None
    entries = (parse_entry(padding.padding) for padding in _entries(record, "pd_records"))
    return next((entry for entry in entries if entry is not None), None)


def child_link(record: dr.DirectoryRecord) -> int | None:
    """Return the extent of the relocated folder that ``record`` refers to (CL), if any."""
    link = _entry(record, "cl_record")
    return None if link is None else int(link.child_log_block_num)


def is_relocated(record: dr.DirectoryRecord) -> bool:
    """Return whether ``record`` is a relocated folder (RE)."""
    return _entry(record, "re_record") is not None


def _entry(record: dr.DirectoryRecord, wanted: str) -> Any:
    if record.rock_ridge is None:
        return None
    entry = getattr(record.rock_ridge.dr_entries, wanted)
    if entry is None and record.rock_ridge.ce_entries is not None:
        entry = getattr(record.rock_ridge.ce_entries, wanted)
    return entry


def _entries(record: dr.DirectoryRecord, wanted: str) -> list[Any]:
    if record.rock_ridge is None:
        return []
    entries = list(getattr(record.rock_ridge.dr_entries, wanted))
    if record.rock_ridge.ce_entries is not None:
        entries += getattr(record.rock_ridge.ce_entries, wanted)
    return entries


def _target(record: dr.DirectoryRecord) -> bytes:
    """Return a symbolic link's target, joined as Linux joins its components."""
    target = b""
    slash = b""
    for part in _entries(record, "sl_records"):
        for component in part.symlink_components:
            special = COMPONENTS.get(component.flags & ~CONTINUES)
            target += slash + (component.data if special is None else special)
            joined = component.flags & (CONTINUES | FROM_ROOT)
            slash = b"" if joined else b"/"
    return target


def _mtime(record: dr.DirectoryRecord) -> int:
    times = _entry(record, "tf_record")
    # Bit 1 of a TF entry is the modification time, bit 2 the access time (4.1.6). pycdlib swaps
    # their names.
    date: Any = getattr(times, "access_time", None) or record.date
    try:
        if hasattr(date, "years_since_1900"):
            year, day = 1900 + date.years_since_1900, date.day_of_month
        else:  # Rock Ridge's long form
            year, day = date.year, date.dayofmonth
        moment = datetime(
            year, date.month, day, date.hour, date.minute, date.second, tzinfo=UTC
        ) - timedelta(minutes=15 * date.gmtoffset)
        return int(moment.timestamp())
    except (ValueError, OverflowError):  # the date is not set
        return 0
