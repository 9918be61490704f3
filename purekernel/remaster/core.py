"""Pack a root file system into the core: one cpio archive in one gzip member."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from enum import IntEnum
from functools import partial
from io import SEEK_END, BytesIO
from operator import itemgetter

from attrs import evolve

from purekernel.encode.cache import Cache
from purekernel.encode.encoders import RECIPES, Effort, EffortEncoders, Encoder, Libdeflate
from purekernel.encode.nested import declared_bytes, recompress_all
from purekernel.encode.segments import Segment, deflate_segments
from purekernel.formats import gzip
from purekernel.formats.compress import compress
from purekernel.formats.cpio import CpioMember, build_trailer, iter_members, join_members
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.initramfs import Compression
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.interruption import result_of
from purekernel.progress import Progress, Silent
from purekernel.records import frozen
from purekernel.rootfs.modules import is_packed_module
from purekernel.tree import (
    Buffer,
    Directory,
    File,
    LazyContent,
    Node,
    Symlink,
    Tree,
    content_bytes,
    loaded,
    slice_content,
)
from purekernel.tree.path import parent

# Segments of this size lose little by being compressed independently, and are short enough that
# each processor gets some. A segment ends at the next member that is a mark, or at about twice the
# size. Packed content loses nothing when it is cut, so its segments are longer.
SEGMENT_BYTES, PACKED_SEGMENT_BYTES = 512 << 10, 2 << 20


# Overlays mostly change text, and slow encoders take seconds for each segment. Shorter segments
# leave more of them unchanged in the cache.
SLOW_TEXT_SEGMENT_BYTES = 96 << 10
_MARK_EVERY = 4


# The order of the members in the core, and the places where the archive is cut.
#
# Similar members are adjacent, because deflate cannot refer back more than 32 KiB. Packed content
# comes last, so that slow encoders skip it.


class ContentKind(IntEnum):
    """Kinds of members, in the order of the archive."""

    EMPTY = 0
    """Folders, devices, links and empty files. Parent folders precede all other members."""
    TEXT = 1
    OTHER = 2
    PROGRAM = 3
    PACKED = 4


@frozen(kw_only=True)
class Part:
    """Members of one kind, in order."""

    kind: ContentKind
    members: tuple[CpioMember, ...]


def arrange(tree: Tree) -> list[Part]:
    """Return the members of the core's archive, without the trailer, grouped by kind.

    Within a kind, similar members are adjacent; otherwise the order is that of ``tree.walk``. The
    same tree gives the same order.

    Raises:
        UnrepresentableError: cpio cannot represent an entry of the tree.
    """
    *members, _trailer = iter_members(tree)
    by_kind: dict[ContentKind, list[tuple[_SortKey, CpioMember]]]
    by_kind = {kind: [] for kind in ContentKind}
    for member in members:
        kind, key = _place(member, tree[member.path])
        by_kind[kind].append((key, member))
    for of_kind in by_kind.values():
        of_kind.sort(key=itemgetter(0))
    return [
        Part(kind=kind, members=tuple(member for _key, member in of_kind))
        for kind, of_kind in by_kind.items()
        if of_kind
    ]


_SortKey = tuple[int, bytes, int]


def _place(member: CpioMember, node: Node) -> tuple[ContentKind, _SortKey]:
    """Return the kind of a member, and what the members of that kind are sorted by.

    Folders precede links, which are sorted by target.
    """
    if isinstance(node, Symlink):
        return ContentKind.EMPTY, (1, node.target, len(member.path))
    if not isinstance(node, File) or not len(member.content):
        return ContentKind.EMPTY, (0 if isinstance(node, Directory) else 2, b"", 0)
    content = loaded(member.content)
    kind = _kind_of(content)
    if kind is ContentKind.TEXT:
        return kind, (0, _interpreter(content), 0)
    if kind is ContentKind.PROGRAM:
        return kind, (0, parent(member.path), len(content))
    return kind, (0, b"", 0)


def _interpreter(content: Buffer) -> bytes:
    """Return the start of a script's ``#!`` line; for other files, a key that sorts last."""
    head = bytes(content[:_INTERPRETER_BYTES])
    return head.split(maxsplit=1)[0] if head.startswith(b"#!/") else b"\xff"


def _kind_of(content: Buffer) -> ContentKind:
    """Return the kind of a file that is not empty."""
    kind = detect(content)
    if kind is FileKind.ELF:
        return ContentKind.PROGRAM
    if _is_packed(content, kind):
        return ContentKind.PACKED
    return ContentKind.OTHER if b"\0" in bytes(content[:_TEXT_BYTES]) else ContentKind.TEXT


def _is_packed(content: Buffer, kind: FileKind) -> bool:
    if kind not in _PACKED and len(content) < _TRIAL_BYTES:
        return False
    middle = max(len(content) // 2, _TRIAL_BYTES)
    sample = bytes(content[:_TRIAL_BYTES]) + bytes(content[middle : middle + _TRIAL_BYTES])
    return len(_TRIAL.encode(sample)) > _SHRINKS * len(sample)


_TEXT_KINDS = (ContentKind.EMPTY, ContentKind.TEXT, ContentKind.OTHER)


# Suffix of the file that holds a file's MD5 on Tiny Core's mirrors.
CHECKSUM_SUFFIX = b".md5.txt"


# The kinds of files that are usually packed.
_PACKED = (
    FileKind.GZIP, FileKind.XZ, FileKind.BZIP2, FileKind.ZSTD, FileKind.LZ4_FRAME,
    FileKind.SQUASHFS, FileKind.PNG, FileKind.JPEG, FileKind.ZIP, FileKind.SEVEN_ZIP,
    FileKind.WOFF2,
)  # fmt: skip


# A trial compresses a sample from the start and one from the middle of the file.
_TRIAL_BYTES = 1 << 14
_TRIAL = Libdeflate(level=1)


# A file counts as packed if its samples shrink to more than this fraction.
_SHRINKS = 0.97


# How much of a script is read to find its interpreter.
_INTERPRETER_BYTES = 64


# A file without NUL in its first bytes counts as text.
_TEXT_BYTES = 1 << 10


@frozen(kw_only=True)
class PackedCore:
    """A packed core.

    Attributes:
        data: the gzip file.
        cpio_bytes: size of the uncompressed archive.
    """

    data: bytes
    cpio_bytes: int


def pack_core(
    tree: Tree,
    *,
    effort: Effort,
    executor: Executor,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> PackedCore:
    """Pack ``tree`` as a gzipped cpio archive.

    The bytes do not depend on the executor or the cache. ``progress`` counts the segments.

    Raises:
        UnrepresentableError: cpio cannot represent an entry of the tree.
    """
    archive = _CoreArchive(tree, RECIPES[effort])
    # Write segments as they are finished: joining pieces at the end needs twice the memory.
    packed = BytesIO(gzip.build_header())
    packed.seek(0, SEEK_END)
    with (progress or Silent()).task("segments", total=archive.count) as counter:
        deflate_segments(
            archive.segments(),
            write=packed.write,
            executor=executor,
            cache=cache,
            counter=counter,
        )
    packed.write(gzip.build_trailer(archive.crc32, archive.size_bytes))
    return PackedCore(data=packed.getvalue(), cpio_bytes=archive.size_bytes)


class _CoreArchive:
    """The core's archive, produced in segments.

    Attributes:
        crc32: CRC-32 of the bytes yielded so far.
        size_bytes: number of bytes yielded so far.
        count: number of segments.
    """

    def __init__(self, tree: Tree, recipe: EffortEncoders) -> None:
        self._pieces = list(cut(arrange(tree), recipe)) or [([], (recipe.plain,))]
        self.crc32 = 0
        self.size_bytes = 0
        self.count = len(self._pieces)

    def segments(self) -> Iterator[Segment]:
        """Yield the archive in segments, without keeping them."""
        *pieces, (last, last_encoders) = self._pieces
        for buffers, encoders in pieces:
            yield self._segment(b"".join(map(loaded, buffers)), encoders)
        data = b"".join(map(loaded, last))
        trailer = build_trailer(self.size_bytes + len(data))
        yield self._segment(data + trailer, last_encoders)

    def _segment(self, data: bytes, encoders: tuple[Encoder, ...]) -> Segment:
        self.crc32 = zlib.crc32(data, self.crc32)
        self.size_bytes += len(data)
        return Segment(data=data, encoders=encoders)


def recompress_nested(
    tree: Tree,
    *,
    effort: Effort,
    executor: Executor,
    cache: Cache | None = None,
    modules: bool = True,
    progress: Progress | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Tree:
    """Return ``tree`` with its gzip files recompressed, if the effort includes that.

    The uncompressed content and the gzip header of each file, with its name and time, stay the
    same. A file with an MD5 file beside it is left unchanged, because the digest must match. So is
    a file with which all of them would unpack to more than ``limits`` allow for one input.

    Args:
        tree: the tree to read; it is not changed.
        effort: the compression effort.
        executor: runs the encoders.
        cache: caches their results.
        modules: whether to recompress kernel modules too.
        progress: counts the files.
        limits: limits on parsed input.
    """
    recipe = RECIPES[effort]
    if not recipe.nested:
        return tree
    candidates: dict[bytes, File] = {}
    left_bytes = limits.unpacked_bytes
    for path, node in tree.walk():
        if (
            isinstance(node, File)
            and detect(node.content) is FileKind.GZIP
            and path + CHECKSUM_SUFFIX not in tree
            and (modules or not is_packed_module(path))
            and (size_bytes := declared_bytes(node.content)) <= left_bytes
        ):
            left_bytes -= size_bytes
            candidates[path] = node
    smaller = recompress_all(
        [node.source for node in candidates.values()],
        recipe,
        executor=executor,
        cache=cache,
        progress=progress,
    )
    changed = tree.copy()
    for (path, node), content in zip(candidates.items(), smaller, strict=True):
        if content is not None:
            changed.replace(path, evolve(node, content=content))
    return changed


def cut(
    parts: Sequence[Part], recipe: EffortEncoders
) -> Iterator[tuple[list[Buffer | LazyContent], tuple[Encoder, ...]]]:
    """Yield the pieces of an archive, without its trailer, as contents to join, with encoders."""
    plain = (recipe.plain,)
    text_bytes = SLOW_TEXT_SEGMENT_BYTES if recipe.text else SEGMENT_BYTES
    # Each group is cut by itself, so that a change in one moves no cut in the next.
    for kinds, size_bytes, encoders in (
        (_TEXT_KINDS, text_bytes, recipe.text or plain),
        ((ContentKind.PROGRAM,), SEGMENT_BYTES, recipe.programs or plain),
        ((ContentKind.PACKED,), PACKED_SEGMENT_BYTES, plain),
    ):
        members = (member for part in parts if part.kind in kinds for member in part.members)
        for piece in cut_stably(members, size_bytes):
            yield piece, encoders


def build_archive(tree: Tree) -> bytes:
    """Return the whole archive that :func:`pack_core` packs, uncompressed.

    Raises:
        UnrepresentableError: cpio cannot represent an entry of the tree.
    """
    return join_members([member for part in arrange(tree) for member in part.members])


def cut_stably(
    members: Iterable[CpioMember], size_bytes: int
) -> Iterator[list[Buffer | LazyContent]]:
    """Yield members in pieces of about ``size_bytes``, as contents to load and join.

    Pieces end after members chosen by the hash of their names. An added or longer member moves
    only the cuts next to it, so all other pieces stay the same. A member longer than two pieces is
    cut by itself.
    """
    pieces: list[Buffer | LazyContent] = []
    held = 0
    for member in members:
        if member.size_bytes > 2 * size_bytes:
            if pieces:
                yield pieces
            *whole, pieces = _cut_member(member, size_bytes)
            yield from whole
            held = sum(map(len, pieces))
        else:
            pieces += member.pieces
            held += member.size_bytes
        is_mark = zlib.crc32(member.path) % _MARK_EVERY == 0
        if held >= size_bytes and (is_mark or held >= 2 * size_bytes):
            yield pieces
            pieces, held = [], 0
    if pieces:
        yield pieces


def _cut_member(member: CpioMember, size_bytes: int) -> Iterator[list[Buffer | LazyContent]]:
    content, whole_bytes = member.content, len(member.content)
    yield [member.head, slice_content(content, 0, size_bytes)]
    for start in range(size_bytes, whole_bytes - size_bytes, size_bytes):
        yield [slice_content(content, start, start + size_bytes)]
    last = (whole_bytes - 1) // size_bytes * size_bytes
    yield [slice_content(content, last, whole_bytes), bytes(member.padding_bytes)]


# Measure the effect of unpacking kernel modules, on the modules alone.


@frozen(kw_only=True)
class Unpacking:
    """The effect of unpacking, in bytes.

    Attributes:
        memory_bytes: additional memory that the booted image uses.
        saved_bytes: reduction of the core's size; negative if the core is larger.
    """

    memory_bytes: int = 0
    saved_bytes: int = 0


def measure_unpacking(
    packed: Tree,
    unpacked: Tree,
    *,
    effort: Effort,
    compression: Compression,
    executor: Executor,
) -> Callable[[], Unpacking]:
    """Start to measure the effect of unpacking: compare ``unpacked`` with ``packed``.

    The members that the two trees do not share are compressed by themselves. With gzip they are cut
    as in the core and encoded with the effort's plain encoder; slow encoders are not used. With any
    other compression, the members of each tree are compressed in one piece. The result does not
    include similarity to neighbouring members or the effect on indexes.

    Args:
        packed: a root file system.
        unpacked: the same with some files replaced.
        effort: the effort for the core.
        compression: the compression of the core.
        executor: runs the encoders.

    Returns:
        A function that waits for the result and returns it.
    """
    recipe = RECIPES[effort]
    encode: Callable[[bytes], bytes] = (
        recipe.plain.encode
        if compression is Compression.GZIP
        else partial(compress, compression=compression)
    )
    sizes = []
    for tree, other in ((packed, unpacked), (unpacked, packed)):
        pieces = [
            b"".join(map(loaded, buffers))
            for buffers, _encoders in cut(_parts_beyond(tree, other), recipe)
        ]
        if compression is not Compression.GZIP:
            pieces = [b"".join(pieces)]
        sizes.append(executor.submit(_encoded_bytes, pieces, encode))
    memory_bytes = content_bytes(unpacked) - content_bytes(packed)

    def result() -> Unpacking:
        packed_bytes, unpacked_bytes = map(result_of, sizes)
        return Unpacking(memory_bytes=memory_bytes, saved_bytes=packed_bytes - unpacked_bytes)

    return result


def _parts_beyond(tree: Tree, other: Tree) -> list[Part]:
    """Return the parts of a core's archive, with only the members that ``other`` lacks by name."""
    return [
        evolve(part, members=tuple(member for member in part.members if member.path not in other))
        for part in arrange(tree)
    ]


def _encoded_bytes(pieces: Sequence[bytes], encode: Callable[[bytes], bytes]) -> int:
    """Return the total encoded size. Runs in an executor: only the number is sent back."""
    return sum(len(encode(piece)) for piece in pieces)
