"""Build squashfs images from trees, for ``mksquashfs`` and ``recompress``."""

from __future__ import annotations

from concurrent.futures import Executor
from enum import Enum

from attrs import evolve

from purekernel.encode.blocks import DEFLATERS
from purekernel.encode.encoders import Effort
from purekernel.formats.lz4 import require_lz4
from purekernel.formats.squashfs import Options, build_squashfs, open_squashfs, parse_squashfs
from purekernel.formats.squashfs.codecs import GZIP, NAMES, Codec, lz4_codec, xz_codec, zstd_codec
from purekernel.formats.squashfs.layout import SuperblockFlag
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.tree import Buffer, Tree


class SquashfsCompression(Enum):
    """The compressors of squashfs blocks, by the names that mksquashfs uses."""

    GZIP = "gzip"
    XZ = "xz"
    LZ4 = "lz4"
    ZSTD = "zstd"


# Higher levels gain little: 19 takes half the time of 22.
_ZSTD_LEVELS = {Effort.FAST: 15, Effort.BALANCED: 19, Effort.MAX: 22}


def make_codec(compression: SquashfsCompression, effort: Effort, block_bytes: int) -> Codec:
    """Return the codec for blocks of at most ``block_bytes``.

    Raises:
        LibraryError: the optional package that the compression needs is missing.
    """
    if compression is SquashfsCompression.XZ:
        return xz_codec(block_bytes, is_extreme=effort is not Effort.FAST)
    if compression is SquashfsCompression.LZ4:
        require_lz4()
        return lz4_codec(is_small=effort is not Effort.FAST)
    if compression is SquashfsCompression.ZSTD:
        return zstd_codec(_ZSTD_LEVELS[effort])
    return Codec(compression=GZIP, pack=DEFLATERS[effort])


def rebuild_image(
    old: Buffer,
    tree: Tree,
    *,
    source: str,
    effort: Effort,
    executor: Executor,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """Return ``tree`` as an image with the block size, compression, time and tables of ``old``.

    Any kernel that mounts ``old`` can mount the new image.

    Raises:
        FormatError: ``old`` is not a valid image.
        LimitError: ``old`` exceeds ``limits``.
    """
    codec, options = _like(old, source, effort, limits)
    return build_squashfs(tree, codec=codec, executor=executor, options=options)


def recompress_image(
    data: Buffer,
    *,
    source: str,
    effort: Effort,
    executor: Executor,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes | None:
    """Return a smaller image of the same tree.

    Compression, block size, time and export table do not change, so any kernel that mounts the old
    image can mount the new one.

    Returns:
        The smaller image, which was read back and compared; ``None`` if it is not smaller.

    Raises:
        FormatError: ``data`` is not a valid image.
        LimitError: ``data`` exceeds ``limits``.
    """
    codec, options = _like(data, source, effort, limits)
    tree = parse_squashfs(Input(data, name=source, limits=limits))
    # Try with and without tail packing: dissimilar tails compress better on their own.
    new_image = min(
        (
            build_squashfs(
                tree, codec=codec, executor=executor, options=evolve(options, tails=tails)
            )
            for tails in (True, False)
        ),
        key=len,
    )
    if parse_squashfs(Input(new_image, name="a new image", limits=limits)) != tree:
        raise AssertionError  # a bug of ours; the old image is kept
    return new_image if len(new_image) < len(data) else None


def _like(data: Buffer, source: str, effort: Effort, limits: Limits) -> tuple[Codec, Options]:
    """Return the codec and options of the image ``data``."""
    facts = open_squashfs(Input(data, name=source, limits=limits)).facts
    options = Options(
        block_bytes=facts.block_bytes,
        mkfs_time=facts.mkfs_time,
        exports=bool(facts.flags & SuperblockFlag.EXPORTABLE),
        xattrs=not facts.flags & SuperblockFlag.NO_XATTRS,
        tails=not facts.flags & SuperblockFlag.NO_FRAGMENTS,
    )
    codec = make_codec(SquashfsCompression(NAMES[facts.compression]), effort, facts.block_bytes)
    return codec, options
