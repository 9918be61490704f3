"""Recompress gzip files and squashfs images in place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path

from purekernel.encode.encoders import Effort, Encoder, Libdeflate, Stored, Zopfli
from purekernel.encode.recompress import recompress
from purekernel.encode.squashfs import recompress_image
from purekernel.errors import OutputError, PurekernelError
from purekernel.formats.tinycore import build_md5
from purekernel.host.read import load_file
from purekernel.host.write import publish, resolved, write_whole
from purekernel.input import Limits, limits_of
from purekernel.records import frozen
from purekernel.repos.tinycore import MD5
from purekernel.threads import running_executor


@frozen(kw_only=True)
class RecompressedImage:
    """A file that was recompressed, or is unchanged because it would become larger.

    Attributes:
        path: the file.
        old_bytes: its size before, in bytes.
        new_bytes: its size now.
        larger_bytes: the size of the larger result that was not written; else ``None``.
    """

    path: Path
    old_bytes: int
    new_bytes: int
    larger_bytes: int | None = None


def recompress_gzip_files(
    paths: Iterable[Path],
    *,
    level: int,
    iterations: int,
    is_forced: bool,
    max_unpacked: int | None,
) -> Iterator[RecompressedImage | PurekernelError]:
    """Recompress gzip files in place; yield a result or an error for each.

    Args:
        paths: the files.
        level: advdef's, from 0 (store) to 4 (with zopfli).
        iterations: how many iterations zopfli makes.
        is_forced: write the result even if it is larger; always so for level 0.
        max_unpacked: the maximum unpacked size of a file, in bytes; ``None`` for the default.
    """
    encoders = _encoders(level, iterations)
    limits = limits_of(max_unpacked)
    for path in paths:
        try:
            yield _recompress_gzip(path, encoders, is_forced=is_forced or not level, limits=limits)
        except PurekernelError as error:
            yield error


def _encoders(level: int, iterations: int) -> tuple[Encoder, ...]:
    known: tuple[tuple[Encoder, ...], ...] = (
        (Stored(),),
        (Libdeflate(level=1),),
        (Libdeflate(level=6),),
        (Libdeflate(),),
        (Libdeflate(), Zopfli(iterations=iterations)),
    )
    return known[level]


def _recompress_gzip(
    path: Path, encoders: tuple[Encoder, ...], *, is_forced: bool, limits: Limits
) -> RecompressedImage:
    old = load_file(path, limits=limits)
    done = recompress(old, encoders, source=str(path), is_forced=is_forced, limits=limits)
    if done.data != old:
        try:
            write_whole(path, done.data)
        except OutputError as error:
            raise OutputError(
                error.message, hint="the file is unchanged; check its folder and the free space"
            ) from None
    is_larger = done.data == old and done.fresh_bytes > len(old)
    return RecompressedImage(
        path=path,
        old_bytes=len(old),
        new_bytes=len(done.data),
        larger_bytes=done.fresh_bytes if is_larger else None,
    )


def recompress_images(
    paths: Iterable[Path], *, effort: str, jobs: int | None, max_unpacked: int | None
) -> Iterator[RecompressedImage | PurekernelError]:
    """Recompress squashfs images in place, with their MD5 files; yield a result or an error each.

    Args:
        paths: the images.
        effort: a value of :class:`Effort`.
        jobs: how many blocks to compress at once; ``None`` for one per processor.
        max_unpacked: the maximum unpacked size of an image, in bytes; ``None`` for the default.
    """
    limits = limits_of(max_unpacked)
    with running_executor(jobs=jobs) as executor:
        for path in paths:
            try:
                yield _recompress_image(path, Effort(effort), executor, limits)
            except PurekernelError as error:
                yield error


def _recompress_image(
    path: Path, effort: Effort, executor: Executor, limits: Limits
) -> RecompressedImage:
    old = load_file(path, limits=limits)
    new = recompress_image(old, source=str(path), effort=effort, executor=executor, limits=limits)
    if new is None:
        return RecompressedImage(path=path, old_bytes=len(old), new_bytes=len(old))
    target = resolved(path)
    # Tiny Core checks downloads against MD5.
    digest = hashlib.md5(new, usedforsecurity=False).hexdigest()
    contents = {target.name: new, target.name + MD5: build_md5(digest, target.name)}
    publish(target.parent, contents, mode=target.stat().st_mode & 0o7777)
    return RecompressedImage(path=path, old_bytes=len(old), new_bytes=len(new))
