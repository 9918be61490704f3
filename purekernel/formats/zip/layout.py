"""How a zip archive is laid out.

Source: APPNOTE.TXT 6.3.10 of PKWARE, 4.3 and 4.4.
"""

from __future__ import annotations

import struct

from attrs import field, frozen

from purekernel.tree import Buffer

LOCAL_MAGIC = b"PK\x03\x04"
CENTRAL_MAGIC = b"PK\x01\x02"
END_MAGIC = b"PK\x05\x06"
DESCRIPTOR_MAGIC = b"PK\x07\x08"

# Signature, version needed, flags, method, time, date, CRC, packed and plain size, lengths of
# name and extra field.
LOCAL = struct.Struct("<4sHHHHHIIIHH")

# Signature, version made by, version needed, flags, method, time, date, CRC, packed and plain
# size, lengths of name, extra field and comment, disk, internal and external attributes, the
# local header's place.
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")

# Signature, this disk, the directory's disk, entries on this disk and in all, the directory's size
# and place, length of the comment.
END = struct.Struct("<4sHHHHIIH")
MAX_COMMENT_BYTES = 0xFFFF

# Where in these a field stands that changes with the data.
LOCAL_VERSION, LOCAL_METHOD, LOCAL_PACKED_BYTES = 4, 8, 18
CENTRAL_VERSION, CENTRAL_METHOD, CENTRAL_PACKED_BYTES, CENTRAL_HEADER = 6, 10, 20, 42
END_DIRECTORY = 16

# CRC, packed and plain size behind the data of a member with bit 3, after a signature or not.
DESCRIPTOR = struct.Struct("<III")

STORED, DEFLATED = 0, 8

# What a reader must be able to do to unpack a deflated member: version 2.0.
DEFLATED_VERSION = 20

ENCRYPTED, DESCRIBED, PATCHED, STRONGLY_ENCRYPTED, MASKED = 1, 1 << 3, 1 << 5, 1 << 6, 1 << 13

# Numbers that say: look into the zip64 fields.
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF

# What Android's signatures of whole archives end with; any other byte would void them.
SIGNING_BLOCK_MAGIC = b"APK Sig Block 42"


@frozen(kw_only=True)
class Member:
    """A member as the central directory has it; places are offsets in the archive, in bytes.

    Attributes:
        name: as it stands there, in whatever encoding.
        method: ``STORED``, ``DEFLATED`` or another.
        version: what a reader must be able to do to unpack it, times ten.
        crc32: of its content.
        size_bytes: of its content.
        record: where its record in the directory is.
        header: where its local header is.
        start: where its data is.
        end: the first byte behind that.
        describes: whether its local header has its packed size, too.
        descriptor: where its packed size stands once more, behind the data, if it does.
        hindrance: why its data must stay as it is; empty: it need not.
    """

    name: bytes
    method: int
    version: int
    crc32: int
    size_bytes: int
    record: int
    header: int
    start: int
    end: int
    describes: bool
    descriptor: int | None
    hindrance: str

    @property
    def packed_bytes(self) -> int:
        """Return the size of its data."""
        return self.end - self.start


@frozen(kw_only=True)
class Archive:
    """An archive as it was read.

    Attributes:
        data: all of it.
        source: its name, for messages.
        members: in the order of the directory.
        shift: how much further back all lies than the archive says: a program before it.
        directory: where the central directory is, truly.
        end: where the record is that ends it.
    """

    data: Buffer = field(repr=False)
    source: str
    members: tuple[Member, ...]
    shift: int
    directory: int
    end: int
