"""Pack a root file system into the core: one cpio archive in one gzip member."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from enum import IntEnum
from functools import partial
from io import SEEK_END, BytesIO

from attrs import evolve, frozen

from purekernel.encode.cache import Cache
from purekernel.encode.encoders import RECIPES, Effort, Encoder, Libdeflate, Recipe
from purekernel.encode.nested import is_gzip, recompress_all
from purekernel.encode.segments import Segment, deflate_segments
from purekernel.formats import gzip
from purekernel.formats.compress import compress
from purekernel.formats.compression import BZIP2_MAGIC, XZ_MAGIC, ZSTD_MAGIC
from purekernel.formats.cpio import Member, build_trailer, iter_members, join_members
from purekernel.formats.elf import is_elf
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.initramfs import Compression
from purekernel.formats.squashfs import MAGIC as SQUASHFS_MAGIC
from purekernel.rootfs.modules import is_packed_module
from purekernel.tree import Buffer, Directory, File, Node, Symlink, Tree, content_bytes
from purekernel.tree.path import parent

# A segment of so many bytes is long enough to lose little by knowing nothing of the one before, and
# short enough that there are some for every processor. It goes on to the next member that is a
# mark, and to no more than about twice as many. What is packed already has nothing to lose.
SEGMENT_BYTES, PACKED_SEGMENT_BYTES = 512 << 10, 2 << 20


# Text is what overlays change, and slow encoders take seconds for what others do at once.
SLOW_TEXT_SEGMENT_BYTES = 96 << 10
_MARK_EVERY = 4


# In which order the members of the core stand, and where it is cut: so that it gets small.
#
# Like stands beside like, for deflate finds nothing again that lies more than 32 KiB back. What is
# packed already comes last, where slow encoders do not waste their time on it.


class Kind(IntEnum):
    """What a member is, in the order of the archive."""

    EMPTY = 0
    """Folders, devices, links, and files with nothing in them: parents come first of all."""
    TEXT = 1
    OTHER = 2
    PROGRAM = 3
    PACKED = 4


@frozen(kw_only=True)
class Part:
    """Members of one kind, in order."""

    kind: Kind
    members: tuple[Member, ...]


def arrange(tree: Tree) -> list[Part]:
    """Return the members of the core's archive, all but the trailer, kind by kind.

    Within a kind they stand beside what is like them, and else as the tree is walked, so that the
    archive is the same every time.

    Raises:
        UnrepresentableError: the archive has no room for something in the tree.
    """
    *members, _trailer = iter_members(tree)
    found: dict[Kind, list[Member]] = {kind: [] for kind in Kind}
    for member in members:
        is_file = isinstance(tree[member.path], File)
        found[_kind_of(member.content) if is_file else Kind.EMPTY].append(member)
    found[Kind.EMPTY].sort(key=lambda member: _likeness_of_empty(member, tree[member.path]))
    found[Kind.TEXT].sort(key=lambda member: _interpreter(member.content))
    found[Kind.PROGRAM].sort(key=lambda member: (parent(member.path), len(member.content)))
    return [Part(kind=kind, members=tuple(of_kind)) for kind, of_kind in found.items() if of_kind]


def _likeness_of_empty(member: Member, node: Node) -> tuple[int, bytes, int]:
    """Folders as they are walked, parents first; links to the same beside each other."""
    if isinstance(node, Directory):
        return 0, b"", 0
    if isinstance(node, Symlink):
        return 1, node.target, len(member.path)
    return 2, b"", 0


def _interpreter(content: Buffer) -> bytes:
    """Return who runs a script, by its first line; of what is none, what comes last."""
    head = bytes(content[:_INTERPRETER_BYTES])
    return head.split(maxsplit=1)[0] if head.startswith(b"#!/") else b"\xff"


def _kind_of(content: Buffer) -> Kind:
    head = bytes(content[:8])
    if not head:
        return Kind.EMPTY
    if is_elf(head):
        return Kind.PROGRAM
    if _is_packed(content, head):
        return Kind.PACKED
    return Kind.OTHER if b"\0" in bytes(content[:_TEXT_BYTES]) else Kind.TEXT


def _is_packed(content: Buffer, head: bytes) -> bool:
    if not head.startswith(_PACKED) and len(content) < _TRIAL_BYTES:
        return False
    middle = max(len(content) // 2, _TRIAL_BYTES)
    sample = bytes(content[:_TRIAL_BYTES]) + bytes(content[middle : middle + _TRIAL_BYTES])
    return len(_TRIAL.encode(sample)) > _SHRINKS * len(sample)


_TEXTS = (Kind.EMPTY, Kind.TEXT, Kind.OTHER)


# What Tiny Core's mirrors keep a file's MD5 in.
CHECKSUM_SUFFIX = b".md5.txt"


# What files begin with that are packed, or hold little else: gzip, xz, bzip2, zstd, lz4, squashfs,
# PNG, JPEG, zip, 7z, WOFF2.
_PACKED = (
    GZIP_MAGIC, XZ_MAGIC, BZIP2_MAGIC, ZSTD_MAGIC, b"\x04\x22\x4d\x18", SQUASHFS_MAGIC,
    b"\x89PNG", b"\xff\xd8\xff", b"PK\x03\x04", b"7z\xbc\xaf", b"wOF2",
)  # fmt: skip


# What is tried on a file whose start does not tell: pieces from its start and from its middle.
_TRIAL_BYTES = 1 << 14
_TRIAL = Libdeflate(level=1)


# What shrinks by less than this is packed, whatever it calls itself.
_SHRINKS = 0.97


# How much of a script tells its interpreter.
_INTERPRETER_BYTES = 64


# A text has no NUL so near its start.
_TEXT_BYTES = 1 << 10


@frozen(kw_only=True)
class PackedCore:
    """A core, packed.

    Attributes:
        data: the gzip file.
        cpio_bytes: the archive's size.
    """

    data: bytes
    cpio_bytes: int


def pack_core(
    tree: Tree, *, effort: Effort, executor: Executor, cache: Cache | None = None
) -> PackedCore:
    """Return ``tree`` packed: the same bytes whatever the executor and the cache.

    Raises:
        UnrepresentableError: the archive has no room for something in the tree.
    """
    archive = _Archive(tree, RECIPES[effort])
    # Written as it is made: in pieces first and then joined, it would be in memory twice.
    packed = BytesIO(gzip.build_header())
    packed.seek(0, SEEK_END)
    deflate_segments(archive.segments(), write=packed.write, executor=executor, cache=cache)
    packed.write(gzip.build_trailer(archive.crc32, archive.size_bytes))
    return PackedCore(data=packed.getvalue(), cpio_bytes=archive.size_bytes)


class _Archive:
    """The core's archive under way.

    Attributes:
        crc32: of what was given away.
        size_bytes: of it.
    """

    def __init__(self, tree: Tree, recipe: Recipe) -> None:
        self._parts = arrange(tree)
        self._recipe = recipe
        self.crc32 = 0
        self.size_bytes = 0

    def segments(self) -> Iterator[Segment]:
        """Yield the archive in segments; none is kept."""
        last = b""
        encoders: tuple[Encoder, ...] = (self._recipe.plain,)
        for following, following_encoders in cut(self._parts, self._recipe):
            if last:
                yield self._segment(last, encoders)
            last, encoders = following, following_encoders
        trailer = build_trailer(self.size_bytes + len(last))
        yield self._segment(last + trailer, encoders)

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
) -> Tree:
    """Return ``tree`` with the gzip files in it made smaller, where the effort goes so far.

    What each unpacks to stays, and so do its name, its time and all else in its header. A file
    beside which its MD5 lies is somebody's business, and stays as it is.

    Args:
        tree: is left as it is.
        effort: how much is done.
        executor: what runs the encoders.
        cache: what remembers their results.
        modules: whether kernel modules are among them.
    """
    recipe = RECIPES[effort]
    if not recipe.nested:
        return tree
    found = {
        path: node
        for path, node in tree.walk()
        if isinstance(node, File)
        and is_gzip(node.content)
        and path + CHECKSUM_SUFFIX not in tree
        and (modules or not is_packed_module(path))
    }
    smaller = recompress_all(
        [node.content for node in found.values()], recipe, executor=executor, cache=cache
    )
    changed = tree.copy()
    for (path, node), content in zip(found.items(), smaller, strict=True):
        if content is not None:
            changed.replace(path, evolve(node, content=content))
    return changed


def cut(parts: Sequence[Part], recipe: Recipe) -> Iterator[tuple[bytes, tuple[Encoder, ...]]]:
    """Yield the pieces of an archive but for its trailer, and of each what encodes it."""
    plain = (recipe.plain,)
    text_bytes = SLOW_TEXT_SEGMENT_BYTES if recipe.text else SEGMENT_BYTES
    # Each is cut by itself: a change in what comes first moves no cut in what comes next.
    for kinds, size_bytes, encoders in (
        (_TEXTS, text_bytes, recipe.text or plain),
        ((Kind.PROGRAM,), SEGMENT_BYTES, recipe.programs or plain),
        ((Kind.PACKED,), PACKED_SEGMENT_BYTES, plain),
    ):
        members = (member for part in parts if part.kind in kinds for member in part.members)
        for piece in cut_stably(members, size_bytes):
            yield piece, encoders


def build_archive(tree: Tree) -> bytes:
    """Return the archive that :func:`pack_core` packs, for what compresses it whole.

    Raises:
        UnrepresentableError: the archive has no room for something in the tree.
    """
    return join_members([member for part in arrange(tree) for member in part.members])


def cut_stably(members: Iterable[Member], size_bytes: int) -> Iterator[bytes]:
    """Yield members in pieces of about ``size_bytes``, cut between those whose names say so.

    So a member more, or one that is longer, moves no cut but those next to it, and all other pieces
    are what they were. A member that is longer than two pieces is cut by itself.
    """
    pieces: list[Buffer] = []
    held = 0
    for member in members:
        if member.size_bytes > 2 * size_bytes:
            if pieces:
                yield b"".join(pieces)
            *whole, rest = _cut_member(member, size_bytes)
            yield from whole
            pieces, held = [rest], len(rest)
        else:
            pieces += member.pieces
            held += member.size_bytes
        is_mark = zlib.crc32(member.path) % _MARK_EVERY == 0
        if held >= size_bytes and (is_mark or held >= 2 * size_bytes):
            yield b"".join(pieces)
            pieces, held = [], 0
    if pieces:
        yield b"".join(pieces)


def _cut_member(member: Member, size_bytes: int) -> Iterator[bytes]:
    view = memoryview(member.content)
    yield b"".join((member.head, view[:size_bytes]))
    for start in range(size_bytes, len(view) - size_bytes, size_bytes):
        yield bytes(view[start : start + size_bytes])
    last = (len(view) - 1) // size_bytes * size_bytes
    yield b"".join((view[last:], bytes(member.padding_bytes)))


# What it gives and what it costs that kernel modules are unpacked, measured on them alone.


@frozen(kw_only=True)
class Unpacking:
    """What came of unpacking, in bytes.

    Attributes:
        memory_bytes: how much memory more an image takes, once booted.
        saved_bytes: how much smaller its core is; less than 0 where it is larger.
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
    """Begin to measure what ``unpacked`` gives and costs beside ``packed``.

    The members of the archive that the two do not share are compressed by themselves, as the core
    is: with another compression than gzip just so, those of either tree in one piece; with gzip cut
    as the core is, by what the effort encodes most with, which slow encoders are left out of. What
    they win from the members beside them, and what it makes of indexes, is not in it.

    Args:
        packed: a root file system.
        unpacked: the same with other files in the place of some.
        effort: the effort for the core.
        compression: of the core.
        executor: what runs the encoders.

    Returns:
        What waits for the result and returns it.
    """
    recipe = RECIPES[effort]
    encode: Callable[[bytes], bytes] = (
        recipe.plain.encode
        if compression is Compression.GZIP
        else partial(compress, compression=compression)
    )
    sizes = []
    for tree, other in ((packed, unpacked), (unpacked, packed)):
        pieces = [piece for piece, _encoders in cut(_parts_beyond(tree, other), recipe)]
        if compression is not Compression.GZIP:
            pieces = [b"".join(pieces)]
        sizes.append(executor.submit(_encoded_bytes, pieces, encode))
    memory_bytes = content_bytes(unpacked) - content_bytes(packed)

    def result() -> Unpacking:
        packed_bytes, unpacked_bytes = (size.result() for size in sizes)
        return Unpacking(memory_bytes=memory_bytes, saved_bytes=packed_bytes - unpacked_bytes)

    return result


def _parts_beyond(tree: Tree, other: Tree) -> list[Part]:
    """Return those of a core's members whose names ``other`` does not have, as they stand there."""
    return [
        evolve(part, members=tuple(member for member in part.members if member.path not in other))
        for part in arrange(tree)
    ]


def _encoded_bytes(pieces: Sequence[bytes], encode: Callable[[bytes], bytes]) -> int:
    """Return what pieces come to, for an executor: only the number travels back."""
    return sum(len(encode(piece)) for piece in pieces)
