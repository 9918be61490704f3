"""Write and read qcow2 images of disks, which store only what is not zero.

The writer gives version 3 images. First come the header, the reference counts, the L1 table and
the L2 tables, then the allocated clusters in the order of the disk, so that a part of the disk is
in one piece in the file, and needs no copy. The reader takes versions 2 and 3, and compressed
clusters. Images that need another file, or a key, are refused.

Source: QEMU's docs/interop/qcow2.txt.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from purekernel.errors import UnrepresentableError
from purekernel.formats import zstd
from purekernel.formats.detect import name_kind
from purekernel.formats.sparse import SparseImage
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer, display, loaded

MAGIC = b"QFI\xfb"

_VERSION_2, _VERSION_3 = 2, 3

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_HEADER_3 = struct.Struct(">QQQII")
_LEAST_BYTES_3 = _HEADER.size + _HEADER_3.size
_COMPRESSION_OFFSET = 104
_END_OF_EXTENSIONS = bytes(8)

# What qemu-img writes: the smallest tables for disks of some GiB.
_CLUSTER_BITS = 16
_CLUSTER_BYTES = 1 << _CLUSTER_BITS
_REFCOUNT_ORDER = 4
_ENTRY_BYTES = 8
_TABLE_ENTRIES = _CLUSTER_BYTES // _ENTRY_BYTES

# QEMU's limits, so that it opens what is written, and so that an input stays bounded.
_MAX_L1_BYTES = 32 << 20
_MIN_CLUSTER_BITS, _MAX_CLUSTER_BITS = 9, 21

# Of an entry in an L1 or L2 table.
_COPIED = 1 << 63
_COMPRESSED = 1 << 62
_ZERO = 1
_OFFSET_MASK = ((1 << 56) - 1) & ~0x1FF
_SECTOR_BYTES = 512

_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION_TYPE, _EXTENDED = (1 << bit for bit in range(5))
_ZLIB, _ZSTD = 0, 1
_ENCRYPTIONS = {1: "AES encryption", 2: "LUKS encryption"}

_CONVERT = "copy it to an image of its own with 'qemu-img convert -O qcow2'"


# Write.


def build_qcow2(image: SparseImage) -> SparseImage:
    """Return the qcow2 file of a disk. Its parts are views of those of ``image``, not copies.

    Clusters of zeros are not allocated. The same disk gives the same file.

    Raises:
        UnrepresentableError: the disk is larger than 2 PiB, and QEMU would not open it.
    """
    l1_entries = max(1, _quotient(image.size_bytes, _CLUSTER_BYTES * _TABLE_ENTRIES))
    if l1_entries * _ENTRY_BYTES > _MAX_L1_BYTES:
        raise UnrepresentableError(
            f"a disk of {image.size_bytes} bytes is too large for qcow2: must be at most 2 PiB",
            hint="choose a smaller size",
        )
    pieces = list(_pieces(image))
    clusters = _clusters(pieces)
    tables = sorted({cluster // _TABLE_ENTRIES for cluster in clusters})
    layout = _plan_layout(l1_entries, len(tables), len(clusters))
    host = {cluster: layout.data + number for number, cluster in enumerate(clusters)}
    parts: list[tuple[int, Buffer]] = [
        (0, _build_header(image.size_bytes, l1_entries, layout)),
        *_tables(layout, l1_entries, tables, host),
    ]
    for offset, content in pieces:
        cluster, inner = divmod(offset, _CLUSTER_BYTES)
        parts.append((host[cluster] * _CLUSTER_BYTES + inner, content))
    return SparseImage.of(layout.end * _CLUSTER_BYTES, parts)


def _clusters(pieces: Iterable[tuple[int, memoryview]]) -> list[int]:
    """Return the numbers of the clusters of the disk that pieces lie in, in order."""
    found: dict[int, None] = {}
    for offset, content in pieces:
        first = offset // _CLUSTER_BYTES
        end = _quotient(offset + len(content), _CLUSTER_BYTES)
        found.update(dict.fromkeys(range(first, end)))
    return list(found)


def _build_header(size_bytes: int, l1_entries: int, layout: _Layout) -> bytes:
    first = _HEADER.pack(
        MAGIC, _VERSION_3, 0, 0, _CLUSTER_BITS, size_bytes, 0, l1_entries,
        layout.l1 * _CLUSTER_BYTES, layout.refcount_table * _CLUSTER_BYTES,
        layout.refcount_table_clusters, 0, 0,
    )  # fmt: skip
    return first + _HEADER_3.pack(0, 0, 0, _REFCOUNT_ORDER, _LEAST_BYTES_3) + _END_OF_EXTENSIONS


def _tables(
    layout: _Layout, l1_entries: int, tables: Sequence[int], host: Mapping[int, int]
) -> Iterator[tuple[int, Buffer]]:
    """Yield offset and content of the reference counts, the L1 table and the L2 tables.

    Args:
        layout: where they are.
        l1_entries: the number of entries in the L1 table.
        tables: the numbers of the L2 tables that the file has.
        host: the cluster of the file for each cluster of the disk.
    """
    blocks = (layout.refcount_blocks + each for each in range(layout.refcount_block_count))
    yield layout.refcount_table * _CLUSTER_BYTES, _entries(each * _CLUSTER_BYTES for each in blocks)
    yield layout.refcount_blocks * _CLUSTER_BYTES, b"\0\1" * layout.end
    positions = {table: layout.l2 + number for number, table in enumerate(tables)}
    l1 = [0] * l1_entries
    l2 = {table: [0] * _TABLE_ENTRIES for table in tables}
    for table, position in positions.items():
        l1[table] = position * _CLUSTER_BYTES | _COPIED
    for cluster, position in host.items():
        table, entry = divmod(cluster, _TABLE_ENTRIES)
        l2[table][entry] = position * _CLUSTER_BYTES | _COPIED
    yield layout.l1 * _CLUSTER_BYTES, _entries(l1)
    for table, position in positions.items():
        yield position * _CLUSTER_BYTES, _entries(l2[table])


@frozen(kw_only=True)
class _Layout:
    """Where the parts of a file are, in clusters.

    Attributes:
        refcount_table: the first cluster of the refcount table.
        refcount_table_clusters: their number.
        refcount_blocks: the first refcount block.
        refcount_block_count: their number.
        l1: the first cluster of the L1 table.
        l2: the first L2 table.
        data: the first cluster of the disk.
        end: the number of all clusters.
    """

    refcount_table: int = 1
    refcount_table_clusters: int
    refcount_blocks: int
    refcount_block_count: int
    l1: int
    l2: int
    data: int
    end: int


def _plan_layout(l1_entries: int, tables: int, clusters: int) -> _Layout:
    per_block = _CLUSTER_BYTES * 8 >> _REFCOUNT_ORDER
    l1_clusters = _quotient(l1_entries * _ENTRY_BYTES, _CLUSTER_BYTES)
    table_clusters = block_count = 0
    while True:  # the counts of references have clusters, which are counted too
        end = 1 + table_clusters + block_count + l1_clusters + tables + clusters
        needed_blocks = _quotient(end, per_block)
        needed_clusters = _quotient(needed_blocks * _ENTRY_BYTES, _CLUSTER_BYTES)
        if (needed_blocks, needed_clusters) == (block_count, table_clusters):
            break
        block_count, table_clusters = needed_blocks, needed_clusters
    blocks = 1 + table_clusters
    l1 = blocks + block_count
    l2 = l1 + l1_clusters
    return _Layout(
        refcount_table_clusters=table_clusters,
        refcount_blocks=blocks,
        refcount_block_count=block_count,
        l1=l1,
        l2=l2,
        data=l2 + tables,
        end=end,
    )


def _pieces(image: SparseImage) -> Iterator[tuple[int, memoryview]]:
    """Yield offset and content of what ``image`` has in clusters that are not all zeros.

    A piece ends where the part ends, or where a cluster of zeros begins.
    """
    zeros = bytes(_CLUSTER_BYTES)
    for offset, content in image.parts:
        view = memoryview(loaded(content)).cast("B")
        start = position = 0
        while position < len(view):
            end = min(position + _CLUSTER_BYTES - (offset + position) % _CLUSTER_BYTES, len(view))
            # Most clusters differ in their first byte: compare only the others.
            if not view[position] and view[position:end].tobytes() == zeros[: end - position]:
                if start < position:
                    yield offset + start, view[start:position]
                start = end
            position = end
        if start < position:
            yield offset + start, view[start:]


def _entries(numbers: Iterable[int]) -> bytes:
    numbers = tuple(numbers)
    return struct.pack(f">{len(numbers)}Q", *numbers)


def _quotient(number: int, divisor: int) -> int:
    """Return the quotient, rounded up."""
    return -(-number // divisor)


# Read.


def parse_qcow2(file: Input) -> SparseImage:
    """Return the disk in the qcow2 image ``file``.

    The parts of the result are views of ``file``, except for compressed clusters, which are
    unpacked. Internal snapshots are ignored, with a note: the disk is as it was last.

    Raises:
        FormatError: ``file`` is not a qcow2 image, or is damaged.
        UnsupportedError: it has a backing file, an external data file, encryption, or a feature
            of a later version.
        LimitError: it unpacks to more than the limit.
        LibraryError: its clusters are compressed with zstd, which this Python lacks.
    """
    return _Reader(file, parse_header(file)).read()


@frozen(kw_only=True)
class Qcow2Header:
    """The fields of a header that reading needs.

    Attributes:
        version: 2 or 3.
        cluster_bits: the size of a cluster is 2 to the power of this, in bytes.
        size: the size of the disk, in bytes.
        l1_entries: the number of entries in the L1 table.
        l1_offset: where the table is, in bytes.
        compression: the number of the compression: 0 for zlib, 1 for zstd.
    """

    version: int
    cluster_bits: int
    size: int
    l1_entries: int
    l1_offset: int
    compression: int

    @property
    def cluster_bytes(self) -> int:
        """The size of a cluster."""
        return 1 << self.cluster_bits

    @property
    def table_entries(self) -> int:
        """The number of entries in an L2 table."""
        return self.cluster_bytes // _ENTRY_BYTES


def parse_header(file: Input) -> Qcow2Header:
    """Return the header of a qcow2 image; raise as :func:`parse_qcow2`."""
    view = file.view
    magic = bytes(view[:4])
    if magic != MAGIC:
        kind = name_kind(view)
        raise file.fail_kind(0, "a qcow2 image (51 46 49 fb)", kind, magic.hex(" ") or "no bytes")
    if len(view) < _HEADER.size:
        raise file.fail(len(view), f"a header of {_HEADER.size} bytes", "the end of the file")
    (
        _magic, version, backing_offset, backing_bytes, cluster_bits, size, encryption, l1_entries,
        l1_offset, _table, _table_clusters, snapshots, _snapshots_offset,
    ) = _HEADER.unpack_from(view)  # fmt: skip
    if version not in (_VERSION_2, _VERSION_3):
        raise file.unsupported(4, "a qcow2 image of version 2 or 3", f"version {version}")
    if not _MIN_CLUSTER_BITS <= cluster_bits <= _MAX_CLUSTER_BITS:
        raise file.fail(
            20, f"{_MIN_CLUSTER_BITS} to {_MAX_CLUSTER_BITS} cluster bits", f"{cluster_bits}"
        )
    if backing_offset:
        name = display(bytes(view[backing_offset : backing_offset + min(backing_bytes, 1023)]))
        raise file.unsupported(8, "a whole image", f"the backing file {name}", hint=_CONVERT)
    if encryption:
        got = _ENCRYPTIONS.get(encryption, f"encryption {encryption}")
        raise file.unsupported(32, "an image without encryption", got)
    if snapshots:
        file.note(f"ignored {snapshots} internal snapshots; the disk is read as it was last")
    compression = _parse_features(file) if version == _VERSION_3 else _ZLIB
    header = Qcow2Header(
        version=version,
        cluster_bits=cluster_bits,
        size=size,
        l1_entries=l1_entries,
        l1_offset=l1_offset,
        compression=compression,
    )
    _check_l1(file, header)
    return header


def _parse_features(file: Input) -> int:
    """Check the fields of version 3; return the number of the compression."""
    view = file.view
    if len(view) < _LEAST_BYTES_3:
        raise file.fail(len(view), f"a header of {_LEAST_BYTES_3} bytes", "the end of the file")
    features, _compatible, _autoclear, _order, header_bytes = _HEADER_3.unpack_from(
        view, _HEADER.size
    )
    if header_bytes < _LEAST_BYTES_3 or header_bytes % 8 or header_bytes > len(view):
        expected = f"a multiple of 8, {_LEAST_BYTES_3} or more, as the size of the header"
        raise file.fail(100, expected, str(header_bytes))
    if features & _EXTERNAL_DATA:
        raise file.unsupported(72, "a whole image", "an external data file", hint=_CONVERT)
    if features & _EXTENDED:
        raise file.unsupported(72, "a plain L2 table", "extended L2 entries", hint=_CONVERT)
    known = _DIRTY | _CORRUPT | _COMPRESSION_TYPE
    if features & ~known:
        got = f"the incompatible features {features & ~known:#x}"
        raise file.unsupported(72, "known features", got, hint=_CONVERT)
    if features & _CORRUPT:
        raise file.fail(
            72, "a sound image", "one marked as corrupt", hint="repair it with 'qemu-img check -r'"
        )
    if not features & _COMPRESSION_TYPE:
        return _ZLIB
    compression = view[_COMPRESSION_OFFSET] if header_bytes > _COMPRESSION_OFFSET else _ZLIB
    if compression != _ZSTD:
        got = f"compression {compression}"
        raise file.unsupported(_COMPRESSION_OFFSET, "zlib or zstd compression", got, hint=_CONVERT)
    return compression


def _check_l1(file: Input, header: Qcow2Header) -> None:
    needed = _quotient(header.size, header.cluster_bytes * header.table_entries)
    if needed * _ENTRY_BYTES > _MAX_L1_BYTES:
        raise file.exceed(
            24, f"a disk with an L1 table of at most {_MAX_L1_BYTES} bytes", f"{header.size} bytes"
        )
    if header.l1_entries < needed:
        raise file.fail(36, f"{needed} entries or more in the L1 table", str(header.l1_entries))
    end = header.l1_offset + needed * _ENTRY_BYTES
    if header.l1_offset % header.cluster_bytes or end > len(file):
        raise file.fail(40, "the offset of the L1 table", str(header.l1_offset))


class _Reader:
    """Reads the clusters of an image."""

    def __init__(self, file: Input, header: Qcow2Header) -> None:
        self._file = file
        self._header = header
        # Every table and cluster is used once, so that the result is no larger than the file.
        self._used: set[int] = set()
        self._parts: list[tuple[int, Buffer]] = []
        self._unpacked_bytes = 0
        # The last uncompressed part: offset on the disk, offset in the file, size.
        self._run = (0, 0, 0)

    def read(self) -> SparseImage:
        header, view = self._header, self._file.view
        reach = header.cluster_bytes * header.table_entries
        for number in range(_quotient(header.size, reach)):
            place = header.l1_offset + number * _ENTRY_BYTES
            (entry,) = struct.unpack_from(">Q", view, place)
            table = entry & _OFFSET_MASK
            if table:
                self._claim(table, header.cluster_bytes, place)
                self._read_table(table, number * reach)
        self._end_run()
        return SparseImage.of(header.size, self._parts)

    def _claim(self, offset: int, size: int, place: int) -> None:
        """Check the cluster at ``offset``, of which ``size`` bytes are needed."""
        if offset % self._header.cluster_bytes or offset + size > len(self._file):
            expected = f"the offset of a cluster in {len(self._file)} bytes"
            raise self._file.fail(place, expected, str(offset))
        if offset in self._used:
            raise self._file.fail(place, "a cluster that is used once", f"{offset} again")
        self._used.add(offset)

    def _read_table(self, table: int, start: int) -> None:
        header, cluster_bytes = self._header, self._header.cluster_bytes
        entries = struct.unpack_from(f">{header.table_entries}Q", self._file.view, table)
        for number, entry in enumerate(entries):
            if not entry:
                continue
            offset = start + number * cluster_bytes
            if offset >= header.size:
                break
            size = min(cluster_bytes, header.size - offset)
            place = table + number * _ENTRY_BYTES
            if entry & _COMPRESSED:
                self._end_run()
                self._parts.append((offset, self._unpack(entry, place)[:size]))
            elif entry & _OFFSET_MASK and not entry & _ZERO:
                self._claim(entry & _OFFSET_MASK, size, place)
                self._add_run(offset, entry & _OFFSET_MASK, size)
            elif entry & _ZERO and header.version == _VERSION_2:
                raise self._file.fail(place, "an entry of version 2", f"{entry:#x}")

    def _add_run(self, offset: int, found: int, size: int) -> None:
        """Add a cluster to the last part if it follows it on the disk and in the file."""
        start, start_found, length = self._run
        if length and (start + length, start_found + length) == (offset, found):
            self._run = (start, start_found, length + size)
            return
        self._end_run()
        self._run = (offset, found, size)

    def _end_run(self) -> None:
        start, found, length = self._run
        if length:
            self._parts.append((start, self._file.view[found : found + length]))
        self._run = (0, 0, 0)

    def _unpack(self, entry: int, place: int) -> bytes:
        """Return the content of a compressed cluster."""
        header, file = self._header, self._file
        bits = 62 - (header.cluster_bits - 8)
        offset = entry & ((1 << bits) - 1) & ((1 << 56) - 1)
        sectors = (entry & (_COMPRESSED - 1)) >> bits
        end = (offset // _SECTOR_BYTES + sectors + 1) * _SECTOR_BYTES
        if offset >= len(file):
            raise file.fail(place, f"an offset in {len(file)} bytes", str(offset))
        self._unpacked_bytes = file.count_unpacked(
            header.cluster_bytes, offset, already_bytes=self._unpacked_bytes
        )
        packed = file.view[offset : min(end, len(file))]
        unpack = _unpack_zstd if header.compression == _ZSTD else _unpack_zlib
        content = unpack(file, offset, packed, header.cluster_bytes)
        if len(content) != header.cluster_bytes:
            expected = f"a compressed cluster of {header.cluster_bytes} bytes"
            raise file.fail(offset, expected, str(len(content)))
        return content


def _unpack_zlib(file: Input, offset: int, packed: memoryview, size: int) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size)
    except zlib.error as error:
        raise file.fail(offset, "a valid compressed cluster", str(error)) from None


def _unpack_zstd(file: Input, offset: int, packed: memoryview, size: int) -> bytes:
    try:
        return zstd.ZstdDecompressor().decompress(packed, size)
    except zstd.ZstdError as error:
        raise file.fail(offset, "a valid compressed cluster", str(error)) from None
