"""Describe how an image is built: volumes, boot entries, partitions, archives, superblocks.

What is damaged is a fault, and the other sections are still there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import asdict

from purekernel.analysis.contents import Contents, Part
from purekernel.analysis.packages import describe_package
from purekernel.analysis.sections import Section
from purekernel.errors import PurekernelError
from purekernel.formats.bzimage import (
    is_64_bit,
    kernel_release,
    kernel_version,
    parse_boot_header,
    payload_kind,
)
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.fat.layout import NO_LABEL, parse_boot_sector
from purekernel.formats.gzip import read_header
from purekernel.formats.inflate import Stream
from purekernel.formats.initramfs import read_compressions
from purekernel.formats.iso import read_catalog, read_volume
from purekernel.formats.iso.boot import LOAD_BYTES
from purekernel.formats.iso.layout import SECTOR_BYTES as CD_SECTOR_BYTES
from purekernel.formats.partitions import SECTOR_BYTES, parse_gpt, parse_mbr
from purekernel.formats.partitions.layout import BOOT_SIGNATURE, GPT_SIGNATURE, kind_name
from purekernel.formats.qcow2 import parse_header
from purekernel.formats.squashfs import read_superblock
from purekernel.formats.squashfs.codecs import NAMES
from purekernel.formats.squashfs.layout import SuperblockFlag
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display

# More gzip members, as of a file that is packed in parallel, are counted only.
MOST_STREAMS = 16

MENU = "boot_menu"


@frozen(kw_only=True)
class Structure:
    """The description of a part.

    Attributes:
        sections: its sections, as far as they could be read.
        faults: what could not be read.
    """

    sections: tuple[Section, ...]
    faults: tuple[PurekernelError, ...]


def describe_part(contents: Contents, part: Part) -> Structure:
    """Return the description of a part of an image."""
    sections: list[Section] = []
    faults: list[PurekernelError] = []
    for describe in _DESCRIBERS.get(part.kind, ()):
        try:
            sections += describe(part)
        except PurekernelError as error:
            faults.append(error)
    for describe in (_gzip_members, lambda part: _menus(contents, part)):
        try:
            sections += describe(part)
        except PurekernelError as error:
            faults.append(error)
    if not part.place and contents.kernel is not None and part.kind is not FileKind.BZIMAGE:
        sections += _kernel(contents.kernel)
    return Structure(sections=tuple(sections), faults=tuple(faults))


# ISO 9660.


def _volume(part: Part) -> Iterator[Section]:
    file = _plain(part)
    volume = read_volume(file)
    yield Section(
        key="volume",
        title="Volume",
        facts={
            **asdict(volume.fields),
            "block_bytes": volume.block_bytes,
            "blocks": volume.blocks,
            "created": volume.created,
            "modified": volume.modified,
            "rock_ridge": volume.has_rock_ridge,
            "joliet": volume.has_joliet,
            "udf": volume.has_udf,
        },
    )


def _el_torito(part: Part) -> Iterator[Section]:
    file = _plain(part)
    volume = read_volume(file)
    entries = read_catalog(file, volume)
    if not entries:
        return
    known = () if part.iso is None or part.iso.boot is None else part.iso.boot.entries
    rows = []
    for number, found in enumerate(entries, start=1):
        entry = known[number - 1] if len(known) == len(entries) else found.entry
        image = None if entry.path is None else display(entry.path)[1:-1]
        rows.append(
            {
                "number": number,
                "firmware": entry.firmware,
                "bootable": entry.is_bootable,
                "emulation": _EMULATIONS.get(entry.emulation, str(entry.emulation)),
                "load_segment": f"{entry.load_segment:#06x}",
                "load_bytes": entry.load_sectors * LOAD_BYTES,
                "offset": found.sector * CD_SECTOR_BYTES,
                "image": image,
                "boot_info_table": entry.boot_info_table,
                "grub_boot_info": entry.grub_boot_info,
            }
        )
    facts = {"catalog_sector": volume.catalog_sector}
    yield Section(key="el_torito", title="El Torito entries", facts=facts, rows=rows)


_EMULATIONS = {0: "none", 1: "1.2M floppy", 2: "1.44M floppy", 3: "2.88M floppy", 4: "hard disk"}


# Disks, and ISOs that are disks too.


def _partitions(part: Part) -> Iterator[Section]:
    file = _plain(part)
    if bytes(file.view[510:512]) != BOOT_SIGNATURE:
        return
    mbr = parse_mbr(file)
    rows = [
        {
            "number": each.number,
            "type": f"{each.kind:#04x}",
            "name": kind_name(each),
            "active": each.is_active,
            "first_sector": each.first,
            "sectors": each.sectors,
            "size_bytes": each.sectors * SECTOR_BYTES,
        }
        for each in mbr.partitions
    ]
    facts = {"disk_id": f"{mbr.disk_id:08x}", "boot_code": any(mbr.code)}
    if rows or facts["boot_code"]:
        yield Section(key="mbr", title="MBR", facts=facts, rows=rows)
    if bytes(file.view[SECTOR_BYTES : SECTOR_BYTES + 8]) != GPT_SIGNATURE and not mbr.is_protective:
        return
    gpt = parse_gpt(file)
    if gpt is not None:
        yield Section(
            key="gpt",
            title="GPT",
            facts={"disk_id": str(gpt.disk_id)},
            rows=[
                {
                    "number": each.number,
                    "type": str(each.kind),
                    "name": kind_name(each),
                    "label": each.name,
                    "id": str(each.id),
                    "first_sector": each.first,
                    "sectors": each.sectors,
                    "size_bytes": each.sectors * SECTOR_BYTES,
                }
                for each in gpt.partitions
            ],
        )


def _qcow2(part: Part) -> Iterator[Section]:
    file = _plain(part)
    header = parse_header(file)
    yield Section(
        key="qcow2",
        title="qcow2",
        facts={
            "version": header.version,
            "disk_bytes": header.size,
            "file_bytes": len(file),
            "cluster_bytes": header.cluster_bytes,
            "compression": "zstd" if header.compression else "zlib",
        },
    )


def _fat(part: Part) -> Iterator[Section]:
    boot = parse_boot_sector(_plain(part))
    geometry = boot.geometry
    yield Section(
        key="fat",
        title=f"FAT{geometry.bits} volume",
        facts={
            "label": "" if boot.label == NO_LABEL else _text(boot.label.rstrip(b" ")),
            "volume_id": f"{boot.volume_id >> 16:04X}-{boot.volume_id & 0xFFFF:04X}",
            "volume_bytes": geometry.size_bytes,
            "sector_bytes": geometry.sector_bytes,
            "cluster_bytes": geometry.cluster_bytes,
            "clusters": geometry.clusters,
            "tables": geometry.tables,
            "hidden_sectors": boot.hidden_sectors,
        },
    )


# Archives.


def _squashfs(part: Part) -> Iterator[Section]:
    facts = read_superblock(_plain(part))
    flags = [flag.name.lower() for flag in SuperblockFlag if facts.flags & flag]
    yield Section(
        key="squashfs",
        title="squashfs superblock",
        facts={
            "compression": NAMES.get(facts.compression, f"number {facts.compression}"),
            "block_bytes": facts.block_bytes,
            "used_bytes": facts.used_bytes,
            "made_time": facts.mkfs_time,
            "inodes": facts.inodes,
            "fragments": facts.fragments,
            "owners": facts.ids,
            "flags": flags,
        },
    )


def _members(part: Part) -> Iterator[Section]:
    rows = [
        {
            "offset": each.offset,
            "packed_bytes": each.end - each.offset,
            "compression": None if each.compression is None else each.compression.name.lower(),
            "unpacked_bytes": each.unpacked_bytes,
            "archives": each.archives,
            "members": each.members,
        }
        for each in part.segments
    ]
    if rows:
        yield Section(key="initrd", title="Archives of the initrd", rows=rows)


def _gzip_members(part: Part) -> Iterator[Section]:
    file = part.file
    streams: list[Stream] = list(part.streams)
    if part.segments:
        kinds = {each.compression for each in part.segments}
        streams = [stream for each in part.segments for stream in each.streams]
        if kinds & {FileKind.GZIP} != kinds - {None}:
            return
    elif FileKind.GZIP not in (part.compression, part.kind):
        return
    if file is None or not streams:
        return
    rows = []
    for stream in streams[:MOST_STREAMS]:
        name, mtime = read_header(file, stream.offset)
        rows.append(
            {
                "offset": stream.offset,
                "packed_bytes": stream.end - stream.offset,
                "unpacked_bytes": stream.unpacked_bytes,
                "name": _text(name),
                "modified_time": mtime,
            }
        )
    yield Section(key="gzip", title="gzip members", facts={"members": len(streams)}, rows=rows)


# Kernels and boot menus.


def _kernel_part(part: Part) -> Iterator[Section]:
    yield from _kernel(_plain(part))


def _kernel(file: Input) -> Iterator[Section]:
    if detect(file.data) is not FileKind.BZIMAGE:
        return
    header = parse_boot_header(file)
    compressions = read_compressions(file.strict())
    payload = payload_kind(file)
    yield Section(
        key="kernel",
        title="Kernel",
        facts={
            "file": file.name,
            "release": kernel_release(file.data) or "",
            "version": _text(kernel_version(file.data) or b""),
            "bits": 64 if is_64_bit(file.data) else 32,
            "boot_protocol": "{}.{:02}".format(*header.protocol),
            "payload": None if payload is None else payload.name.lower(),
            "command_line_bytes": header.max_words_bytes,
            "initrd_limit": header.initrd_limit,
            "unpacks_initrds_of": None
            if compressions is None
            else sorted(each.value for each in compressions),
        },
    )


def _menus(contents: Contents, part: Part) -> Iterator[Section]:
    for found in contents.menus:
        if found.part is not part:
            continue
        menu = found.menu
        rows = [
            {
                "default": number == menu.default,
                "title": _text(entry.title),
                "kernel": None if entry.kernel is None else _text(entry.kernel),
                "initrds": [_text(each) for each in entry.initrds],
                "words": _text(b" ".join(entry.words)),
            }
            for number, entry in enumerate(menu.found)
        ]
        if rows:
            wait = None if menu.timeout is None else menu.timeout / 10
            facts = {"path": _text(menu.path), "timeout_seconds": wait}
            title = f"Boot menu {display(menu.path)[1:-1]}"
            yield Section(key=MENU, title=title, facts=facts, rows=rows)


def _plain(part: Part) -> Input:
    assert part.plain is not None  # noqa: S101  # parts of these kinds are files
    return part.plain.strict()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


_Describe = Callable[[Part], Iterator[Section]]
_DESCRIBERS: dict[FileKind | None, tuple[_Describe, ...]] = {
    FileKind.ISO: (_volume, _el_torito, _partitions),
    FileKind.DISK: (_partitions,),
    FileKind.QCOW2: (_qcow2,),
    FileKind.FAT: (_fat,),
    FileKind.SQUASHFS: (_squashfs,),
    FileKind.CPIO: (_members,),
    FileKind.BZIMAGE: (_kernel_part,),
    FileKind.AR: (describe_package,),
    FileKind.TAR: (describe_package,),
    None: (describe_package,),
}
