"""Run ``purekernel cache``: show and clear the encode cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from purekernel.cli.parameters import PathParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.cli.terminal import megabytes

if TYPE_CHECKING:
    from purekernel.encode.disk_cache import EncodedCache, Usage

_FOLDER = click.option(
    "--cache-dir",
    type=PathParameter(),
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
@reports
def info_command(printer: Printer, *, cache_dir: Path | None) -> None:
    """Print the folder of the cache, and its size."""
    cache = _open(cache_dir)
    usage = cache.usage()
    printer.document["folder"] = str(cache.folder)
    _report(printer, f"{cache.folder}: ", usage)


@cache_command.command("prune")
@_FOLDER
@click.option(
    "--max-size", type=Size(), default="1G", show_default=True, help="The maximum size to keep."
)
@reports
def prune_command(printer: Printer, *, cache_dir: Path | None, max_size: int) -> None:
    """Delete the least recently used entries until at most --max-size is left."""
    _report(printer, "deleted: ", _open(cache_dir).prune(max_size))


@cache_command.command("clear")
@_FOLDER
@reports
def clear_command(printer: Printer, *, cache_dir: Path | None) -> None:
    """Delete all entries."""
    _report(printer, "deleted: ", _open(cache_dir).clear())


def _open(cache_dir: Path | None) -> EncodedCache:
    from purekernel.encode.disk_cache import EncodedCache  # noqa: PLC0415  # too slow for --help

    return EncodedCache(cache_dir)


def _report(printer: Printer, words: str, usage: Usage) -> None:
    printer.document |= {"files": usage.files, "bytes": usage.size_bytes}
    printer.text(f"{words}{usage.files} files, {megabytes(usage.size_bytes)}")
