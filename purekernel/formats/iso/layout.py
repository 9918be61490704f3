"""What an ISO image is made of, besides its tree.

Source: ECMA-119 (ISO 9660); "El Torito" Bootable CD-ROM Format Specification 1.0;
isolinux's boot info table, as mkisofs(8) describes it.
"""

from __future__ import annotations

from attrs import asdict, field, frozen
from pycdlib import headervd, pycdlib

from purekernel.errors import UsageError
from purekernel.tree import Buffer, Tree

SECTOR_BYTES = 2048


# The first 16 sectors belong to the system; the volume descriptors follow.
FIRST_DESCRIPTOR = 16


# Where El Torito wants its boot record (section 2.0).
BOOT_RECORD = 17


# A boot info table lies at these bytes of the boot image; what follows it is summed up.
BOOT_INFO_OFFSET = 8
BOOT_INFO_END = 64


# The longest file that a directory record's 32 bits can say.
MAX_FILE_BYTES = 0xFFFFFFFF
MAX_HALF = 0xFFFFFFFF


# What a dev_t of 16 bits, the oldest kind and a part of all later ones, has room for; the
# major has 12 bits in Linux.
MAX_MINOR = 0xFF
MAX_MAJOR = 0xFFF


# What ECMA-119 (8.4) gives each, in bytes. Joliet writes UCS-2 into the same room.
SIZES_BYTES = {
    "volume_id": 32,
    "system_id": 32,
    "application_id": 128,
    "publisher_id": 128,
    "preparer_id": 128,
    "copyright_file_id": 37,
}


@frozen(kw_only=True)
class VolumeFields:
    """The texts of a volume descriptor.

    Bytes that are not UTF-8 stand as surrogate escapes, so what is read can be written.

    Attributes:
        volume_id: what the disc is called; at most 32 bytes.
        system_id: for which system it is; at most 32 bytes.
        application_id: what it is or what made it; at most 128 bytes.
        publisher_id: at most 128 bytes.
        preparer_id: at most 128 bytes.
        copyright_file_id: a file in the root that states the copyright; at most 37 bytes.
    """

    volume_id: str = "CDROM"
    system_id: str = "LINUX"
    application_id: str = ""
    publisher_id: str = ""
    preparer_id: str = ""
    copyright_file_id: str = ""


@frozen(kw_only=True)
class ElTorito:
    """How an image boots: without emulation, from a file of the tree.

    Attributes:
        boot_image: path of the file that the firmware loads.
        catalog: path under which the boot catalog shows. It is made by the writer and is
            no file of the tree.
        load_sectors: how much of the boot image the firmware loads, in sectors of 512
            bytes.
        boot_info_table: whether bytes 8 to 63 of the boot image say where it lies, as
            isolinux wants it.
    """

    boot_image: bytes
    catalog: bytes
    load_sectors: int = 4
    boot_info_table: bool = True


# Platforms of El Torito entries. (Source: El Torito 1.0, 2.1; UEFI specification 2.10, 13.3.2.1.)
X86 = 0
EFI = 0xEF
_PLATFORMS = {X86: "BIOS", 1: "PowerPC", 2: "Mac", EFI: "UEFI"}


@frozen(kw_only=True)
class BootEntry:
    """An entry of an El Torito catalog.

    Attributes:
        platform: the firmware that it is for: :data:`X86`, :data:`EFI`, ...
        is_bootable: whether it is marked as bootable.
        emulation: 0 for none; else the kind of disk that the firmware emulates.
        path: the file of the tree that it loads; ``None`` where it is none of them.
        extent: where the boot image starts, in sectors of 2048 bytes.
        load_sectors: how much of it the firmware loads, in sectors of 512 bytes.
        content: the boot image; where it is no file, all from its start to the end of the ISO.
    """

    platform: int
    is_bootable: bool
    emulation: int
    path: bytes | None
    extent: int
    load_sectors: int
    content: Buffer = field(repr=False)

    @property
    def firmware(self) -> str:
        """The firmware that it is for, in words."""
        return _PLATFORMS.get(self.platform, f"platform {self.platform:#04x}")


@frozen(kw_only=True)
class IsoImage:
    """An image as it was read.

    Attributes:
        tree: its files, without the boot catalog and without Rock Ridge's folder for
            relocated folders.
        fields: the texts of its volume descriptor.
        boot: how it boots by BIOS; ``None`` where no entry of its El Torito catalog boots a file
            of the tree by BIOS without emulating a disk.
        boot_entries: all entries of its El Torito catalog, the default entry first.
        boot_index: which of these ``boot`` describes, if it is not ``None``.
        system_area: what its system area holds, in words; empty for nothing.
    """

    tree: Tree
    fields: VolumeFields
    boot: ElTorito | None
    boot_entries: tuple[BootEntry, ...] = ()
    boot_index: int = 0
    system_area: str = ""

    @property
    def other_entries(self) -> tuple[BootEntry, ...]:
        """The entries besides the one that ``boot`` describes."""
        if self.boot is None:
            return self.boot_entries
        return self.boot_entries[: self.boot_index] + self.boot_entries[self.boot_index + 1 :]


# Device numbers, as Rock Ridge's PN entry has them: a high and a low half.
#
# The standard leaves open what the halves are. mkisofs writes major and minor; xorriso a
# Linux ``dev_t`` into the low half alone. Linux takes a low half of more than a byte beside
# an empty high half for the latter.
#
# Source: RRIP 1.12, 4.1.2; fs/isofs/rock.c of the Linux kernel; gnu_dev_makedev(3).


def fits(major: int, minor: int) -> bool:
    """Say whether Linux would read a device back as what it was."""
    if not (0 <= major <= MAX_HALF and 0 <= minor <= MAX_HALF):
        return False
    return major > 0 or minor <= MAX_MINOR


def split_device(major: int, minor: int) -> tuple[int, int]:
    """Return the halves to write: those that all readers agree on, where there are any."""
    if major <= MAX_MAJOR and minor <= MAX_MINOR:
        return 0, major << 8 | minor
    return major, minor


def join_device(high: int, low: int) -> tuple[int, int]:
    """Return major and minor of what was read."""
    if high or low <= MAX_MINOR:
        return high, low
    return low >> 8 & MAX_MAJOR, low & 0xFF | low >> 12 & 0xFFF00


# The texts of a volume descriptor, in and out of pycdlib.


def check_fields(fields: VolumeFields) -> None:
    """Raise UsageError where a field is longer than its place.

    The standard also wants capitals; like mkisofs, this takes what is given.
    """
    for key, text in asdict(fields).items():
        words = key.replace("_", " ")
        try:
            size_bytes = len(_encode(text))
        except UnicodeEncodeError:
            raise UsageError(f"the ISO's {words} is not text") from None
        if size_bytes > SIZES_BYTES[key]:
            raise UsageError(
                f"the ISO's {words} has {size_bytes} bytes, there is room for {SIZES_BYTES[key]}",
                hint="shorten it",
            )
        if "\0" in text:
            raise UsageError(f"the ISO's {words} holds a NUL")


def set_fields(image: pycdlib.PyCdlib, fields: VolumeFields) -> None:
    """Write ``fields`` into the descriptors of ``image``, cut to fit in Joliet's."""
    for volume in (image.pvd, image.joliet_vd):
        if volume is not None:
            joliet = volume is not image.pvd
            padded = {
                key: _pad(text, SIZES_BYTES[key], joliet=joliet)
                for key, text in asdict(fields).items()
            }
            volume.volume_identifier = padded["volume_id"]
            volume.system_identifier = padded["system_id"]
            volume.application_identifier.text = padded["application_id"]
            volume.publisher_identifier.text = padded["publisher_id"]
            volume.preparer_identifier.text = padded["preparer_id"]
            volume.copyright_file_identifier = padded["copyright_file_id"]


def get_fields(volume: headervd.PrimaryOrSupplementaryVD) -> VolumeFields:
    """Return the fields of a primary volume descriptor."""
    return VolumeFields(
        volume_id=_decode(volume.volume_identifier),
        system_id=_decode(volume.system_identifier),
        application_id=_decode(volume.application_identifier.text),
        publisher_id=_decode(volume.publisher_identifier.text),
        preparer_id=_decode(volume.preparer_identifier.text),
        copyright_file_id=_decode(volume.copyright_file_identifier),
    )


def _pad(text: str, size_bytes: int, *, joliet: bool) -> bytes:
    if not joliet:
        return _encode(text).ljust(size_bytes, b" ")
    wide = text.encode("utf-16-be", "replace")[: size_bytes // 2 * 2]
    # Of an odd room the last byte stays over.
    return (wide + " ".encode("utf-16-be") * size_bytes)[: size_bytes // 2 * 2].ljust(
        size_bytes, b"\0"
    )


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(raw: bytes) -> str:
    return raw.rstrip(b" \0").decode("utf-8", "surrogateescape")
