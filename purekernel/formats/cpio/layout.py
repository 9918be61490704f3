"""How a cpio "newc" record lies in memory.

Source: Documentation/driver-api/early-userspace/buffer-format.rst and init/initramfs.c of
the Linux kernel; cpio(5) of libarchive.
"""

from __future__ import annotations

import struct

from attrs import frozen

MAGIC_NEWC = b"070701"
MAGIC_CRC = b"070702"

# Six bytes of magic and thirteen numbers of eight hexadecimal digits each.
HEADER_BYTES = 110
NUMBERS = struct.Struct(">13I")

# Name and content each end on a multiple of this, counted from the archive's start.
ALIGNMENT = 4

# GNU cpio writes whole blocks of this size; old tape habits, and free once compressed.
BLOCK_BYTES = 512

TRAILER_NAME = b"TRAILER!!!"

# Sizes and numbers have eight hexadecimal digits.
MAX_NUMBER = 0xFFFFFFFF

# The kernel passes over names and link targets that, with their NUL, are longer.
MAX_NAME_BYTES = 4096

# Other formats that people call cpio, by their first bytes.
FOREIGN_MAGICS = {
    b"070707": "the old portable format (odc)",
    b"\xc7\x71": "the old binary format",
    b"\x71\xc7": "the old binary format, big-endian",
}


@frozen(kw_only=True)
class Header:
    """The numbers of one record, under the names of cpio(5), without their ``c_``.

    ``mode`` is a whole ``st_mode``, file type included; ``namesize`` counts the NUL.
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
        """Return the 110 bytes of the header, magic included."""
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
        """Return the header that the 104 hexadecimal ``digits`` after the magic give.

        Raises:
            ValueError: they are not all hexadecimal digits.
        """
        numbers = bytes.fromhex(digits.decode("ascii"))
        if len(numbers) != NUMBERS.size:  # fromhex passes over white space
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
    """Return how many bytes bring ``size_bytes`` to a multiple of ``alignment``."""
    return -size_bytes % alignment
