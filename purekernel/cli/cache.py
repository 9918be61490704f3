"""``purekernel cache``: what is kept between builds, and how to be rid of it."""

from __future__ import annotations

from pathlib import Path

import click

from purekernel.cli.parameters import Place, Size

_FOLDER = click.option(
    "--cache-dir",
    type=Place(),
    envvar="PUREKERNEL_CACHE",
    show_envvar=True,
    help="Where caches are.  [default: the user's cache folder]",
)


@click.group("cache", short_help="See and clear what is kept between builds.", no_args_is_help=True)
def cache_command() -> None:
    """See and clear the cache of encoded bytes, by which a second build is quick.

    Any of it may go at any time: it costs the time to encode it again. Downloads are kept beside
    it, and are not touched.
    """


@cache_command.command("info")
@_FOLDER
def info_command(*, cache_dir: Path | None) -> None:
    """Print where the cache is, and how much is in it."""
    from purekernel.cli.drawing import megabytes  # noqa: PLC0415  # longer than --help may take
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.encode.disk_cache import EncodedCache  # noqa: PLC0415

    cache = EncodedCache(cache_dir)
    usage = cache.usage()
    say(f"{cache.folder}: {usage.files} files, {megabytes(usage.size_bytes)}")


@cache_command.command("prune")
@_FOLDER
@click.option("--max-size", type=Size(), default="1G", show_default=True, help="How much may stay.")
def prune_command(*, cache_dir: Path | None, max_size: int) -> None:
    """Take away what was used least lately, until no more than --max-size is left."""
    from purekernel.cli.drawing import megabytes  # noqa: PLC0415  # longer than --help may take
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.encode.disk_cache import EncodedCache  # noqa: PLC0415

    taken = EncodedCache(cache_dir).prune(max_size)
    say(f"taken away: {taken.files} files, {megabytes(taken.size_bytes)}")


@cache_command.command("clear")
@_FOLDER
def clear_command(*, cache_dir: Path | None) -> None:
    """Take away all of it."""
    from purekernel.cli.drawing import megabytes  # noqa: PLC0415  # longer than --help may take
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.encode.disk_cache import EncodedCache  # noqa: PLC0415

    taken = EncodedCache(cache_dir).clear()
    say(f"taken away: {taken.files} files, {megabytes(taken.size_bytes)}")
