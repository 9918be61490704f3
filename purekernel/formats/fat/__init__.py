"""Read FAT file systems, from which UEFI firmware boots."""

from purekernel.formats.fat.reader import parse_fat

__all__ = ["parse_fat"]
