"""What it gives and what it costs that kernel modules are unpacked, measured on them alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from attrs import evolve, frozen

from purekernel.build.arrangement import Part, arrange
from purekernel.build.core import cut
from purekernel.encode.encoders import RECIPES, Effort
from purekernel.formats.compress import compress
from purekernel.formats.initramfs import Compression
from purekernel.tree import Tree, content_bytes


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
