"""Make the ISO 9660 and Joliet names of a folder's entries, for readers without Rock Ridge.

Names are made for a whole folder at once, so that they are unique, and depend only on the names in
the folder. A name that needs no change takes precedence over a changed name.

Source: ECMA-119, 7.5 to 7.6 and 10.2; Joliet Specification, Microsoft, 1995; mkisofs(8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

# The limits of "mkisofs -l". That of a file counts the name and the extension, without the dot.
FILE_CHARACTERS = 30
FOLDER_CHARACTERS = 31

# The characters of a long extension that are kept, so that most of the name remains.
EXTENSION_CHARACTERS = 8

JOLIET_CHARACTERS = 64

ALLOWED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
JOLIET_FORBIDDEN = frozenset("*/:;?\\")

Join = Callable[[str, str], str]


def iso_names(entries: Mapping[bytes, bool], *, taken: Iterable[bytes] = ()) -> dict[bytes, bytes]:
    """Return the ISO 9660 identifier of each entry of a folder, with version.

    Args:
        entries: raw names, and whether each is a folder.
        taken: reserved identifiers.
    """
    used = _UsedNames(identifier.decode("ascii") for identifier in taken)
    identifiers: dict[bytes, bytes] = {}
    plans = {raw: _mangle_folder(raw) if entries[raw] else _mangle_file(raw) for raw in entries}
    for raw in sorted(plans, key=lambda raw: (_is_changed(raw, plans[raw]), raw)):
        limit = FOLDER_CHARACTERS if entries[raw] else FILE_CHARACTERS
        join = _join_folder if entries[raw] else _join_file
        stem, extension = plans[raw]
        identifiers[raw] = used.add(stem, extension, join, limit).encode("ascii")
    return identifiers


def joliet_names(names: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the Joliet identifier, big-endian UCS-2, of each name in a folder.

    Names that are not UTF-8 are decoded as Latin-1. Characters that UCS-2 or Joliet does not allow
    become ``_``.
    """
    used = _UsedNames()
    identifiers: dict[bytes, bytes] = {}
    plans = {raw: _mangle_joliet(raw) for raw in names}
    for raw in sorted(plans, key=lambda raw: (_join_joliet(*plans[raw]) != _decode(raw), raw)):
        stem, extension = plans[raw]
        text = used.add(stem, extension, _join_joliet, JOLIET_CHARACTERS)
        identifiers[raw] = text.encode("utf-16-be")
    return identifiers


def _mangle_file(raw: bytes) -> tuple[str, str]:
    stem, dot, extension = raw.rpartition(b".")
    if not stem:  # no dot, or only a leading dot
        stem, extension = dot + extension, b""
    if len(stem) + len(extension) > FILE_CHARACTERS:
        extension = extension[:EXTENSION_CHARACTERS]
        stem = stem[: FILE_CHARACTERS - len(extension)]
    return _allow(stem), _allow(extension)


def _mangle_folder(raw: bytes) -> tuple[str, str]:
    return _allow(raw[:FOLDER_CHARACTERS]), ""


def _mangle_joliet(raw: bytes) -> tuple[str, str]:
    text = "".join(
        char if char.isprintable() and char not in JOLIET_FORBIDDEN and char <= "\uffff" else "_"
        for char in _decode(raw)
    )
    if len(text) <= JOLIET_CHARACTERS:
        stem, dot, extension = text.rpartition(".")
        return (stem, dot + extension) if stem else (text, "")
    stem, dot, extension = text.rpartition(".")
    if not stem or len(extension) > EXTENSION_CHARACTERS:
        return text[:JOLIET_CHARACTERS], ""
    return stem[: JOLIET_CHARACTERS - len(extension) - 1], dot + extension


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _allow(part: bytes) -> str:
    return "".join(chr(byte) if byte in ALLOWED else "_" for byte in part.upper())


def _is_changed(raw: bytes, plan: tuple[str, str]) -> bool:
    stem, extension = plan
    kept = f"{stem}.{extension}" if extension else stem
    return kept.encode("ascii") != raw.upper()


def _join_file(stem: str, extension: str) -> str:
    # A file identifier always has both separators and the version (7.5.1).
    return f"{stem}.{extension};1"


def _join_folder(stem: str, _extension: str) -> str:
    return stem


def _join_joliet(stem: str, extension: str) -> str:
    return stem + extension


class _UsedNames:
    """The names in use in one folder."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = set(names)
        self._counters: dict[tuple[str, str], int] = {}

    def add(self, stem: str, extension: str, join: Join, limit: int) -> str:
        """Add a name and return it; if it is in use, replace the end of its stem by a number."""
        name = join(stem, extension)
        # There is a counter for each truncated stem, because names collide on that.
        key = (stem[: limit - len(extension) - 3], extension)
        while name in self._names:
            number = self._counters.get(key, 0)
            digits = f"{number:03d}"
            name = join(stem[: limit - len(extension) - len(digits)] + digits, extension)
            self._counters[key] = number + 1
        self._names.add(name)
        return name
