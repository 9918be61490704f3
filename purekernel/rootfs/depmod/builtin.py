"""What is built into the kernel: modules.builtin and modules.builtin.modinfo.

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
    """Yield an entry with an empty value for each module that modules.builtin names."""
    for whole in _LINE.findall(data):
        # A string of C ends at a NUL; a line of a file does not.
        line = whole.partition(b"\0")[0]
        if not line[:1].isalpha():
            warn(f"modules.builtin: {display(line.strip())} names no module")
            continue
        yield IndexValue(module_name(name(line)), b"", 0)


def builtin_aliases(data: bytes, warn: Warn) -> Iterator[IndexValue]:
    r"""Yield an entry for each alias in modules.builtin.modinfo: ``module.alias=…\0``."""
    here = 0
    while here < len(data):
        module, here = _take(data, here, b".")
        if not module:
            continue
        key, here = _take(data, here, b"=")
        if key != b"alias":
            # A string that has no "=" is left behind already, and the next one goes with it.
            _rest, here = _take(data, here, b"\0")
            continue
        alias, here = _take(data, here, b"\0")
        if not alias:
            continue
        normal = normalize_alias(alias)
        if normal is None:
            warn(f"modules.builtin.modinfo: {display(alias)} has an unmatched bracket")
        else:
            yield IndexValue(normal, module, 0)


def _take(data: bytes, here: int, end: bytes) -> tuple[bytes, int]:
    """Return what stands before ``end``, empty if a NUL comes first, and where to go on."""
    nul = data.find(b"\0", here)
    limit = len(data) if nul < 0 else nul
    found = data.find(end, here, limit + 1)
    if found < 0:
        return b"", limit + 1
    return data[here:found], found + 1
