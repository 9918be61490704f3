"""Zip archives: where the data of members lies, and other data in its place."""

from purekernel.formats.zip.layout import DEFLATED, STORED, Archive, Member
from purekernel.formats.zip.reader import find_end, parse_zip, unpack_member
from purekernel.formats.zip.writer import Packed, replace_members

__all__ = [
    "DEFLATED",
    "STORED",
    "Archive",
    "Member",
    "Packed",
    "find_end",
    "parse_zip",
    "replace_members",
    "unpack_member",
]
