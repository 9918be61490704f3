"""Versions of Debian's packages, and their order.

Source: deb-version(7).
"""

from __future__ import annotations

import re
from functools import cached_property, total_ordering

# The longest in Debian have some sixty characters; a version becomes part of a file's name.
MAX_VERSION_CHARS = 200

_EPOCH = re.compile(r"[0-9]{1,9}")
_UPSTREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]*")
_REVISION = re.compile(r"[A-Za-z0-9+.~]+")
_PART = re.compile(r"([^0-9]*)([0-9]*)")

_Key = tuple[tuple[tuple[int, ...], int], ...]

# What stands for the end of a text: after a tilde, and before all else.
_END = 0
_LAST = ((_END,), 0)


@total_ordering
class DebianVersion:
    """One version, such as ``1:3.5.2-1+b1``. Immutable.

    Versions of one place in the order are equal and hash alike, however they are written:
    ``1.0`` is ``0:1.0-0``.

    Attributes:
        text: as it was written.
        epoch: the number before the colon, or 0.
        upstream: what is between epoch and revision.
        revision: what is behind the last hyphen; empty where there is none.
    """

    def __init__(self, text: str) -> None:
        """Read ``text``.

        Raises:
            ValueError: it is no version.
        """
        if len(text) > MAX_VERSION_CHARS:
            raise ValueError(f"{text[:40]!r}… is no version: it has {len(text)} characters")
        epoch, colon, rest = text.partition(":") if ":" in text else ("", "", text)
        upstream, hyphen, revision = rest.rpartition("-")
        if not hyphen:
            upstream, revision = rest, ""
        if (
            (colon and not _EPOCH.fullmatch(epoch))
            or not _UPSTREAM.fullmatch(upstream)
            or (hyphen and not _REVISION.fullmatch(revision))
        ):
            raise ValueError(f"{text!r} is no version of a Debian package")
        self.text = text
        self.epoch = int(epoch) if colon else 0
        self.upstream = upstream
        self.revision = revision

    @cached_property
    def _order(self) -> tuple[int, _Key, _Key]:
        return self.epoch, _key(self.upstream), _key(self.revision)

    @property
    def without_epoch(self) -> str:
        """The version as it stands in the names of packages' files."""
        return self.text.partition(":")[2] or self.text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DebianVersion):
            return NotImplemented
        return self._order == other._order

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, DebianVersion):
            return NotImplemented
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"DebianVersion({self.text!r})"


def _key(text: str) -> _Key:
    """Return what orders a part of a version: words and numbers by turns.

    Each word ends in the mark of its end, and the whole in one more, so that what is shorter
    compares as if it went on with nothing. "0" counts as nothing.
    """
    parts = [
        ((*map(_weight, word), _END), int(number or "0"))
        for word, number in _PART.findall(text)
        if word or number
    ]
    return (*(parts or [_LAST]), _LAST)


def _weight(character: str) -> int:
    """Return a character's place: the tilde before the end, letters before the others."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
