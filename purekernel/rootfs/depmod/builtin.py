"""Read the modules that are built into the kernel: modules.builtin and modules.builtin.modinfo.

Source: output_builtin_bin() and output_builtin_alias_bin() in tools/depmod.c of kmod.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from purekernel.formats.module_index import IndexValue
from purekernel.rootfs.depmod.found import module_name
from purekernel.rootfs.depmod.normalize import normalize_alias
from purekernel.tree import display
from purekernel.tree.path import name

Warn = Callable[[str], None]

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


def builtin_names(data: bytes, warn: Warn) -> Iterator[IndexValue]:
    """Yield an entry with an empty value for each module in modules.builtin."""
    for whole in _LINE.findall(data):
        # kmod reads lines as C strings, which end at a NUL.
        line = whole.partition(b"\0")[0]
        if not line[:1].isalpha():
            warn(f"modules.builtin: must be the path of a module, got {display(line.strip())}")
            continue
        yield IndexValue(module_name(name(line)), b"", 0)


def builtin_aliases(data: bytes, warn: Warn) -> Iterator[IndexValue]:
    r"""Yield an entry for each alias in modules.builtin.modinfo: ``module.alias=…\0``."""
    position = 0
    while position < len(data):
        module, position = _take(data, position, b".")
        if not module:
            continue
        key, position = _take(data, position, b"=")
        if key != b"alias":
            # If the string has no "=", kmod skips it and the next one.
            _rest, position = _take(data, position, b"\0")
            continue
        alias, position = _take(data, position, b"\0")
        if not alias:
            continue
        normal = normalize_alias(alias)
        if normal is None:
            warn(f"modules.builtin.modinfo: the alias {display(alias)} has an unmatched bracket")
        else:
            yield IndexValue(normal, module, 0)


def _take(data: bytes, position: int, end: bytes) -> tuple[bytes, int]:
    """Return the bytes before ``end`` (empty if a NUL comes first), and the next position."""
    nul = data.find(b"\0", position)
    limit = len(data) if nul < 0 else nul
    end_position = data.find(end, position, limit + 1)
    if end_position < 0:
        return b"", limit + 1
    return data[position:end_position], end_position + 1
