"""Look an image's descriptors and directories over before pycdlib is let near them.

pycdlib trusts much of what it reads: it cuts files short that end behind the image,
recomputes a folder's layout for each entry out of order, and builds objects without a
bound. So the structure is checked here first, at little cost, with the place of each
fault; what is left for pycdlib is the meaning.

Source: ECMA-119, 6 to 9.
"""

from __future__ import annotations

import bisect
import struct

from attrs import frozen

from purekernel.errors import FormatError, LimitError
from purekernel.formats.iso.layout import BOOT_RECORD, FIRST_DESCRIPTOR, SECTOR_BYTES
from purekernel.formats.limits import Limits

IDENTIFIER = b"CD001"
BOOT, PRIMARY, SUPPLEMENTARY, TERMINATOR = 0, 1, 2, 255

# In a supplementary descriptor: UCS-2 levels 1 to 3.
JOLIET_ESCAPES = (b"%/@", b"%/C", b"%/E")

# Opens the system use area of the root's first record where there is Rock Ridge.
ROCK_RIDGE_MARK = b"SP\x07\x01\xbe\xef"

RECORD_BYTES = 33

# Descriptors there may be before the terminator; real images have two to five.
MAX_DESCRIPTORS = 64

# How many places entries may stand away from where sorting puts them, summed over the
# image. Writers sort; some by slightly other rules.
MAX_DISORDER = 1_000_000

FLAG_FOLDER = 0x02


@frozen(kw_only=True)
class Survey:
    """What pycdlib is to see of an image.

    Attributes:
        descriptors: the volume descriptors, of a sector each, from sector 16 on: the
            primary one, the boot record where there is one, Joliet's where there is no
            Rock Ridge, and the terminator; then zeros.
        extents: the size of each directory and path table, by its first byte.
    """

    descriptors: tuple[bytes, ...]
    extents: dict[int, int]


def survey(view: memoryview, *, source: str, limits: Limits) -> Survey:
    """Return what to read, having looked at all of it.

    Raises:
        FormatError: a descriptor or a directory is damaged, or the image ends early.
        LimitError: it has more entries than ``limits`` allow, or less order than any
            writer leaves.
    """
    return _Surveyor(view, source, limits).survey()


class _Surveyor:
    def __init__(self, view: memoryview, source: str, limits: Limits) -> None:
        self._view = view
        self._source = source
        self._limits = limits
        self._block_bytes = SECTOR_BYTES
        self._members = 0
        self._disorder = 0
        self._directory_bytes = 0
        self._extents: dict[int, int] = {}

    def survey(self) -> Survey:
        count, descriptors = self._descriptors()
        primary = next((raw for kind, raw in descriptors if kind == PRIMARY), None)
        if primary is None:
            raise self._error(
                FIRST_DESCRIPTOR * SECTOR_BYTES, "a primary volume descriptor", "none"
            )
        start = FIRST_DESCRIPTOR * SECTOR_BYTES
        self._block_bytes = self._both(primary, 128, "<H", start)
        if self._block_bytes not in (512, 1024, SECTOR_BYTES):
            raise self._error(
                start + 128, "blocks of 512, 1024 or 2048 bytes", f"{self._block_bytes}"
            )
        blocks = self._both(primary, 80, "<I", start)
        if blocks * self._block_bytes > len(self._view):
            raise self._error(
                len(self._view),
                f"{blocks * self._block_bytes} bytes, as the volume descriptor says",
                "the end of the file",
            )
        kept = [primary]
        if len(descriptors) > 1 and descriptors[1][0] == BOOT:
            kept.append(descriptors[1][1])
        if not self._has_rock_ridge(primary, start):
            kept += [raw for kind, raw in descriptors if kind == SUPPLEMENTARY and _is_joliet(raw)][
                :1
            ]
        kept.append(next(raw for kind, raw in descriptors if kind == TERMINATOR))
        for raw in kept:
            if raw[0] in (PRIMARY, SUPPLEMENTARY):
                self._hierarchy(raw, start)
        # Nothing shows of those left out, nor of UDF's, which may follow.
        hidden = [bytes(SECTOR_BYTES)] * (count - len(kept) + 1)
        return Survey(descriptors=(*kept, *hidden), extents=self._extents)

    def _descriptors(self) -> tuple[int, list[tuple[int, bytes]]]:
        """Return how many descriptors there are, and kind and bytes of those of use."""
        found: list[tuple[int, bytes]] = []
        for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + MAX_DESCRIPTORS):
            offset = number * SECTOR_BYTES
            raw = bytes(self._view[offset : offset + SECTOR_BYTES])
            if len(raw) < SECTOR_BYTES:
                raise self._error(offset, "a volume descriptor", "the end of the file")
            if raw[1:6] != IDENTIFIER:
                raise self._error(offset + 1, "a volume descriptor (CD001)", repr(raw[1:6])[1:])
            # A boot record elsewhere boots nothing (El Torito, 2.0).
            if raw[0] != BOOT or number == BOOT_RECORD:
                found.append((raw[0], raw))
            if raw[0] == TERMINATOR:
                return number - FIRST_DESCRIPTOR + 1, found
        raise self._error(
            FIRST_DESCRIPTOR * SECTOR_BYTES,
            f"at most {MAX_DESCRIPTORS} volume descriptors",
            "more",
        )

    def _has_rock_ridge(self, primary: bytes, start: int) -> bool:
        extent = self._both(primary, 156 + 2, "<I", start) * self._block_bytes
        first = bytes(self._view[extent : extent + 255])
        return bool(first) and ROCK_RIDGE_MARK in first[RECORD_BYTES : first[0]]

    def _hierarchy(self, descriptor: bytes, start: int) -> None:
        """Look over the path tables and all directories that ``descriptor`` leads to."""
        extent = self._both(descriptor, 156 + 2, "<I", start)
        size_bytes = self._both(descriptor, 156 + 10, "<I", start)
        seen = {extent}
        pending = [(extent, size_bytes, start + 156)]
        while pending:
            for found in self._directory(*pending.pop()):
                if found[0] in seen:
                    raise self._error(
                        found[2], "folders that form a tree", "one that is in two places"
                    )
                seen.add(found[0])
                pending.append(found)
        table_bytes = self._both(descriptor, 132, "<I", start)
        # Each folder has an entry of its name and ten bytes at the most.
        if table_bytes > len(seen) * 264:
            raise self._error(
                start + 132, f"a path table for {len(seen)} folders", f"{table_bytes} bytes"
            )
        for place, order in ((140, "<I"), (148, ">I")):
            (block,) = struct.unpack_from(order, descriptor, place)
            self._note(block * self._block_bytes, table_bytes)

    def _directory(self, extent: int, size_bytes: int, said_at: int) -> list[tuple[int, int, int]]:
        """Return extent, size and record's place of each folder in a directory."""
        start = extent * self._block_bytes
        self._check_extent(start, size_bytes, said_at)
        # Directories may overlap one another; together they must not be more than there is.
        self._directory_bytes += size_bytes
        if self._directory_bytes > len(self._view):
            raise self._error(said_at, "directories that do not overlap", "some that do")
        self._note(start, size_bytes)
        found: list[tuple[int, int, int]] = []
        sorted_names: list[bytes] = []
        here = start
        while here < start + size_bytes:
            block_end = min(
                start + size_bytes, here - (here - start) % self._block_bytes + self._block_bytes
            )
            length = self._view[here]
            if length == 0:  # no record crosses into the next block
                here = block_end
                continue
            record = bytes(self._view[here : here + length])
            if length < RECORD_BYTES + 1 or here + length > block_end:
                raise self._error(
                    here,
                    f"a directory record of 34 to {block_end - here} bytes",
                    f"one of {length}",
                )
            name = record[RECORD_BYTES : RECORD_BYTES + record[32]]
            if not name or len(name) != record[32]:
                raise self._error(here + 32, "a name within its record", f"{record[32]} bytes")
            self._members += 1
            self._limits.check_members(self._members, source=self._source, offset=here)
            self._sort_in(sorted_names, name, here)
            if name not in (b"\0", b"\1"):
                child = self._record(record, here)
                if record[25] & FLAG_FOLDER:
                    found.append(child)
            here += length
        return found

    def _record(self, record: bytes, here: int) -> tuple[int, int, int]:
        extent = self._both(record, 2, "<I", here)
        size_bytes = self._both(record, 10, "<I", here)
        if record[1] or record[26] or record[27]:
            raise self._error(
                here,
                "a file in one piece",
                "one with an extended attribute record or interleaved",
            )
        # Empty files, links and devices have no place, or any.
        if size_bytes and not record[25] & FLAG_FOLDER:
            self._check_extent(extent * self._block_bytes, size_bytes, here)
        return extent, size_bytes, here

    def _sort_in(self, sorted_names: list[bytes], name: bytes, here: int) -> None:
        key = name if name in (b"\0", b"\1") else b"\xff" + name  # as pycdlib sorts
        index = bisect.bisect_left(sorted_names, key)
        self._disorder += len(sorted_names) - index
        sorted_names.insert(index, key)
        if self._disorder > MAX_DISORDER:
            raise LimitError(
                source=self._source,
                offset=here,
                expected="directories in order",
                got="one in disorder",
                hint="the image is damaged or hostile: writers sort directories",
            )

    def _check_extent(self, start: int, size_bytes: int, said_at: int) -> None:
        if start + size_bytes > len(self._view):
            raise self._error(
                said_at,
                f"what lies within the image's {len(self._view)} bytes",
                f"{size_bytes} bytes at byte {start}",
            )

    def _note(self, start: int, size_bytes: int) -> None:
        self._extents[start] = max(size_bytes, self._extents.get(start, 0))

    def _both(self, raw: bytes, place: int, kind: str, start: int) -> int:
        """Return a number that is recorded in both byte orders."""
        size_bytes = struct.calcsize(kind)
        (little,) = struct.unpack_from(kind, raw, place)
        (big,) = struct.unpack_from(kind.replace("<", ">"), raw, place + size_bytes)
        if little != big:
            raise self._error(
                start + place, "the same number in both byte orders", f"{little} and {big}"
            )
        return int(little)

    def _error(self, offset: int, expected: str, got: str) -> FormatError:
        return FormatError(source=self._source, offset=offset, expected=expected, got=got)


def _is_joliet(raw: bytes) -> bool:
    return raw[88:91] in JOLIET_ESCAPES
