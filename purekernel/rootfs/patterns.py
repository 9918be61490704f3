"""Match whole paths against shell patterns.

``*`` matches any characters except a slash, ``?`` one such character, ``[abc]``, ``[a-z]`` and
``[!abc]`` one character of a set. ``**`` matches any characters, and ``**/`` at the start of a name
any number of folders, including zero. An unclosed bracket is a literal.

Source: glob(7); gitignore(5) for ``**``.

In Python's fnmatch, ``*`` matches slashes, and a regular expression with many stars may take time
polynomial in the path's length. This state machine reads the path once. Its states are the bits of
one integer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from purekernel.records import frozen

SLASH = ord("/")

_WILD = re.compile(rb"[*?[]")
_PART = re.compile(
    rb"(?P<folders>(?:(?<=/)|\A)(?:\*\*+/)+)"
    rb"|(?P<any>\*\*+)|(?P<star>\*)|(?P<one>\?)"
    rb"|\[(?P<set>!?+.[^]]*)\]"
    rb"|(?P<literal>.)",
    re.DOTALL,
)

_EVERY = frozenset(range(256))
_NO_SLASH = _EVERY - {SLASH}


@frozen(kw_only=True)
class Pattern:
    """A compiled pattern.

    Each state is one bit, starting at 1. Each part of the pattern has one or more states, followed
    by those of the next part.

    Attributes:
        text: the source of the pattern.
        steps: for each byte, the states that advance to the next state.
        stays: for each byte, the states that do not change.
        stars: the states that also advance without a byte: ``*`` and ``**``.
        folders: the states that also advance by one and by three without a byte: ``**/``.
        final: the accepting state.
    """

    text: bytes
    steps: tuple[int, ...]
    stays: tuple[int, ...]
    stars: int
    folders: int
    final: int

    def matches(self, path: bytes) -> bool:
        """Say whether the pattern matches all of ``path``."""
        states = self._pass(1)
        for byte in path:
            states = self._pass((states & self.steps[byte]) << 1 | states & self.stays[byte])
            if not states:
                return False
        return bool(states & self.final)

    def _pass(self, states: int) -> int:
        """Add the states that are reached without a byte.

        One pass is enough: no two stars are adjacent, nor two of ``**/``, and no star is directly
        before ``**/``.
        """
        folders = states & self.folders
        states |= folders << 1 | folders << 3
        return states | (states & self.stars) << 1


def is_wild(text: bytes) -> bool:
    """Say whether ``text`` has wildcards."""
    return _WILD.search(text) is not None


def parse_pattern(text: bytes) -> Pattern:
    """Parse a pattern; every text is valid."""
    return build_pattern(text, _parts(text))


def build_pattern(text: bytes, parts: Iterable[tuple[str, frozenset[int]]]) -> Pattern:
    """Build a pattern from parsed parts.

    Args:
        text: the source of the pattern.
        parts: kind and set of bytes. ``one`` is a byte of the set, ``star`` any number of such
            bytes, ``folders`` any number of folders. No two stars or folders are adjacent.
    """
    steps = [0] * 256
    stays = [0] * 256
    stars = folders = 0
    state = 1
    for kind, chosen in parts:
        if kind == "folders":
            folders |= state
            state <<= 1
        if kind in ("folders", "star"):
            stars |= state
            for byte in chosen:
                stays[byte] |= state
        if kind == "folders":
            state <<= 1
            chosen = frozenset({SLASH})  # noqa: PLW2901  # which ends a folder
        if kind != "star":
            for byte in chosen:
                steps[byte] |= state
        state <<= 1
    return Pattern(
        text=text,
        steps=tuple(steps),
        stays=tuple(stays),
        stars=stars,
        folders=folders,
        final=state,
    )


def _parts(text: bytes) -> list[tuple[str, frozenset[int]]]:
    """Return the parts of a pattern: kind (folders, star or one) and set of bytes."""
    parts: list[tuple[str, frozenset[int]]] = []
    for part in _PART.finditer(text):
        kind = part.lastgroup or ""
        if kind == "folders":
            parts.append(("folders", _EVERY))
        elif kind == "any":
            parts.append(("star", _EVERY))
        elif kind == "star":
            parts.append(("star", _NO_SLASH))
        elif kind == "one":
            parts.append(("one", _NO_SLASH))
        elif kind == "set":
            parts.append(("one", _members(part["set"])))
        else:
            parts.append(("one", frozenset(part[0])))
    return parts


def _members(inner: bytes) -> frozenset[int]:
    """Return the bytes of a set such as ``a-z`` or ``!abc``, without the slash."""
    negated = inner.startswith(b"!")
    inner = inner.removeprefix(b"!")
    chosen: set[int] = set()
    index = 0
    while index < len(inner):
        if inner[index + 1 : index + 2] == b"-" and index + 2 < len(inner):
            chosen.update(range(inner[index], inner[index + 2] + 1))
            index += 3
        else:
            chosen.add(inner[index])
            index += 1
    return _NO_SLASH - chosen if negated else _NO_SLASH & chosen
