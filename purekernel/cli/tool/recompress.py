"""``purekernel tool recompress``: write extensions again in fewer bytes."""

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
    from purekernel.formats.limits import Limits


@click.command("recompress", short_help="Write extensions (.tcz) again in fewer bytes.")
@click.argument("images", metavar="IMAGE...", type=Place(), nargs=-1, required=True)
@click.option(
    "--effort", type=click.Choice(EFFORTS), default="max", show_default=True,
    help="How much is done for a small image.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 1024), metavar="N",
    help="How many blocks are packed at once.  [default: as many as there are processors]",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print no sizes.")
@click.option("--max-unpacked", type=Size(), help="What an IMAGE may unpack to.  [default: 1G]")
def recompress_command(
    *,
    images: tuple[Path, ...],
    effort: str,
    jobs: int | None,
    quiet: bool,
    max_unpacked: int | None,
) -> None:
    """Write each squashfs IMAGE again where it is, smaller, and IMAGE.md5.txt beside it.

    It holds the same, which was compared, in blocks of the same size, packed with the same. What
    gets no smaller stays as it is, and so does its checksum.

    \b
    Examples:
      purekernel tool recompress tce/optional/*.tcz
    """  # noqa: D301  # click reads the backspace as "keep these lines"
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.encode.encoders import Effort  # noqa: PLC0415
    from purekernel.formats.limits import limits_of  # noqa: PLC0415
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
    """Return an image's old and new size, in bytes."""
    from purekernel.encode.squashfs import recompress_image  # noqa: PLC0415
    from purekernel.formats.tinycore import build_md5  # noqa: PLC0415
    from purekernel.host.read import load_file  # noqa: PLC0415
    from purekernel.host.write import publish, writer_of  # noqa: PLC0415
    from purekernel.repos.tinycore import MD5  # noqa: PLC0415

    old = load_file(path, limits=limits)
    new = recompress_image(old, source=str(path), effort=effort, executor=executor, limits=limits)
    if new is None:
        return len(old), len(old)
    place = path.resolve()
    # MD5 is what Tiny Core has to tell a damaged download by.
    digest = hashlib.md5(new, usedforsecurity=False).hexdigest()
    writers = {
        place.name: writer_of(new),
        place.name + MD5: writer_of(build_md5(digest, place.name)),
    }
    publish(place.parent, writers, mode=place.stat().st_mode & 0o7777)
    return len(old), len(new)
