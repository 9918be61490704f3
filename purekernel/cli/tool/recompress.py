"""Run ``purekernel tool recompress``: make extensions smaller in place."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from purekernel.cli.parameters import Place, Size
from purekernel.cli.tool.mksquashfs import EFFORTS
from purekernel.errors import PurekernelError, raise_all

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from purekernel.encode.encoders import Effort
    from purekernel.input import Limits


@click.command("recompress", short_help="Make extensions (.tcz) smaller in place.")
@click.argument("images", metavar="IMAGE...", type=Place(), nargs=-1, required=True)
@click.option(
    "--effort", type=click.Choice(EFFORTS), default="max", show_default=True,
    help="How much time to spend on a small image.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 1024), metavar="N",
    help="How many blocks to compress at once.  [default: one per processor]",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print no sizes.")
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of an IMAGE.  [default: 1G]"
)
def recompress_command(
    *,
    images: tuple[Path, ...],
    effort: str,
    jobs: int | None,
    quiet: bool,
    max_unpacked: int | None,
) -> None:
    """Recompress each squashfs IMAGE in place, and write IMAGE.md5.txt beside it.

    The new image has the same content, which is checked, the same block size and the same
    compression. An image that would not become smaller is unchanged, and so is its checksum.

    \b
    Examples:
      purekernel tool recompress tce/optional/*.tcz
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.encode.encoders import Effort  # noqa: PLC0415
    from purekernel.input import limits_of  # noqa: PLC0415
    from purekernel.recipe.encoding import Encoding  # noqa: PLC0415

    limits = limits_of(max_unpacked)
    errors = []
    with Encoding(jobs=jobs).running() as executor:
        for path in images:
            try:
                old_bytes, new_bytes = _recompress(path, Effort(effort), executor, limits)
            except PurekernelError as error:
                errors.append(error)
                continue
            if not quiet:
                say(f"{old_bytes:12}{new_bytes:12} {new_bytes * 100 // old_bytes:3}% {path}")
    raise_all(errors)


def _recompress(path: Path, effort: Effort, executor: Executor, limits: Limits) -> tuple[int, int]:
    """Recompress an image; return its old and new size, in bytes."""
    from purekernel.encode.squashfs import recompress_image  # noqa: PLC0415
    from purekernel.formats.tinycore import build_md5  # noqa: PLC0415
    from purekernel.host.read import load_file  # noqa: PLC0415
    from purekernel.host.write import publish, writer_of  # noqa: PLC0415
    from purekernel.repos.tinycore import MD5  # noqa: PLC0415

    old = load_file(path, limits=limits)
    new = recompress_image(old, source=str(path), effort=effort, executor=executor, limits=limits)
    if new is None:
        return len(old), len(old)
    target = path.resolve()
    # Tiny Core checks downloads against MD5.
    digest = hashlib.md5(new, usedforsecurity=False).hexdigest()
    writers = {
        target.name: writer_of(new),
        target.name + MD5: writer_of(build_md5(digest, target.name)),
    }
    publish(target.parent, writers, mode=target.stat().st_mode & 0o7777)
    return len(old), len(new)
