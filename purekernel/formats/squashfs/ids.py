"""Owners and groups, which inodes name by their place in a table."""

from __future__ import annotations

from purekernel.errors import UnrepresentableError
from purekernel.formats.squashfs.layout import ID_ENTRY
from purekernel.tree import display

# Sixteen bits count them.
_MOST_IDS = 0xFFFF
_MOST_ID = 0xFFFFFFFF


class IdTable:
    """Owners and groups, each once."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, number: int, path: bytes) -> int:
        """Return the place of ``number``, to whom what stands at ``path`` belongs.

        Raises:
            UnrepresentableError: the number is too large, or there are too many.
        """
        place = self._places.setdefault(number, len(self._places))
        if place >= _MOST_IDS or not 0 <= number <= _MOST_ID:
            raise UnrepresentableError(
                f"{display(path)} belongs to {number}, and squashfs holds {_MOST_IDS} owners and "
                f"groups, each of 0 to {_MOST_ID}",
                hint="let everything belong to root with -all-root",
            )
        return place

    def build(self) -> bytes:
        """Return the table."""
        return b"".join(map(ID_ENTRY.pack, self._places))
