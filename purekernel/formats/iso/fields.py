"""The texts of a volume descriptor, in and out of pycdlib."""

from __future__ import annotations

from attrs import asdict
from pycdlib import headervd, pycdlib

from purekernel.errors import UsageError
from purekernel.formats.iso.layout import VolumeFields

# What ECMA-119 (8.4) gives each, in bytes. Joliet writes UCS-2 into the same room.
SIZES_BYTES = {
    "volume_id": 32,
    "system_id": 32,
    "application_id": 128,
    "publisher_id": 128,
    "preparer_id": 128,
    "copyright_file_id": 37,
}


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
