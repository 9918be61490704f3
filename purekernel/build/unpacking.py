"""What it gives and what it costs that kernel modules are unpacked, measured on them alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from attrs import frozen

from purekernel.deflate.efforts import RECIPES, Effort
from purekernel.formats.compress import compress
from purekernel.formats.cpio import iter_members, join_members
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

    The members of the archive that the two do not share are compressed by themselves, those of
    either tree in one piece, as the core is: with another compression than gzip just so, with gzip
    by what the effort encodes most with, which slow encoders are left out of. What they win from
    the members beside them, and the difference that it makes to indexes, is not in it.

    Args:
        packed: a root file system.
        unpacked: the same with other files in the place of some.
        effort: the effort for the core.
        compression: of the core.
        executor: what runs the encoders.

    Returns:
        What waits for the result and returns it.
    """
    encode: Callable[[bytes], bytes] = (
        RECIPES[effort].plain.encode
        if compression is Compression.GZIP
        else partial(compress, compression=compression)
    )
    sizes = [
        executor.submit(_encoded_bytes, _members_beyond(tree, other), encode)
        for tree, other in ((packed, unpacked), (unpacked, packed))
    ]
    memory_bytes = content_bytes(unpacked) - content_bytes(packed)

    def result() -> Unpacking:
        packed_bytes, unpacked_bytes = (size.result() for size in sizes)
        return Unpacking(memory_bytes=memory_bytes, saved_bytes=packed_bytes - unpacked_bytes)

    return result


def _members_beyond(tree: Tree, other: Tree) -> bytes:
    """Return those members of the archive of ``tree`` whose names ``other`` does not have."""
    *members, _trailer = iter_members(tree)
    return join_members(member for member in members if member.path not in other)


def _encoded_bytes(data: bytes, encode: Callable[[bytes], bytes]) -> int:
    """Return what ``data`` comes to, for an executor: only the number travels back."""
    return len(encode(data))
