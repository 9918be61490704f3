"""Read squashfs structures with PySquashfsImage, and check each against limits.

The library parses the superblock, the tables and the inodes. This module replaces the rest:

* The library scans the whole image when it opens it: recursively, with no limit on depth, number
  or loops, and it decodes names as UTF-8. ``entries()`` lists one folder at a time.
* The library fails on some extended attributes. :class:`StoredXattrs` reads them.
* The library's decompressors have no limit, and a metadata block that is too short makes it read
  on through the file. ``_read_block()`` and ``_read_metadata()`` check sizes.
* The library's cache of data blocks belongs to the class and keeps every image alive. This module
  has no such cache.
* The library silently pads or truncates file contents. ``content()`` checks every block.

Source: https://dr-emann.github.io/squashfs/ ; Documentation/filesystems/squashfs.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from PySquashfsImage import SquashFsImage
from PySquashfsImage.structure import DirEntry, DirHeader
from PySquashfsImage.structure.inode import InodeHeader

from purekernel.formats.squashfs.codecs import ERRORS, Unpacker, unpacker
from purekernel.formats.squashfs.layout import (
    DATA_PLAIN,
    DIRECTORY_ENTRY,
    DIRECTORY_HEADER,
    EXTENDED,
    LEAST_BLOCK_LOG,
    LISTING_EXTRA,
    METADATA_BYTES,
    METADATA_PLAIN,
    MOST_TARGET_BYTES,
    MOST_UNDER_HEADER,
    NO_FRAGMENT,
    SOCKET,
)
from purekernel.formats.squashfs.superblock import Superblock, parse_superblock, read_facts
from purekernel.formats.squashfs.xattrs import StoredXattrs
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer, display

INODE_HEADER = struct.calcsize("<HHHHII")
LAST_INODE_TYPE = SOCKET + EXTENDED

# How many blocks of files read in parts are kept: the start of a program and its strings and
# versions are in two or three blocks.
RECENT_BLOCKS = 4


@frozen(kw_only=True)
class SquashfsPlace:
    """The location of an inode in the inode table: the block and the byte in the block."""

    block: int
    offset: int


@frozen(kw_only=True)
class DirectoryEntry:
    """An entry of a folder; ``type`` is the basic inode type, 1 to 7."""

    name: bytes
    type: int
    place: SquashfsPlace


class SquashfsContents(SquashFsImage):  # type: ignore[misc]  # the library has no types
    """An open image, of which only the tables are read.

    Attributes:
        file: the bytes of the image.
    """

    def __init__(self, file: Input) -> None:
        self.file = file
        self._view = file.view
        self._unpack: Unpacker
        self._unpacked_bytes = 0
        self._fragments: dict[int, memoryview] = {}
        self._recent: dict[int, Buffer] = {}
        # Of the file whose parts were read last: inode, and size and place of each block.
        self._block_list: tuple[Any, Sequence[int], Sequence[int]] = (None, (), ())
        self._other_tables: dict[int, Any] = {}
        super().__init__(_Stream(self._view), closefd=False)

    # Overrides of methods that the library calls

    def _initialize(self) -> None:
        self._sblk = parse_superblock(self.file)
        self._unpack = unpacker(self._sblk.compression, self.file)
        self._read_uids_guids()
        self._read_fragment_table()
        self.xattrs = StoredXattrs(self, self._sblk.xattr_id_table_start)

    def _read_block(self, start: int, expected: int = METADATA_BYTES) -> tuple[bytes, int]:  # noqa: ARG002
        """Return the metadata block at ``start`` and where the next one starts.

        ``expected`` is ignored: the library passes 0 for a table that fills its last block.
        """
        (size,) = struct.unpack("<H", self._slice(start, 2, "a metadata block"))
        packed_bytes = size & ~METADATA_PLAIN
        packed = self._slice(start + 2, packed_bytes, "a metadata block")
        block = self._unpack_block(
            packed, METADATA_BYTES, start=start, plain=bool(size & METADATA_PLAIN)
        )
        if not block:
            raise self.file.fail(start, "a metadata block", "an empty block")
        return block, start + 2 + packed_bytes

    def _read_metadata(
        self, hash_table: dict[int, Any], block: int, offset: int, length: int
    ) -> tuple[bytes, int, int]:
        """Return ``length`` bytes of metadata, and the block and offset after them."""
        pieces: list[bytes] = []
        while True:
            entry = self._get_metadata(hash_table, block)
            buffer = entry["buffer"]
            if offset > len(buffer):
                raise self.file.fail(
                    block,
                    f"a metadata block of more than {offset} bytes",
                    f"{len(buffer)} bytes",
                )
            piece = buffer[offset : offset + length]
            pieces.append(piece)
            length -= len(piece)
            offset += len(piece)
            if not length:
                return b"".join(pieces), block, offset
            block, offset = entry["next_index"], 0

    # Methods for the reader

    @property
    def facts(self) -> Superblock:
        """The fields of the superblock."""
        return read_facts(self._sblk)

    @property
    def root_place(self) -> SquashfsPlace:
        """The location of the root's inode."""
        return SquashfsPlace(
            block=self._sblk.root_inode >> 16, offset=self._sblk.root_inode & 0xFFFF
        )

    def read_inode(self, place: SquashfsPlace) -> Any:
        """Return the inode at ``place``, as a structure of the library.

        Raises:
            FormatError: no valid inode is there.
        """
        data, _block, _offset = self._read_inode_data(
            self._sblk.inode_table_start + place.block, place.offset, INODE_HEADER
        )
        header = InodeHeader.from_bytes(data)
        if not 1 <= header.inode_type <= LAST_INODE_TYPE:
            raise self.file.fail(
                None, f"an inode type from 1 to {LAST_INODE_TYPE}", f"{header.inode_type}"
            )
        for index in (header.uid, header.guid):
            if index not in self._id_table:
                raise self.file.fail(
                    None, f"an index into {len(self._id_table)} owners and groups", f"{index}"
                )
        return self._read_inode(place.block, place.offset)

    def _read_inode_data(self, block: int, offset: int, length: int) -> Any:
        # Only link targets and block lists vary in length; the caller of content() has limited the
        # latter.
        most_bytes = max(MOST_TARGET_BYTES, self.file.limits.unpacked_bytes >> LEAST_BLOCK_LOG << 2)
        if length > most_bytes:
            raise self.file.fail(block, f"at most {most_bytes} bytes of an inode", f"{length}")
        return self._read_metadata(self._inode_table_hash, block, offset, length)

    def read_plain(self, start: int, size: int, what: str) -> memoryview:
        """Return ``size`` bytes of the image from ``start``; ``what`` names them in errors."""
        return self._slice(start, size, what)

    def read_metadata(self, block: int, offset: int, size: int) -> tuple[bytes, int, int]:
        """Return ``size`` bytes of a table, and the block and offset after them."""
        return self._read_metadata(self._other_tables, block, offset, size)

    def charge(self, size_bytes: int, start: int) -> None:
        """Add ``size_bytes``, other than file contents, to the unpacked size."""
        self._unpacked_bytes += size_bytes
        self.file.check_unpacked(self._unpacked_bytes, start)

    def entries(self, inode: Any) -> Iterator[DirectoryEntry]:
        """Yield the entries of the folder with this inode, in the image's order.

        Raises:
            FormatError: the listing is damaged.
        """
        block = self._sblk.directory_table_start + inode.start
        offset = inode.offset
        left = inode.data - LISTING_EXTRA
        while left > 0:
            data, block, offset = self._read_directory_data(block, offset, DIRECTORY_HEADER.size)
            header = DirHeader.from_bytes(data)
            left -= DIRECTORY_HEADER.size
            if header.count >= MOST_UNDER_HEADER:
                raise self.file.fail(
                    block,
                    f"at most {MOST_UNDER_HEADER} names under one header of a folder",
                    f"{header.count + 1}",
                )
            for _ in range(header.count + 1):
                data, block, offset = self._read_directory_data(block, offset, DIRECTORY_ENTRY.size)
                entry = DirEntry.from_bytes(data)
                name, block, offset = self._read_directory_data(block, offset, entry.size + 1)
                left -= DIRECTORY_ENTRY.size + len(name)
                yield DirectoryEntry(
                    name=name,
                    type=entry._type,  # noqa: SLF001  # not entry.type: that raises
                    place=SquashfsPlace(block=header.start_block, offset=entry.offset),
                )
        if left < 0 and inode.data >= LISTING_EXTRA:
            raise self.file.fail(
                block, "a folder listing of the size that the inode states", "a longer listing"
            )

    def content(self, inode: Any, path: bytes) -> Buffer:
        """Return the content of the regular file with this inode.

        The caller must have checked the size against the limits.

        Raises:
            FormatError: a block is missing, damaged, or of the wrong size.
        """
        block_bytes = self._sblk.block_size
        shown = display(path)
        left = inode.data
        start = inode.start
        pieces: list[Buffer] = []
        sizes = self._read_block_list(inode.block_start, inode.block_offset, inode.blocks)
        for size in sizes:
            whole = min(left, block_bytes)
            left -= whole
            if not size:
                pieces.append(bytes(whole))  # a hole
                continue
            pieces.append(self._data_block(start, size, whole, shown))
            start += size & ~DATA_PLAIN
        if left:
            pieces.append(self._tail(inode, left, shown))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def content_part(self, inode: Any, path: bytes, start: int, size_bytes: int) -> Buffer:
        """Return a part of the content of a regular file; fewer bytes if the file ends before.

        Only the blocks that hold the part are unpacked. The last few are kept, because the parts
        of a file that are read one after the other are often near each other.

        Raises:
            FormatError: one of these blocks is missing, damaged, or of the wrong size.
        """
        block_bytes = self._sblk.block_size
        shown = display(path)
        end = min(start + size_bytes, inode.data)
        if start >= end:
            return b""
        if self._block_list[0] is not inode:
            sizes = self._read_block_list(inode.block_start, inode.block_offset, inode.blocks)
            packed_sizes = (size & ~DATA_PLAIN for size in sizes)
            starts = list(accumulate(packed_sizes, initial=inode.start))
            self._block_list = inode, sizes, starts
        _inode, sizes, places = self._block_list
        pieces: list[Buffer] = []
        for index in range(start // block_bytes, -(-end // block_bytes)):
            whole = min(inode.data - index * block_bytes, block_bytes)
            if index >= len(sizes):
                # All that is left is in one fragment, as in content().
                left = inode.data - len(sizes) * block_bytes
                pieces.append(self._tail(inode, left, shown))
                break
            if not sizes[index]:
                pieces.append(bytes(whole))  # a hole
            else:
                pieces.append(self._recent_block(places[index], sizes[index], whole, shown))
        first = start - start % block_bytes
        joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return joined[start - first : end - first]

    def packed_sizes(self, files: Mapping[bytes, Any]) -> dict[bytes, int]:
        """Return the size of the packed blocks of each file, by path.

        Args:
            files: the inodes of regular files.

        Raises:
            FormatError: a list of blocks is damaged.
        """
        block_bytes = self._sblk.block_size
        sizes: dict[bytes, int] = {}
        tails: dict[int, list[tuple[bytes, int]]] = {}
        seen: set[int] = set()
        for path, inode in files.items():
            blocks = self._read_block_list(inode.block_start, inode.block_offset, inode.blocks)
            # Files of the same content share their blocks.
            is_first = inode.start not in seen
            seen.add(inode.start)
            sizes[path] = sum(size & ~DATA_PLAIN for size in blocks) if is_first else 0
            left = inode.data - len(blocks) * block_bytes
            if left > 0 and inode.fragment < len(self._fragment_table):
                tails.setdefault(inode.fragment, []).append((path, left))
        for number, ends in tails.items():
            packed_bytes = self._fragment_table[number].size & ~DATA_PLAIN
            total = sum(left for _path, left in ends)
            for path, left in ends:
                sizes[path] += round(packed_bytes * left / total)
        return sizes

    # Private helpers

    def _recent_block(self, start: int, size: int, whole: int, shown: str) -> Buffer:
        """Return a data block, which may be one of the last few that were unpacked."""
        block = self._recent.get(start)
        if block is None or len(block) != whole:
            block = self._data_block(start, size, whole, shown)
            if len(self._recent) >= RECENT_BLOCKS:
                del self._recent[next(iter(self._recent))]
            self._recent[start] = block
        return block

    def _data_block(self, start: int, size: int, whole: int, shown: str) -> Buffer:
        packed_bytes, most_bytes = size & ~DATA_PLAIN, self._sblk.block_size
        if packed_bytes > most_bytes:
            raise self.file.fail(start, f"a block of at most {most_bytes} bytes", f"{packed_bytes}")
        packed = self._slice(start, packed_bytes, f"a block of {shown}")
        block = self._unpack_block(packed, whole, start=start, plain=bool(size & DATA_PLAIN))
        if len(block) != whole:
            raise self.file.fail(start, f"{whole} bytes in this block of {shown}", f"{len(block)}")
        return block

    def _tail(self, inode: Any, size: int, shown: str) -> memoryview:
        """Return the end of a file from its fragment block, shared with the ends of other files."""
        number = inode.fragment
        if number == NO_FRAGMENT or number >= len(self._fragment_table):
            raise self.file.fail(
                None,
                f"a fragment number below {len(self._fragment_table)} for {shown}",
                f"{number}",
            )
        if number not in self._fragments:
            entry = self._fragment_table[number]
            packed_bytes = entry.size & ~DATA_PLAIN
            packed = self._slice(entry.start_block, packed_bytes, f"fragment {number}")
            block = self._unpack_block(
                packed,
                self._sblk.block_size,
                start=entry.start_block,
                plain=bool(entry.size & DATA_PLAIN),
            )
            self.charge(len(block), entry.start_block)
            self._fragments[number] = memoryview(block)
        tail = self._fragments[number][inode.offset : inode.offset + size]
        if len(tail) != size:
            raise self.file.fail(
                None, f"{size} bytes of {shown} in fragment {number}", f"{len(tail)}"
            )
        return tail

    def _unpack_block(
        self, packed: memoryview, most_bytes: int, *, start: int, plain: bool
    ) -> bytes:
        try:
            block = bytes(packed) if plain else self._unpack(packed, most_bytes)
        except ERRORS as error:
            raise self.file.fail(start, "a valid compressed block", str(error)) from None
        if len(block) > most_bytes:
            raise self.file.fail(start, f"a block of at most {most_bytes} bytes", "a longer block")
        return block

    def _get_metadata(self, hash_table: dict[int, Any], start: int) -> Any:
        if start not in hash_table:
            block, following = self._read_block(start)
            self.charge(len(block), start)
            hash_table[start] = {"buffer": block, "next_index": following}
        return hash_table[start]

    def _slice(self, start: int, size: int, what: str) -> memoryview:
        piece = self._view[start : start + size]
        if len(piece) != size:
            raise self.file.fail(start, f"{size} bytes of {what}", "the end of the file")
        return piece


class _Stream:
    """The part of the file interface that the library needs, without a copy of the bytes."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._position = 0

    def seek(self, offset: int) -> None:
        self._position = offset

    def read(self, size: int) -> bytes:
        data = bytes(self._view[self._position : self._position + size])
        self._position += len(data)
        return data
