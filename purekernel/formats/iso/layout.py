"""Define the sizes, text fields and device numbers of an ISO image.

Source: ECMA-119 (ISO 9660); "El Torito" Bootable CD-ROM Format Specification 1.0.
"""

from __future__ import annotations

from attrs import asdict
from pycdlib import headervd, pycdlib

from purekernel.errors import UsageError
from purekernel.records import frozen

SECTOR_BYTES = 2048


# The first 16 sectors are the system area; the volume descriptors follow.
FIRST_DESCRIPTOR = 16


# The sector of the boot record (El Torito, 2.0).
BOOT_RECORD = 17


# The size field of a directory record has 32 bits.
MAX_FILE_BYTES = 0xFFFFFFFF
MAX_HALF = 0xFFFFFFFF


# The minor number that fits a 16-bit dev_t, the oldest format, which all later ones contain; and
# the major number of Linux, which has 12 bits.
MAX_MINOR = 0xFF
MAX_MAJOR = 0xFFF


# The size of each field in bytes (ECMA-119, 8.4). Joliet writes UCS-2 into fields of the same size.
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
    """The text fields of a volume descriptor.

    Bytes that are not UTF-8 are surrogate escapes, so that they round-trip.

    Attributes:
        volume_id: the name of the disc; at most 32 bytes.
        system_id: the system that the disc is for; at most 32 bytes.
        application_id: the content of the disc, or the program that made it; at most 128 bytes.
        publisher_id: the publisher; at most 128 bytes.
        preparer_id: the preparer of the data; at most 128 bytes.
        copyright_file_id: a file in the root that states the copyright; at most 37 bytes.
    """

    volume_id: str = "CDROM"
    system_id: str = "LINUX"
    application_id: str = ""
    publisher_id: str = ""
    preparer_id: str = ""
    copyright_file_id: str = ""


# Device numbers in Rock Ridge's PN entry: a high and a low half.
#
# The standard does not define the halves. mkisofs writes the major and the minor number; xorriso
# writes a Linux ``dev_t`` into the low half and 0 into the high half. Linux assumes the latter if
# the high half is 0 and the low half exceeds a byte.
#
# Source: RRIP 1.12, 4.1.2; fs/isofs/rock.c of the Linux kernel; gnu_dev_makedev(3).


def fits(major: int, minor: int) -> bool:
    """Return whether Linux reads the device numbers back unchanged."""
    if not (0 <= major <= MAX_HALF and 0 <= minor <= MAX_HALF):
        return False
    return major > 0 or minor <= MAX_MINOR


def split_device(major: int, minor: int) -> tuple[int, int]:
    """Return the high and the low half for PN, in the form that all readers accept if possible."""
    if major <= MAX_MAJOR and minor <= MAX_MINOR:
        return 0, major << 8 | minor
    return major, minor


def join_device(high: int, low: int) -> tuple[int, int]:
    """Return the major and the minor number of the halves in PN."""
    if high or low <= MAX_MINOR:
        return high, low
    return low >> 8 & MAX_MAJOR, low & 0xFF | low >> 12 & 0xFFF00


# Convert the text fields of a volume descriptor to and from pycdlib.


def check_fields(fields: VolumeFields) -> None:
    """Check that all fields fit the volume descriptor.

    The standard also requires capitals; like mkisofs, this function does not.

    Raises:
        UsageError: a field is too long, is not text, or contains NUL.
    """
    for key, text in asdict(fields).items():
        words = key.replace("_", " ")
        try:
            size_bytes = len(_encode(text))
        except UnicodeEncodeError:
            raise UsageError(
                f"the ISO's {words} must be valid Unicode, got a lone surrogate",
                hint="remove the invalid character",
            ) from None
        if size_bytes > SIZES_BYTES[key]:
            raise UsageError(
                f"the ISO's {words} must be at most {SIZES_BYTES[key]} bytes, got {size_bytes}",
                hint="shorten it",
            )
        if "\0" in text:
            raise UsageError(
                f"the ISO's {words} must not contain NUL", hint="remove the NUL character"
            )


def set_fields(image: pycdlib.PyCdlib, fields: VolumeFields) -> None:
    """Set the fields in the descriptors of ``image``; truncate them to fit Joliet's."""
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
    # A field of odd size ends with an unused byte.
    return (wide + " ".encode("utf-16-be") * size_bytes)[: size_bytes // 2 * 2].ljust(
        size_bytes, b"\0"
    )


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(raw: bytes) -> str:
    return raw.rstrip(b" \0").decode("utf-8", "surrogateescape")
