"""Find the names of a folder that a file system may take for one another.

Windows and macOS ignore the case of letters by default, macOS ignores how an accent is encoded, and
vfat ignores dots and blanks at the end. On Linux, single folders may ignore case (ext4 with
``casefold``), and on Windows, single folders may not. So this module only says which names are
worth asking the file system about; whether it takes them for one is seen when the first exists.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Windows gives a long name a second, short one, such as PROGRA~1.
_SHORT_NAME = re.compile(rb"~[0-9]")


def similar_names(names: Iterable[bytes]) -> frozenset[bytes]:
    """Return the names of one folder that some file system takes for another of them.

    This returns too many rather than too few.
    """
    groups: dict[str, list[bytes]] = {}
    for name in names:
        groups.setdefault(_key(name), []).append(name)
    if any(map(_SHORT_NAME.search, (name for group in groups.values() for name in group))):
        return frozenset(name for group in groups.values() for name in group)
    return frozenset(name for group in groups.values() if len(group) > 1 for name in group)


def _key(name: bytes) -> str:
    """Return a text that is equal for names that differ only in what a file system may ignore."""
    text = name.decode("utf-8", "surrogateescape")
    if text.isascii():
        return text.lower().rstrip(". ")
    for _repeat in range(2):  # the one may make the other possible again
        text = unicodedata.normalize("NFKD", text).casefold().upper().casefold()
    # HFS+ ignores format characters, such as a zero-width joiner.
    kept = (char for char in text if unicodedata.category(char) != "Cf")
    return "".join(kept).rstrip(". ")
