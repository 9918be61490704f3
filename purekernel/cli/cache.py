"""Run ``purekernel cache``: show and clear the encode cache."""

from __future__ import annotations

from pathlib import Path

import click

from purekernel.cli.parameters import Place, Size

_FOLDER = click.option(
    "--cache-dir",
    type=Place(),
    envvar="PUREKERNEL_CACHE",
    show_envvar=True,
    help="The folder of the caches.  [default: the user's cache folder]",
)


@click.group("cache", short_help="Show and clear the cache of builds.", no_args_is_help=True)
def cache_command() -> None:
    """Show and clear the cache of encoded bytes, which makes a second build fast.

    Every entry may be deleted at any time; the next build encodes it again. Downloads are in a
    folder beside it, and are not changed.
    """


@cache_command.command("info")
@_FOLDER
def info_command(*, cache_dir: Path | None) -> None:
    """Print the folder of the cache, and its size."""
    from purekernel.cli.drawing import megabytes  # noqa: PLC0415  # too slow for --help
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.encode.disk_cache import EncodedCache  # noqa: PLC0415

    cache = EncodedCache(cache_dir)
    usage = cache.usage()
    say(f"{cache.folder}: {usage.files} files, {megabytes(usage.size_bytes)}")


@cache_command.command("prune")
@_FOLDER
@click.option(
    "--max-size", type=Size(), default="1G", show_default=True, help="The maximum size to keep."
)
def prune_command(*, cache_dir: Path | None, max_size: int) -> None:
    """Delete the least recently used entries until at most --max-size is left."""
    from purekernel.cli.drawing import megabytes  # noqa: PLC0415  # too slow for --help
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.encode.disk_cache import EncodedCache  # noqa: PLC0415

    deleted = EncodedCache(cache_dir).prune(max_size)
    say(f"deleted: {deleted.files} files, {megabytes(deleted.size_bytes)}")


@cache_command.command("clear")
@_FOLDER
def clear_command(*, cache_dir: Path | None) -> None:
    """Delete all entries."""
    from purekernel.cli.drawing import megabytes  # noqa: PLC0415  # too slow for --help
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.encode.disk_cache import EncodedCache  # noqa: PLC0415

    deleted = EncodedCache(cache_dir).clear()
    say(f"deleted: {deleted.files} files, {megabytes(deleted.size_bytes)}")
