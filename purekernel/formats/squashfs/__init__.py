"""The squashfs format, in which Tiny Core's extensions come."""

from purekernel.formats.squashfs.reader import parse_squashfs
from purekernel.formats.squashfs.superblock import MAGIC

__all__ = ["MAGIC", "parse_squashfs"]
