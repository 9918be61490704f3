"""Make the links to libraries and the loader's cache in a root file system."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from purekernel.errors import InputError, UsageError, inside
from purekernel.formats.ld_cache import (
    CacheFormat,
    LdCache,
    LdCacheEntry,
    list_ld_cache,
    parse_ld_cache,
)
from purekernel.host.addresses import load_address
from purekernel.input import Input
from purekernel.rootfs.ldconfig import ARCHITECTURES, Configured, ldconfig
from purekernel.tools.roots import open_noted_root, save_changed
from purekernel.tree import File, Tree, resolve


def run_ldconfig(
    root_place: str,
    *,
    folders: Sequence[str],
    configuration: str,
    cache: str,
    only: bool,
    no_cache: bool,
    no_links: bool,
    form: str | None,
    architecture: str | None,
    glibc: str | None,
    generator: str | None,
    output: Path | None,
    timestamp: int | None,
    drop_boot: bool,
    max_unpacked: int | None,
    note: Callable[[str], None],
) -> Configured:
    """Make links and cache, write the root file system, and return what was done.

    Args:
        root_place: the root file system.
        folders: more folders to search.
        configuration: the file that lists the folders to search.
        cache: the path of the cache.
        only: search only ``folders``, and write no cache.
        no_cache: write no cache.
        no_links: make no links.
        form: the format of the cache, a value of :class:`CacheFormat`.
        architecture: a key of ``ARCHITECTURES``.
        glibc: the release whose rules to follow, such as ``2.31``.
        generator: the generator that the cache names.
        output: the archive or ISO to write; ``None`` to replace the old one.
        timestamp: the time of new files, in seconds since 1970, UTC.
        drop_boot: whether to drop boot methods that cannot be written.
        max_unpacked: the maximum unpacked size of the root file system, in bytes.
        note: called with each warning, one line.

    Raises:
        UsageError: ``only`` is set without folders, or ``glibc`` is invalid.
        PurekernelError: the root file system cannot be read, configured or written.
    """
    root = open_noted_root(
        root_place, note=note, timestamp=timestamp, drop_boot=drop_boot, max_unpacked=max_unpacked
    )
    if only and not folders:
        raise UsageError("-n requires a folder", hint="add the folders to search")
    done = ldconfig(
        root.tree,
        mtime=root.mtime,
        architecture=None if architecture is None else ARCHITECTURES[architecture],
        release=None if glibc is None else _release(glibc),
        format=None if form is None else CacheFormat(form),
        generator=None if generator is None else os.fsencode(generator),
        folders=[_absolute(folder) for folder in folders],
        configuration=None if only else _absolute(configuration),
        cache=None if only or no_cache else _absolute(cache).lstrip(b"/"),
        links=not no_links,
        stale=root.is_whole,
    )
    for warning in done.warnings:
        note(warning)
    save_changed(root, done.tree, output, note=note)
    return done


def load_cache(
    cache: str,
    root_place: str | None,
    *,
    note: Callable[[str], None],
    timestamp: int | None = None,
    drop_boot: bool = False,
    max_unpacked: int | None = None,
    **_options: Any,
) -> LdCache:
    """Return the cache at a path of a root file system, or at an address for ``None``.

    Raises:
        InputError: the cache is missing.
        FormatError: it is damaged.
    """
    if root_place is None:
        return parse_ld_cache(load_address(cache))
    root = open_noted_root(
        root_place, note=note, timestamp=timestamp, drop_boot=drop_boot, max_unpacked=max_unpacked
    )
    with inside(root_place):
        return parse_ld_cache(Input(_content(root.tree, cache), name=cache))


def render_cache(cache: LdCache, *, name: str) -> list[bytes]:
    """Return the lines that ``ldconfig -p`` prints about a cache with the path ``name``."""
    return list_ld_cache(cache, name=os.fsencode(name))


def list_links(done: Configured) -> list[bytes]:
    """Return the lines that ``ldconfig -v`` prints, without their ends.

    Source: glibc 2.36, elf/ldconfig.c.
    """
    lines = []
    for searched in done.searched:
        folder = searched.folder
        hwcap = b""
        if folder.hwcaps is not None:
            hwcap = b' (hwcap: "' + folder.hwcaps + b'")'
        elif searched.hwcap:
            hwcap = b" (hwcap: 0x%016x)" % searched.hwcap
        lines.append(folder.path + b":" + hwcap + b" (from " + folder.origin + b")")
        for link in searched.links:
            state = b" (" + link.state.value.encode() + b")" if link.state.value else b""
            lines.append(b"\t" + link.soname + b" -> " + link.name + state)
    return lines


def describe_cache(cache: LdCache) -> dict[str, object]:
    """Return the JSON of a cache."""
    return {"generator": cache.generator or None, "entries": _entries(cache.entries)}


def describe_links(done: Configured) -> dict[str, object]:
    """Return the JSON of a run."""
    return {
        "glibc": ".".join(map(str, done.release)),
        "folders": [
            {
                "path": searched.folder.path,
                "origin": searched.folder.origin,
                "links": [
                    {"soname": link.soname, "file": link.name, "state": link.state.value or "kept"}
                    for link in searched.links
                ],
            }
            for searched in done.searched
        ],
        "entries": _entries(done.entries),
    }


def _entries(entries: Sequence[LdCacheEntry]) -> list[dict[str, object]]:
    return [
        {"name": entry.name, "path": entry.path, "flags": entry.flags, "hwcaps": entry.hwcaps}
        for entry in entries
    ]


def _release(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})(\.[0-9]+)?", text)
    if match is None:
        raise UsageError(
            f"--glibc: must be a release of glibc, got {text!r}",
            hint="use two numbers, such as 2.31",
        )
    return int(match[1]), int(match[2])


def _absolute(path: str) -> bytes:
    return b"/" + os.fsencode(path).lstrip(b"/")


def _content(tree: Tree, path: str) -> bytes:
    node = tree.get(resolve(tree, os.fsencode(path)))
    if not isinstance(node, File):
        raise InputError(
            f"the cache {path} is missing", hint="write it with ldconfig, or set its path with -C"
        )
    return bytes(node.content)
