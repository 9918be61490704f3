"""Pack a root file system into the core: one cpio archive in one gzip member."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from io import SEEK_END, BytesIO

from attrs import evolve, frozen

from purekernel.build.arrangement import Kind, Part, arrange
from purekernel.encode.cache import Cache
from purekernel.encode.encoders import RECIPES, Effort, Encoder, Recipe
from purekernel.encode.nested import is_gzip, recompress_all
from purekernel.encode.segments import Segment, deflate_segments
from purekernel.formats import gzip
from purekernel.formats.cpio import Member, build_trailer, join_members
from purekernel.rootfs.packed_modules import is_packed_module
from purekernel.tree import Buffer, File, Tree

# A segment of so many bytes is long enough to lose little by knowing nothing of the one before, and
# short enough that there are some for every processor. It goes on to the next member that is a
# mark, and to no more than about twice as many. What is packed already has nothing to lose.
SEGMENT_BYTES, PACKED_SEGMENT_BYTES = 512 << 10, 2 << 20
# Text is what overlays change, and slow encoders take seconds for what others do at once.
SLOW_TEXT_SEGMENT_BYTES = 96 << 10
_MARK_EVERY = 4

_TEXTS = (Kind.EMPTY, Kind.TEXT, Kind.OTHER)

# What Tiny Core's mirrors keep a file's MD5 in.
CHECKSUM_SUFFIX = b".md5.txt"


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
