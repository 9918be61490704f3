"""Names for those who cannot read Rock Ridge: ISO 9660's own, and Joliet's.

Both are made for a whole folder at once, so that no two are the same, and depend on
nothing but the names in it. A name that needs no change gets its own before any that does.

Source: ECMA-119, 7.5 to 7.6 and 10.2; Joliet Specification, Microsoft, 1995; mkisofs(8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

# "mkisofs -l": name and extension of a file, without the dot between them, and folders.
FILE_CHARACTERS = 30
FOLDER_CHARACTERS = 31

# How much of a long extension survives, so that the stem keeps most of the room.
EXTENSION_CHARACTERS = 8

JOLIET_CHARACTERS = 64

ALLOWED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
JOLIET_FORBIDDEN = frozenset("*/:;?\\")

Join = Callable[[str, str], str]


def iso_names(entries: Mapping[bytes, bool], *, taken: Iterable[bytes] = ()) -> dict[bytes, bytes]:
    """Return the ISO 9660 identifier of each entry of a folder, version included.

    Args:
        entries: raw names, and whether each is a folder.
        taken: identifiers that may not be given.
    """
    given = _Taken(identifier.decode("ascii") for identifier in taken)
    found: dict[bytes, bytes] = {}
    plans = {raw: _mangle_folder(raw) if entries[raw] else _mangle_file(raw) for raw in entries}
    for raw in sorted(plans, key=lambda raw: (_is_changed(raw, plans[raw]), raw)):
        room = FOLDER_CHARACTERS if entries[raw] else FILE_CHARACTERS
        join = _join_folder if entries[raw] else _join_file
        stem, extension = plans[raw]
        found[raw] = given.take(stem, extension, join, room).encode("ascii")
    return found


def joliet_names(names: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the Joliet identifier, big-endian UCS-2, of each name in a folder.

    Names that are not UTF-8 are read as Latin-1; what UCS-2 or Joliet lacks becomes ``_``.
    """
    given = _Taken()
    found: dict[bytes, bytes] = {}
    plans = {raw: _mangle_joliet(raw) for raw in names}
    for raw in sorted(plans, key=lambda raw: (_join_joliet(*plans[raw]) != _decode(raw), raw)):
        stem, extension = plans[raw]
        text = given.take(stem, extension, _join_joliet, JOLIET_CHARACTERS)
        found[raw] = text.encode("utf-16-be")
    return found


def _mangle_file(raw: bytes) -> tuple[str, str]:
    stem, dot, extension = raw.rpartition(b".")
    if not stem:  # no dot at all, or only one in front
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
    # Both separators and the version are part of every file's identifier (7.5.1).
    return f"{stem}.{extension};1"


def _join_folder(stem: str, _extension: str) -> str:
    return stem


def _join_joliet(stem: str, extension: str) -> str:
    return stem + extension


class _Taken:
    """The names given out in one folder."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = set(names)
        self._counters: dict[tuple[str, str], int] = {}

    def take(self, stem: str, extension: str, join: Join, room: int) -> str:
        """Return the name, with the end of its stem counted up where it is taken already."""
        name = join(stem, extension)
        # Counted by what is left of the stem, on which they collide.
        key = (stem[: room - len(extension) - 3], extension)
        while name in self._names:
            number = self._counters.get(key, 0)
            digits = f"{number:03d}"
            name = join(stem[: room - len(extension) - len(digits)] + digits, extension)
            self._counters[key] = number + 1
        self._names.add(name)
        return name
