"""Pack a root file system into the core: one cpio archive in one gzip member."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

from attrs import evolve, frozen

from purekernel.build.arrangement import Kind, Part, arrange
from purekernel.deflate.cache import Cache
from purekernel.deflate.efforts import RECIPES, Effort, Recipe
from purekernel.deflate.nested import is_gzip, recompress_all
from purekernel.deflate.segments import Segment, deflate_segments
from purekernel.formats.cpio import Member, build_trailer, join_members
from purekernel.formats.gzip import build_gzip
from purekernel.rootfs.packed_modules import is_packed_module
from purekernel.tree import File, Tree

# A segment of so many bytes is long enough to lose little by knowing nothing of the one before, and
# short enough that there are some for every processor. It goes on to the next member that is a
# mark, and to no more than twice as many.
SEGMENT_BYTES = 1 << 20
_MARK_EVERY = 4

# What is cut together: a change in what comes first moves no cut in what comes next.
_SEGMENTED = ((Kind.EMPTY, Kind.TEXT, Kind.OTHER), (Kind.PROGRAM,))

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
    recipe = RECIPES[effort]
    pieces = list(_cut(arrange(tree), recipe))
    size_bytes = sum(len(piece) for piece, _shrinks in pieces)
    trailer = build_trailer(size_bytes)
    last, shrinks = pieces.pop()
    pieces.append((last + trailer, shrinks))
    crc32 = 0
    for piece, _shrinks in pieces:
        crc32 = zlib.crc32(piece, crc32)
    segments = [
        Segment(data=piece, encoders=recipe.slow if shrinks and recipe.slow else (recipe.plain,))
        for piece, shrinks in pieces
    ]
    stream = deflate_segments(segments, executor=executor, cache=cache)
    cpio_bytes = size_bytes + len(trailer)
    return PackedCore(
        data=build_gzip(stream, crc32=crc32, size_bytes=cpio_bytes), cpio_bytes=cpio_bytes
    )


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


def _cut(parts: Sequence[Part], recipe: Recipe) -> Iterator[tuple[bytes, bool]]:
    """Yield pieces of the archive, and of each whether slow encoders are tried on it."""
    if not recipe.slow:
        yield join_members(member for part in parts for member in part.members), False
        return
    for kinds in _SEGMENTED:
        members = [member for part in parts if part.kind in kinds for member in part.members]
        yield from ((piece, True) for piece in cut_stably(members))
    packed = [member for part in parts if part.kind is Kind.PACKED for member in part.members]
    if packed:
        yield join_members(packed), False


def cut_stably(members: Sequence[Member]) -> Iterator[bytes]:
    """Yield members in pieces, cut between members where their names say so.

    So a member more, or one that is longer, moves no cut but those next to it, and all other pieces
    are what they were.
    """
    piece: list[Member] = []
    size_bytes = 0
    for member in members:
        piece.append(member)
        size_bytes += member.size_bytes
        is_mark = zlib.crc32(member.path) % _MARK_EVERY == 0
        if size_bytes >= SEGMENT_BYTES and (is_mark or size_bytes >= 2 * SEGMENT_BYTES):
            yield join_members(piece)
            piece, size_bytes = [], 0
    if piece:
        yield join_members(piece)
