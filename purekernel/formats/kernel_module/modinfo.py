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
    for text in split_strings(data):
        key, _equals, value = text.partition(b"=")
        pairs.append((key, value))
    return tuple(pairs)


def split_strings(data: Buffer) -> list[bytes]:
    """Return the strings of a section that is all strings, without the padding between them.

    One byte alone is taken for padding too, whatever it is.
    """
    strings = bytes(data).lstrip(b"\0")
    return [text for text in strings.split(b"\0") if text] if len(strings) > 1 else []


def read_modinfo(sections: Sections) -> tuple[tuple[bytes, bytes], ...]:
    """Return keys and values of a module; none where it has no ``.modinfo``."""
    content = sections.content(MODINFO)
    return () if content is None else parse_modinfo(content)
