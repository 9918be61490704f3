"""Check the volume descriptors and directories of an image before pycdlib reads them.

pycdlib trusts its input: it truncates files that end beyond the image, recomputes a folder's layout
for each entry that is out of order, and builds objects without a limit. This module first checks
the structure, at little cost, and reports the offset of each fault. pycdlib then interprets it.

Source: ECMA-119, 6 to 9.
"""

from __future__ import annotations

import bisect
import struct

from attrs import field

from purekernel.errors import FormatError
from purekernel.formats.detect import name_kind
from purekernel.formats.iso.layout import BOOT_RECORD, FIRST_DESCRIPTOR, SECTOR_BYTES
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display

IDENTIFIER = b"CD001"
BOOT, PRIMARY, SUPPLEMENTARY, TERMINATOR = 0, 1, 2, 255

# The escape sequences of Joliet in a supplementary descriptor: UCS-2 levels 1 to 3.
JOLIET_ESCAPES = (b"%/@", b"%/C", b"%/E")

# With Rock Ridge, the system use area of the root's first record starts with this entry.
ROCK_RIDGE_MARK = b"SP\x07\x01\xbe\xef"

# The descriptors of UDF: one that begins the sequence, one of these, and one that ends it.
UDF_IDENTIFIERS = (b"NSR02", b"NSR03")
UDF_DESCRIPTORS = 3

RECORD_BYTES = 33

# The maximum number of volume descriptors; real images have two to five.
MAX_DESCRIPTORS = 64

# The maximum distance of entries from their sorted positions, summed over the image. Writers sort
# directories; some use slightly different rules.
MAX_DISORDER = 1_000_000

FLAG_FOLDER = 0x02
FLAG_ASSOCIATED = 0x04

# An entry of a system use area: signature, length and version (SUSP, 4).
_SYSTEM_USE = struct.Struct("<2sBB")
CE_BYTES = 28
# The entries that pycdlib knows, apart from PD, which is padding.
KNOWN_SIGNATURES = frozenset(
    b"SP RR CE PX ST ER ES PN SL NM CL PL RE TF SF AL".split()
)  # fmt: skip
ZISOFS_SIGNATURES = (b"ZF", b"Z2")
PADDING = b"PD"
# Extended attributes and ACLs, as xorriso stores them (AAIP).
ATTRIBUTES = b"AL"
# The content of a sparse file is a table of its parts (RRIP 1.12, 4.1.7).
SPARSE = b"SF"


@frozen(kw_only=True)
class IsoSurvey:
    """The parts of an image that pycdlib may read.

    Attributes:
        descriptors: the volume descriptors, of a sector each, from sector 16 on: the primary
            descriptor, the Joliet descriptor if the image has no Rock Ridge, and the terminator;
            then zeros.
        extents: the size of each directory and path table in bytes, by its offset in bytes.
        boot_record: the boot record, which pycdlib does not read; empty if there is none.
        patches: bytes to replace, by their offset, so that pycdlib reads entries of Rock Ridge that
            it does not know as padding (PD). The kernel ignores such entries.
    """

    descriptors: tuple[bytes, ...]
    extents: dict[int, int]
    boot_record: bytes = b""
    patches: dict[int, bytes] = field(factory=dict)


def survey(file: Input) -> IsoSurvey:
    """Check an image, and return the parts that pycdlib may read.

    Raises:
        FormatError: a descriptor or a directory is damaged, or the image is truncated.
        LimitError: the image has more entries than the limit, or its directories are less
            sorted than any writer leaves them.
    """
    return _Surveyor(file).survey()


class _Surveyor:
    def __init__(self, file: Input) -> None:
        self._file = file
        self._view = file.view
        self._block_bytes = SECTOR_BYTES
        self._members = 0
        self._disorder = 0
        self._directory_bytes = 0
        self._extents: dict[int, int] = {}
        self._root_start = 0
        self._has_system_use = False
        self._skipped_bytes = 0
        self._areas: set[tuple[int, int]] = set()
        self._patches: dict[int, bytes] = {}
        # The offset of the first ignored entry of each signature, and the number of all.
        self._ignored: dict[bytes, int] = {}
        self._ignored_count = 0
        self._associated = 0
        # Whether the end is missing, which was reported; each file may end after it.
        self._is_cut = False

    def survey(self) -> IsoSurvey:
        count, descriptors = self._descriptors()
        primary = next((raw for kind, raw in descriptors if kind == PRIMARY), None)
        if primary is None:
            raise self._file.fail(
                FIRST_DESCRIPTOR * SECTOR_BYTES,
                "a primary volume descriptor",
                "no such descriptor",
            )
        start = FIRST_DESCRIPTOR * SECTOR_BYTES
        self._block_bytes = self._both(primary, 128, "<H", start)
        if self._block_bytes not in (512, 1024, SECTOR_BYTES):
            raise self._file.fail(
                start + 128, "blocks of 512, 1024 or 2048 bytes", f"{self._block_bytes}"
            )
        blocks = self._both(primary, 80, "<I", start)
        if blocks * self._block_bytes > len(self._view):
            self._file.stop_at(
                self._file.fail(
                    len(self._view),
                    f"{blocks * self._block_bytes} bytes, as the volume descriptor states",
                    "the end of the file",
                )
            )
            self._is_cut = True
        kept = [primary]
        boot_record = next((raw for kind, raw in descriptors if kind == BOOT), b"")
        if not self._has_rock_ridge(primary, start):
            kept += [raw for kind, raw in descriptors if kind == SUPPLEMENTARY and _is_joliet(raw)][
                :1
            ]
        kept.append(next(raw for kind, raw in descriptors if kind == TERMINATOR))
        for raw in kept:
            if raw[0] in (PRIMARY, SUPPLEMENTARY):
                self._has_system_use = raw is primary and self._has_rock_ridge(primary, start)
                self._hierarchy(raw, start)
        self._report()
        # Zeros hide the other descriptors, and those of UDF, which may follow.
        hidden = [bytes(SECTOR_BYTES)] * (count - len(kept) + 1)
        return IsoSurvey(
            descriptors=(*kept, *hidden),
            boot_record=boot_record,
            extents=self._extents,
            patches=self._patches,
        )

    def _report(self) -> None:
        """Send notes about entries and associated files, which Linux ignores too."""
        if self._ignored:
            kinds = ", ".join(display(kind)[1:-1] for kind in sorted(self._ignored))
            entries = "1 entry" if self._ignored_count == 1 else f"{self._ignored_count} entries"
            self._file.note(
                f"ignored {entries} of Rock Ridge of a kind that Linux ignores too ({kinds}), "
                f"such as ACLs and extended attributes; the first is at byte "
                f"{min(self._ignored.values())}"
            )
        if self._associated:
            files = "file" if self._associated == 1 else "files"
            self._file.note(
                f"ignored {self._associated} associated {files} (resource forks of macOS)"
            )

    def _ignore(self, signature: bytes, offset: int) -> None:
        self._ignored_count += 1
        self._ignored[signature] = min(offset, self._ignored.get(signature, offset))

    def _descriptors(self) -> tuple[int, list[tuple[int, bytes]]]:
        """Return the number of descriptors, and the type and bytes of each useful one."""
        descriptors: list[tuple[int, bytes]] = []
        for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + MAX_DESCRIPTORS):
            offset = number * SECTOR_BYTES
            raw = bytes(self._view[offset : offset + SECTOR_BYTES])
            if len(raw) < SECTOR_BYTES:
                kind = name_kind(self._view) if number == FIRST_DESCRIPTOR else None
                raise self._file.fail_kind(
                    offset, "a volume descriptor", kind, "the end of the file"
                )
            if raw[1:6] != IDENTIFIER:
                kind = name_kind(self._view) if number == FIRST_DESCRIPTOR else None
                raise self._file.fail_kind(
                    offset + 1, "a volume descriptor (CD001)", kind, repr(raw[1:6])[1:]
                )
            # A boot record is valid only in sector 17 (El Torito, 2.0).
            if raw[0] != BOOT or number == BOOT_RECORD:
                descriptors.append((raw[0], raw))
            if raw[0] == TERMINATOR:
                self._note_udf(number + 1)
                return number - FIRST_DESCRIPTOR + 1, descriptors
        raise self._file.fail(
            FIRST_DESCRIPTOR * SECTOR_BYTES,
            f"at most {MAX_DESCRIPTORS} volume descriptors",
            "more",
        )

    def _note_udf(self, sector: int) -> None:
        """Report a UDF file system, whose descriptors would be from ``sector`` on (ECMA-167, 2)."""
        for number in range(sector, sector + UDF_DESCRIPTORS):
            offset = number * SECTOR_BYTES
            if bytes(self._view[offset + 1 : offset + 6]) in UDF_IDENTIFIERS:
                self._file.note(
                    "ignored its UDF file system; files are those of the ISO 9660 file system"
                )
                return

    def _has_rock_ridge(self, primary: bytes, start: int) -> bool:
        extent = self._both(primary, 156 + 2, "<I", start) * self._block_bytes
        first = bytes(self._view[extent : extent + 255])
        mark = first.find(ROCK_RIDGE_MARK, RECORD_BYTES, first[0]) if first else -1
        if mark < 0:
            return False
        self._skipped_bytes = first[mark + len(ROCK_RIDGE_MARK)] if mark + 7 <= first[0] else 0
        return True

    def _hierarchy(self, descriptor: bytes, start: int) -> None:
        """Check the path tables and all directories of a volume descriptor."""
        extent = self._both(descriptor, 156 + 2, "<I", start)
        size_bytes = self._both(descriptor, 156 + 10, "<I", start)
        self._root_start = extent * self._block_bytes
        seen = {extent}
        pending = [(extent, size_bytes, start + 156)]
        while pending:
            for folder in self._directory(*pending.pop()):
                if folder[0] in seen:
                    raise self._file.fail(
                        folder[2], "folders that form a tree", "a folder at two paths"
                    )
                seen.add(folder[0])
                pending.append(folder)
        table_bytes = self._both(descriptor, 132, "<I", start)
        # An entry has at most 264 bytes: 8, a name of up to 255, and padding to an even size.
        if table_bytes > len(seen) * 264:
            raise self._file.fail(
                start + 132, f"a path table for {len(seen)} folders", f"{table_bytes} bytes"
            )
        for offset, order in ((140, "<I"), (148, ">I")):
            (block,) = struct.unpack_from(order, descriptor, offset)
            self._note(block * self._block_bytes, table_bytes)

    def _directory(
        self, extent: int, size_bytes: int, record_offset: int
    ) -> list[tuple[int, int, int]]:
        """Check a directory; return the extent, size and record offset of each subfolder."""
        start = extent * self._block_bytes
        self._check_extent(start, size_bytes, record_offset)
        # Directories could overlap, and so be larger in total than the image.
        self._directory_bytes += size_bytes
        if self._directory_bytes > len(self._view):
            raise self._file.fail(
                record_offset, "directories that do not overlap", "overlapping directories"
            )
        self._note(start, size_bytes)
        folders: list[tuple[int, int, int]] = []
        sorted_names: list[bytes] = []
        offset = start
        while offset < start + size_bytes:
            block_end = min(
                start + size_bytes,
                offset - (offset - start) % self._block_bytes + self._block_bytes,
            )
            length = self._view[offset]
            if length == 0:  # the rest of the block is unused: no record crosses blocks
                offset = block_end
                continue
            record = bytes(self._view[offset : offset + length])
            if length < RECORD_BYTES + 1 or offset + length > block_end:
                raise self._file.fail(
                    offset,
                    f"a directory record of 34 to {block_end - offset} bytes",
                    f"{length}",
                )
            name = record[RECORD_BYTES : RECORD_BYTES + record[32]]
            if not name or len(name) != record[32]:
                raise self._file.fail(
                    offset + 32, "a name within its record", f"{record[32]} bytes"
                )
            self._members += 1
            self._file.check_members(self._members, offset)
            self._sort_in(sorted_names, name, offset)
            if self._has_system_use:
                fields_bytes = RECORD_BYTES + len(name) + (len(name) % 2 == 0)
                if name != b"\0" or start != self._root_start:
                    fields_bytes += self._skipped_bytes
                self._system_use(offset + fields_bytes, offset + length)
            if name not in (b"\0", b"\1"):
                child = self._record(record, offset)
                if record[25] & FLAG_FOLDER:
                    folders.append(child)
            offset += length
        return folders

    def _record(self, record: bytes, offset: int) -> tuple[int, int, int]:
        extent = self._both(record, 2, "<I", offset)
        size_bytes = self._both(record, 10, "<I", offset)
        self._associated += bool(record[25] & FLAG_ASSOCIATED)
        if record[1] or record[26] or record[27]:
            raise self._file.fail(
                offset,
                "a contiguous file",
                "an interleaved file or one with an extended attribute record",
            )
        # The extent of empty files, links and devices is meaningless.
        if size_bytes and not record[25] & FLAG_FOLDER and not self._is_cut:
            try:
                self._check_extent(extent * self._block_bytes, size_bytes, offset)
            except FormatError as error:
                self._file.stop_at(error)
                self._is_cut = True
        return extent, size_bytes, offset

    def _system_use(self, start: int, end: int) -> None:
        """Patch the unknown entries of a system use area, and of its continuations."""
        pending = [(start, end)]
        while pending:
            offset, end = pending.pop()
            while end - offset >= _SYSTEM_USE.size:
                signature, length, _version = _SYSTEM_USE.unpack_from(self._view, offset)
                if length < _SYSTEM_USE.size or signature == b"ST":
                    break
                if signature == b"CE" and length >= CE_BYTES:
                    area = self._continuation(offset)
                    if area is not None:
                        pending.append(area)
                elif signature == SPARSE:
                    raise self._file.unsupported(
                        offset,
                        "files that are stored whole",
                        "a sparse file of Rock Ridge (SF)",
                        hint="make the ISO again with xorriso or genisoimage",
                    )
                elif signature == ATTRIBUTES:
                    self._ignore(signature, offset)
                elif signature in ZISOFS_SIGNATURES:
                    self._patches[offset] = b"PD" + bytes([length, 1])
                elif signature not in KNOWN_SIGNATURES:
                    if signature != PADDING:
                        self._ignore(signature, offset)
                    # Without its first bytes, padding is not taken for a ZF entry.
                    self._patches[offset] = (b"PD" + bytes([length, 1, 0, 0]))[:length]
                offset += length

    def _continuation(self, offset: int) -> tuple[int, int] | None:
        """Return where the area of a CE entry starts and ends, unless it was seen before."""
        block, skipped, size_bytes = (
            self._view[offset + at : offset + at + 4] for at in (4, 12, 20)
        )
        start = int.from_bytes(block, "little") * self._block_bytes
        start += int.from_bytes(skipped, "little")
        area = start, start + min(int.from_bytes(size_bytes, "little"), SECTOR_BYTES)
        if area in self._areas or area[1] > len(self._view):
            return None
        self._areas.add(area)
        return area

    def _sort_in(self, sorted_names: list[bytes], name: bytes, offset: int) -> None:
        key = name if name in (b"\0", b"\1") else b"\xff" + name  # as pycdlib sorts
        index = bisect.bisect_left(sorted_names, key)
        self._disorder += len(sorted_names) - index
        sorted_names.insert(index, key)
        if self._disorder > MAX_DISORDER:
            raise self._file.exceed(
                offset,
                "sorted directories",
                "an unsorted directory",
                hint="the image is damaged or hostile: use another copy of it",
            )

    def _check_extent(self, start: int, size_bytes: int, record_offset: int) -> None:
        if start + size_bytes > len(self._view):
            raise self._file.fail(
                record_offset,
                f"an extent within the image of {len(self._view)} bytes",
                f"{size_bytes} bytes at byte {start}",
            )

    def _note(self, start: int, size_bytes: int) -> None:
        self._extents[start] = max(size_bytes, self._extents.get(start, 0))

    def _both(self, raw: bytes, field_offset: int, kind: str, start: int) -> int:
        """Return a number that is stored in both byte orders."""
        size_bytes = struct.calcsize(kind)
        (little,) = struct.unpack_from(kind, raw, field_offset)
        (big,) = struct.unpack_from(kind.replace("<", ">"), raw, field_offset + size_bytes)
        if little != big:
            raise self._file.fail(
                start + field_offset, "the same number in both byte orders", f"{little} and {big}"
            )
        return int(little)


def _is_joliet(raw: bytes) -> bool:
    return raw[88:91] in JOLIET_ESCAPES
