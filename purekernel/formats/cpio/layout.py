"""Define the layout of a cpio "newc" record.

Source: Documentation/driver-api/early-userspace/buffer-format.rst and init/initramfs.c of the Linux
kernel; cpio(5) of libarchive.
"""

from __future__ import annotations

import struct

from purekernel.formats.detect import FileKind
from purekernel.records import frozen

MAGIC_NEWC, MAGIC_CRC = FileKind.CPIO.magics

# A magic of six bytes and thirteen numbers of eight hexadecimal digits each.
HEADER_BYTES = 110
NUMBERS = struct.Struct(">13I")

# Names and contents are padded to a multiple of this, counted from the start of the archive.
ALIGNMENT = 4

# GNU cpio pads archives to blocks of this size, for tapes. Compression removes the padding.
BLOCK_BYTES = 512

TRAILER_NAME = b"TRAILER!!!"

# Numbers have eight hexadecimal digits.
MAX_NUMBER = 0xFFFFFFFF

# The kernel skips records whose name or link target, with its NUL, is longer.
MAX_NAME_BYTES = 4096

# The first bytes of other cpio formats.
FOREIGN_MAGICS = {
    b"070707": "the old portable format (odc)",
    b"\xc7\x71": "the old binary format",
    b"\x71\xc7": "the old binary format, big-endian",
}


@frozen(kw_only=True)
class Header:
    """The numbers of a record, with the names of cpio(5) without ``c_``.

    ``mode`` is an ``st_mode`` with the file type; ``namesize`` counts the NUL.
    """

    ino: int
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    filesize: int
    devmajor: int = 0
    devminor: int = 0
    rdevmajor: int = 0
    rdevminor: int = 0
    namesize: int
    check: int = 0

    def pack(self) -> bytes:
        """Return the header with its magic, 110 bytes."""
        numbers = NUMBERS.pack(
            self.ino,
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            self.mtime,
            self.filesize,
            self.devmajor,
            self.devminor,
            self.rdevmajor,
            self.rdevminor,
            self.namesize,
            self.check,
        )
        return MAGIC_NEWC + numbers.hex().upper().encode("ascii")

    @classmethod
    def unpack(cls, digits: bytes) -> Header:
        """Return the header for ``digits``, the 104 hexadecimal digits after the magic.

        Raises:
            ValueError: ``digits`` contains other characters.
        """
        numbers = bytes.fromhex(digits.decode("ascii"))
        if len(numbers) != NUMBERS.size:  # fromhex skips white space
            raise ValueError("white space among the digits")
        (ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor,
         rdevminor, namesize, check) = NUMBERS.unpack(numbers)  # fmt: skip
        return cls(
            ino=ino,
            mode=mode,
            uid=uid,
            gid=gid,
            nlink=nlink,
            mtime=mtime,
            filesize=filesize,
            devmajor=devmajor,
            devminor=devminor,
            rdevmajor=rdevmajor,
            rdevminor=rdevminor,
            namesize=namesize,
            check=check,
        )


def padding(size_bytes: int, alignment: int = ALIGNMENT) -> int:
    """Return the bytes to add to ``size_bytes`` for a multiple of ``alignment``."""
    return -size_bytes % alignment
