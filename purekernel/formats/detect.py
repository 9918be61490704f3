"""Tell the kind of a file by its first bytes.

All magic numbers that tell kinds of files apart are here. Each is in the specification that the
module of its format names, or in magic(5) of file(1) for formats that purekernel does not read.
"""

from __future__ import annotations

import struct
import zlib
from enum import Enum

from purekernel.tree import Buffer

# The level, and the magic number of the first block, or of the end in an empty file. Text that
# happens to start with the first three letters is not a bzip2 file.
_BZIP2_MAGICS = tuple(
    b"BZh%d" % level + block
    for level in range(1, 10)
    for block in (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")
)

# The properties that all programs write, and the size of the dictionary: a multiple of 64 KiB, or
# one of the smaller sizes that xz accepts (2^n, or 2^n + 2^(n-1)).
_LZMA_MAGICS = (
    b"\x5d\x00\x00",
    *(b"\x5d" + (size << 10).to_bytes(4, "little") for size in (4, 6, 8, 12, 16, 24, 32, 48)),
)


class FileKind(Enum):
    """A kind of file.

    Attributes:
        description: the kind, for messages.
        offset: where its magic number is, in bytes.
        magics: its magic numbers; empty for kinds without one.
    """

    def __init__(self, description: str, offset: int = 0, *magics: bytes) -> None:
        self.description = description
        self.offset = offset
        self.magics = magics

    # Compressed files.
    GZIP = "a gzip file", 0, b"\x1f\x8b"
    BZIP2 = "a bzip2 file", 0, *_BZIP2_MAGICS
    XZ = "an xz file", 0, b"\xfd7zXZ\x00"
    LZMA = "an lzma file", 0, *_LZMA_MAGICS
    ZSTD = "a zstd file", 0, b"\x28\xb5\x2f\xfd"
    LZ4 = "an LZ4 legacy frame", 0, b"\x02\x21\x4c\x18"
    LZ4_FRAME = "an LZ4 frame", 0, b"\x04\x22\x4d\x18"
    SKIPPABLE = "a file of skippable frames", 0, *(b"%c\x2a\x4d\x18" % low for low in range(80, 96))
    ZIP = "a zip archive", 0, b"PK\x03\x04"
    SEVEN_ZIP = "a 7z archive", 0, b"7z\xbc\xaf"
    PNG = "a PNG image", 0, b"\x89PNG"
    JPEG = "a JPEG image", 0, b"\xff\xd8\xff"
    WOFF2 = "a WOFF2 font", 0, b"wOF2"

    # Archives and file systems.
    AR = "an ar archive", 0, b"!<arch>\n"
    CPIO = "a cpio archive", 0, b"070701", b"070702"
    DISK = "a disk image with partitions"
    FAT = "a FAT file system"
    ISO = "an ISO 9660 image", 0x8001, b"CD001"
    QCOW2 = "a qcow2 disk image", 0, b"QFI\xfb"
    SQUASHFS = "a squashfs image", 0, b"hsqs"
    TAR = "a tar archive", 257, b"ustar"

    # Programs.
    BZIMAGE = "a Linux kernel for x86", 0x202, b"HdrS"
    ELF = "an ELF file", 0, b"\x7fELF"

    TEXT = "a text file"
    OTHER = "a file of another kind"

    @property
    def magic(self) -> bytes:
        """The first magic number; empty for kinds without one."""
        return self.magics[0] if self.magics else b""


# Kinds that purekernel does not read: where their magic number is, the number, and the kind. The
# first hold files or compressed data.
_OTHER_ARCHIVES = (
    (257, b"ustar", "a tar archive with a damaged header"),
    (0, b"LZIP\x01", "an lzip file"),
    (0, b"\x89LZO\0\r\n\x1a\n", "an lzop file"),
    (0, b"\x1f\x9d", "a file of compress (.Z)"),
    *((0, b"%c\xb5\x2f\xfd" % low, "a file of a zstd before 0.8") for low in range(0x22, 0x28)),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"xar!", "a xar archive"),
    (0, b"MSCF", "a cabinet archive"),
    (0, b"\xed\xab\xee\xdb", "an RPM package"),
    (0, b"070707", "a cpio archive of the old portable format (odc)"),
    (0, b"\xc7\x71", "a cpio archive of the old binary format"),
    (0, b"\x71\xc7", "a cpio archive of the old binary format, big-endian"),
    (0, b"sqsh", "a big-endian squashfs image"),
    (0, b"shsq", "a squashfs image of a vendor's LZMA variant"),
    (0, b"-rom1fs-", "a romfs image"),
    (0, b"\x45\x3d\xcd\x28", "a cramfs image"),
    (0, b"XFSB", "an XFS file system"),
    (0, b"LUKS\xba\xbe", "an encrypted LUKS volume"),
    (0, b"Salted__", "a file encrypted by openssl"),
    (0, b"age-encryption.org/", "a file encrypted by age"),
    (0, b"-----BEGIN PGP MESSAGE", "a file encrypted by OpenPGP"),
    # The packets of a password (version 4) and of keys with 2048 and 4096 bits, in binary.
    (0, b"\x8c\x0d\x04", "a file encrypted by OpenPGP"),
    (0, b"\x85\x01\x0c\x03", "a file encrypted by OpenPGP"),
    (0, b"\x85\x02\x0c\x03", "a file encrypted by OpenPGP"),
    (0, b"KDMV", "a VMDK disk image"),
    (0, b"vhdxfile", "a VHDX disk image"),
    (3, b"NTFS    ", "an NTFS file system"),
    (54, b"FAT1", "a FAT file system"),
    (82, b"FAT32", "a FAT file system"),
    (0x400, b"\xe2\xe1\xf5\xe0", "an EROFS image"),
    (0x438, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (0x8001, b"BEA01", "a UDF image without ISO 9660"),
    (0x10040, b"_BHRfS_M", "a Btrfs file system"),
)
_OTHER_FILES = (
    (36, b"\x18\x28\x6f\x01", "a Linux kernel for ARM (zImage)"),
    (56, b"ARM\x64", "a Linux kernel for ARM64"),
    (56, b"RSC\x05", "a Linux kernel for RISC-V"),
    (0, b"MZ", "an EFI or Windows program"),
    (0x1FE, b"\x55\xaa", "a disk image with a boot sector"),
)

_ARCHIVES = frozenset(FileKind) - {
    FileKind.PNG, FileKind.JPEG, FileKind.WOFF2, FileKind.BZIMAGE, FileKind.ELF, FileKind.TEXT,
    FileKind.OTHER,
}  # fmt: skip

# Those of tar archives that are compressed.
_TAR_ENDINGS = (".tgz", ".taz", ".tbz", ".tbz2", ".tz2", ".txz", ".tlz", ".tzst")
_COMPRESSED_ENDINGS = (
    ".gz", ".bz2", ".xz", ".lzma", ".zst", ".lz4", ".lz", ".lzo", ".z",
    *_TAR_ENDINGS,
)  # fmt: skip
_ARCHIVE_ENDINGS = (
    *_COMPRESSED_ENDINGS, ".tar", ".cpio", ".deb", ".gem", ".rpm", ".zip", ".7z", ".rar",
    ".tcz", ".squashfs", ".sqfs", ".sfs", ".iso", ".img",
)  # fmt: skip

_TAR_BLOCK_BYTES = 512
_TAR_CHECKSUM = slice(148, 156)
# What the checksum of a tar header may start with: a digit or a blank. Other files need no sum.
_CHECKSUM_STARTS = b"01234567 "
# An empty archive has two blocks of zeros at least, and is usually padded to this size.
_EMPTY_TAR_BYTES = 10240

# A boot sector of FAT: the code of its jump, and where it names the kind of medium.
_BOOT_SECTOR_BYTES = 512
_JUMPS = (0xEB, 0xE9)
_MEDIA_OFFSET = 21

# The entries of the partition table in a master boot record.
_PARTITIONS_AT = 446
_PARTITION = struct.Struct("<B3xB3xII")

# A file without NUL in its first bytes is text.
_HEAD_BYTES = 1024

_BY_START = {magic[:2]: kind for kind in FileKind if not kind.offset for magic in kind.magics}
# The kinds whose files may start with skippable frames.
SKIPPING = frozenset({FileKind.ZSTD, FileKind.LZ4, FileKind.LZ4_FRAME})
# The lowest four bits of the magic number may have any value.
_SKIPPABLE_MAGIC = 0x184D2A5
_SKIPPABLE_HEADER = struct.Struct("<II")
# No name in an archive starts with the magic numbers of these.
_NEVER_TAR = frozenset({FileKind.AR, FileKind.CPIO, FileKind.ELF, FileKind.SQUASHFS})


def detect(data: Buffer) -> FileKind:
    """Return the kind of the file ``data``; its first 33 KiB are enough for any kind.

    Tar archives are told by the checksum of their first header, because old ones have no magic
    number, and the name of their first member may start like a compressed file. FAT file systems
    are told by the fields of their boot sector, as Linux tells them, and disks by their partition
    table. Skippable frames
    before zstd or LZ4 are ignored, as pzstd writes them.
    """
    view = memoryview(data)
    head = bytes(view[:_HEAD_BYTES])
    if _has_magic(view, FileKind.ISO):
        return FileKind.ISO
    found = detect_start(view)
    if found is not None and found in _NEVER_TAR:
        return found
    if _is_tar(head, view):
        return FileKind.TAR
    if _has_magic(view, FileKind.BZIMAGE):
        return FileKind.BZIMAGE
    if found is None and b"\0" in head:
        return _binary_kind(head)
    return found or FileKind.TEXT


def _binary_kind(head: bytes) -> FileKind:
    """Return the kind of a file that has NUL at its start, and no magic number there."""
    if _is_fat(head):
        return FileKind.FAT
    return FileKind.DISK if _is_disk(head) else FileKind.OTHER


def name_kind(data: Buffer) -> str | None:
    """Return the kind of the file ``data`` for messages, also of kinds that are not supported.

    Returns:
        ``None`` if the kind is not known: for text, and for most files without a magic number.
    """
    kind = detect(data)
    if kind not in (FileKind.TEXT, FileKind.OTHER):
        # An empty tar archive, or anything else.
        is_blank = kind is FileKind.TAR and not any(memoryview(data)[:_TAR_BLOCK_BYTES])
        return None if is_blank else kind.description
    return _find_other(data, _OTHER_ARCHIVES) or _find_other(data, _OTHER_FILES)


def is_archive(data: Buffer) -> bool:
    """Return whether ``data`` holds files or is compressed, also if purekernel cannot read it."""
    return detect(data) in _ARCHIVES or _find_other(data, _OTHER_ARCHIVES) is not None


def has_tar_magic(view: memoryview) -> bool:
    """Return whether ``view`` starts with a tar header, which may be damaged."""
    return _has_magic(view, FileKind.TAR)


def should_be_archive(name: str) -> bool:
    """Return whether a file of this name should hold files or be compressed."""
    return name.lower().endswith(_ARCHIVE_ENDINGS)


def strip_compression(name: str) -> str:
    """Return the name that a file has after decompression: ``x.tar`` for ``x.tgz``.

    A name without the ending of a compressed file is returned unchanged.
    """
    for ending in _COMPRESSED_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            stem = name[: -len(ending)]
            return stem + ".tar" if ending in _TAR_ENDINGS else stem
    return name


def should_be_compressed(name: str) -> bool:
    """Return whether a file of this name should be compressed."""
    return name.lower().endswith(_COMPRESSED_ENDINGS)


def _find_other(data: Buffer, kinds: tuple[tuple[int, bytes, str], ...]) -> str | None:
    view = memoryview(data)
    for offset, magic, description in kinds:
        if view[offset : offset + len(magic)] == magic:
            return description
    return None


def detect_start(view: memoryview, start: int = 0) -> FileKind | None:
    """Return the kind whose magic number is at ``start``, without a check for tar archives.

    After skippable frames, only zstd and LZ4 count; otherwise the kind is ``SKIPPABLE``.
    """
    offset = skip_frames(view, start)
    found = _BY_START.get(bytes(view[offset : offset + 2]))
    if found is not None and not bytes(view[offset : offset + 16]).startswith(found.magics):
        found = None
    return FileKind.SKIPPABLE if offset > start and found not in SKIPPING else found


def skip_frames(view: memoryview, start: int) -> int:
    """Return the offset after the skippable frames at ``start``.

    Such a frame is a magic number, the size of its content, little-endian, and the content. An
    incomplete frame is not skipped.

    Source: RFC 8878, 3.1.2; lz4_Frame_format.md of LZ4, "Skippable Frames".
    """
    offset = start
    while len(view) - offset >= _SKIPPABLE_HEADER.size:
        magic, size_bytes = _SKIPPABLE_HEADER.unpack_from(view, offset)
        end = offset + _SKIPPABLE_HEADER.size + size_bytes
        if magic >> 4 != _SKIPPABLE_MAGIC or end > len(view):
            break
        offset = end
    return offset


def _has_magic(view: memoryview, kind: FileKind) -> bool:
    return view[kind.offset : kind.offset + len(kind.magic)] == kind.magic


def _is_fat(head: bytes) -> bool:
    """Return whether ``head`` is a boot sector with the parameters of a FAT file system.

    Source: fat_read_bpb() in fs/fat/inode.c of Linux, and the jump and the signature that
    Microsoft's "FAT: General Overview of On-Disk Format" requires.
    """
    if len(head) < _BOOT_SECTOR_BYTES or head[0] not in _JUMPS or head[510:512] != b"\x55\xaa":
        return False
    sector_bytes, cluster_sectors, reserved, tables = struct.unpack_from("<HBHB", head, 11)
    return (
        sector_bytes in (512, 1024, 2048, 4096)
        and cluster_sectors in (1, 2, 4, 8, 16, 32, 64, 128)
        and reserved > 0
        and tables > 0
        and (head[_MEDIA_OFFSET] == 0xF0 or head[_MEDIA_OFFSET] >= 0xF8)
    )


def _is_disk(head: bytes) -> bool:
    """Return whether ``head`` is a master boot record with partitions.

    Boot sectors of other file systems, and programs for Windows, may end with its signature. They
    have code where it has the table.

    Source: UEFI specification 2.10, 5.2.1; is_pte_present() and msdos_partition() in
    block/partitions/msdos.c of Linux.
    """
    if len(head) < _BOOT_SECTOR_BYTES or head[510:512] != b"\x55\xaa" or head[:2] == b"MZ":
        return False
    entries = [_PARTITION.unpack_from(head, at) for at in range(_PARTITIONS_AT, 510, 16)]
    return all(status & 0x7F == 0 for status, *_rest in entries) and any(
        kind and first and sectors for _status, kind, first, sectors in entries
    )


def _is_tar(head: bytes, view: memoryview) -> bool:
    block = head[:_TAR_BLOCK_BYTES]
    if len(block) < _TAR_BLOCK_BYTES:
        return False
    field = block[_TAR_CHECKSUM]
    if field[0] not in _CHECKSUM_STARTS:
        return len(view) >= 2 * _TAR_BLOCK_BYTES and not any(view[:_EMPTY_TAR_BYTES])
    try:
        checksum = int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        return False
    return checksum in tar_checksums(block)


def tar_checksums(block: bytes) -> tuple[int, int]:
    """Return the sums of a tar header's bytes, with blanks for the checksum itself.

    Old programs add signed bytes.
    """
    # The lower half of an Adler-32 checksum that starts from 0 is the sum of the bytes modulo
    # 65521, which is more than that of 256 bytes. This is ten times as fast as sum().
    unsigned = (
        (zlib.adler32(block[:256], 0) & 0xFFFF)
        + (zlib.adler32(block[256:], 0) & 0xFFFF)
        - (zlib.adler32(block[_TAR_CHECKSUM], 0) & 0xFFFF)
        + 8 * ord(" ")
    )
    if block.isascii():
        return unsigned, unsigned
    large = sum(byte > 127 for byte in block) - sum(byte > 127 for byte in block[_TAR_CHECKSUM])
    return unsigned, unsigned - 256 * large
