"""Measure what takes the space in an image: each file's size, raw and packed.

The packed size of a file in a compressed archive is how much of the compressed data was read while
its record was unpacked. It depends on what precedes the file, and adds up to the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from attrs import field

from purekernel.analysis.contents import Part
from purekernel.errors import PurekernelError
from purekernel.formats.compression import trace_streams
from purekernel.formats.cpio import iter_records
from purekernel.formats.cpio.layout import TRAILER_NAME
from purekernel.formats.detect import FileKind
from purekernel.formats.inflate import skip_zeros
from purekernel.formats.squashfs import measure_packed
from purekernel.records import frozen
from purekernel.tree import ROOT, Directory, File, Tree, parse_path
from purekernel.tree.path import escape, name, parent

# Kinds that store files as they are.
_PLAIN = (FileKind.AR, FileKind.CPIO, FileKind.DISK, FileKind.FAT, FileKind.ISO, FileKind.TAR)

# What is smaller is shown as a sum: a thousandth of the part.
_LEAST_SHARE = 0.001


@frozen(kw_only=True)
class Usage:
    """What takes the space in a part.

    Attributes:
        raw: the size of each path, in bytes; of a folder, that of all below.
        packed: the same as it is packed, for paths where it is known; ``None`` if it is not known
            for this kind of archive.
        folders: the paths of folders.
    """

    raw: Mapping[bytes, int] = field(repr=False)
    packed: Mapping[bytes, int] | None = field(repr=False)
    folders: frozenset[bytes] = field(repr=False)

    def packed_of(self, path: bytes) -> int | None:
        """Return the packed size of a path; ``None`` if it is not known."""
        return None if self.packed is None else self.packed.get(path, 0)


def measure_usage(part: Part) -> Usage:
    """Return what takes the space in a part. Of the names of a hard link, the first counts."""
    raw = _sizes(part.tree)
    try:
        packed = _packed(part, raw)
    except PurekernelError:  # the fault was reported when the part was read
        packed = None
    return Usage(
        raw=_with_folders(part.tree, raw),
        packed=None if packed is None else _with_folders(part.tree, packed),
        folders=frozenset(path for path, node in part.tree.walk() if isinstance(node, Directory)),
    )


def usage_lines(usage: Usage, depth: int) -> Iterator[str]:
    """Yield a line for each folder and file down to ``depth``, the largest first in each folder.

    The share is that of the packed size where it is known.
    """
    yield from _Table(usage, depth).lines()


class _Table:
    def __init__(self, usage: Usage, depth: int) -> None:
        self._usage = usage
        self._depth = depth
        self._measure = usage.raw if usage.packed is None else usage.packed
        self._total = self._measure.get(ROOT, 0)
        self._width = max(len(str(usage.raw.get(ROOT, 0))), len("packed"))
        self._inside: dict[bytes, list[bytes]] = {}
        for path in usage.raw:
            if path:
                self._inside.setdefault(parent(path), []).append(path)

    def lines(self) -> Iterator[str]:
        width = self._width
        yield f"{'raw':>{width}} {'packed':>{width}}  share  name"
        yield self._line([ROOT], "(all)", 0)
        yield from self._below(ROOT, 0)

    def _below(self, folder: bytes, level: int) -> Iterator[str]:
        paths = sorted(self._inside.get(folder, ()), key=lambda path: (-self._size(path), path))
        least = self._total * _LEAST_SHARE
        large = [path for path in paths if self._size(path) >= least and self._size(path)]
        for path in large:
            shown = escape(name(path)) + "/" * (path in self._usage.folders)
            yield self._line([path], shown, level)
            if level + 1 < self._depth:
                yield from self._below(path, level + 1)
        small = paths[len(large) :]
        if small:
            yield self._line(small, f"({len(small)} smaller)", level)

    def _size(self, path: bytes) -> int:
        return self._measure.get(path, 0)

    def _line(self, paths: list[bytes], shown: str, level: int) -> str:
        raw = sum(self._usage.raw[path] for path in paths)
        packed = ""
        if self._usage.packed is not None:
            packed = str(sum(self._usage.packed.get(path, 0) for path in paths))
        share = sum(map(self._size, paths)) / self._total if self._total else 0.0
        width = self._width
        return f"{raw:>{width}} {packed:>{width}} {share:>6.1%}  {'  ' * level}{shown}"


def _sizes(tree: Tree) -> dict[bytes, int]:
    """Return the size of each file by its first name, and 0 for all other paths."""
    sizes: dict[bytes, int] = {}
    seen: set[int] = set()
    for path, node in tree.walk():
        inode = tree.inode(path)
        sizes[path] = node.size_bytes if isinstance(node, File) and inode not in seen else 0
        seen.add(inode)
    return sizes


def _with_folders(tree: Tree, sizes: Mapping[bytes, int]) -> dict[bytes, int]:
    """Return the sizes with those of folders: of all that is below."""
    totals = {path: sizes.get(path, 0) for path, _node in tree.walk()}
    for path in reversed(list(totals)):
        if path:
            totals[parent(path)] += totals[path]
    return totals


def _packed(part: Part, raw: Mapping[bytes, int]) -> Mapping[bytes, int] | None:
    """Return the packed size of each file, or ``None`` if it is not known."""
    if part.plain is None or part.file is None:
        return None
    if part.kind is FileKind.SQUASHFS and part.compression is None:
        return measure_packed(part.plain.strict())
    if part.kind is FileKind.CPIO:
        return _packed_in_initrd(part)
    return raw if part.compression is None and part.kind in _PLAIN else None


def _packed_in_initrd(part: Part) -> dict[bytes, int]:
    """Return the packed size of each path of an initrd, its headers included.

    Of a path that several archives have, all records count.
    """
    assert part.file is not None  # noqa: S101  # of the caller
    file = part.file.strict()
    found: dict[bytes, float] = {}
    packed_at: Callable[[float], float]
    for segment in part.segments:
        if segment.compression is None:
            plain, packed_at = file.part(segment.offset, segment.end), float
        else:
            plain, packed_at = trace_streams(file, segment.offset)
        position = skip_zeros(plain.view, 0)
        while position < len(plain):
            for record in iter_records(plain, position):
                size = packed_at(record.end) - packed_at(record.offset)
                path = parse_path(record.name) if record.name != TRAILER_NAME else ROOT
                found[path] = found.get(path, 0.0) + size
                position = record.end
            position = skip_zeros(plain.view, position)
    return {path: round(size) for path, size in found.items()}
