"""What a module says of itself: ``key=value`` strings parted by NULs.

Source: include/linux/moduleparam.h of Linux (``__MODULE_INFO``); libkmod/libkmod-elf.c and
libkmod-module.c of kmod.
"""

from __future__ import annotations

from purekernel.formats.kernel_module.sections import Sections
from purekernel.tree import Buffer

MODINFO = b".modinfo"


def parse_modinfo(data: Buffer) -> tuple[tuple[bytes, bytes], ...]:
    """Return keys and values in the order in which they stand.

    A string without ``=`` is a key with an empty value. Empty strings are padding.
    """
    pairs = []
    for text in bytes(data).split(b"\0"):
        if text:
            key, _equals, value = text.partition(b"=")
            pairs.append((key, value))
    return tuple(pairs)


def read_modinfo(sections: Sections) -> tuple[tuple[bytes, bytes], ...]:
    """Return keys and values of a module; none where it has no ``.modinfo``."""
    content = sections.content(MODINFO)
    return () if content is None else parse_modinfo(content)
