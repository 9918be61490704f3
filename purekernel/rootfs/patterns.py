"""Shell patterns over whole paths.

``*`` stands for any characters but a slash, ``?`` for one, ``[abc]``, ``[a-z]`` and
``[!abc]`` for one of a set; ``**`` stands for any characters at all, and ``**/`` where a name
may begin for any number of folders, none included. A bracket that nothing closes stands for
itself. Source: glob(7); gitignore(5) for ``**``.

Python's fnmatch lets ``*`` cross slashes, and a regular expression of many stars may take
time that grows with a power of the path's length. Here a state machine reads the path once;
its states are the bits of one integer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

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
    """A pattern, ready to be held against paths.

    States are numbered by bits, the first being 1; each part of the pattern has one or more,
    and leads on to the next.

    Attributes:
        text: as it was written.
        steps: for each byte, the states from which it leads to the next.
        stays: for each byte, the states that it leaves as they are.
        stars: the states that lead to the next with no byte: ``*`` and ``**``.
        folders: those that do so, and past the two behind them too: ``**/``.
        final: the state in which a path has matched.
    """

    text: bytes
    steps: tuple[int, ...]
    stays: tuple[int, ...]
    stars: int
    folders: int
    final: int

    def matches(self, path: bytes) -> bool:
        """Say whether the whole of ``path`` is what the pattern describes."""
        states = self._pass(1)
        for byte in path:
            states = self._pass((states & self.steps[byte]) << 1 | states & self.stays[byte])
            if not states:
                return False
        return bool(states & self.final)

    def _pass(self, states: int) -> int:
        """Add the states that no byte is needed for.

        Once is enough: no two stars are neighbours, nor two of ``**/``, and before ``**/``
        there is no star.
        """
        folders = states & self.folders
        states |= folders << 1 | folders << 3
        return states | (states & self.stars) << 1


def is_wild(text: bytes) -> bool:
    """Say whether ``text`` is more than a plain path."""
    return _WILD.search(text) is not None


def parse_pattern(text: bytes) -> Pattern:
    """Return the pattern that ``text`` writes; every text is one."""
    return build_pattern(text, _parts(text))


def build_pattern(text: bytes, parts: Iterable[tuple[str, frozenset[int]]]) -> Pattern:
    """Return a pattern of parts that were read elsewhere.

    Args:
        text: as it was written.
        parts: ``one`` for a byte of a set, ``star`` for any number of such, ``folders`` for
            any number of folders. No two of the latter are neighbours.
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
            chosen = frozenset({SLASH})  # noqa: PLW2901  # which ends them
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
    """Return the parts of a pattern: folders, stars or single bytes, and what they may be."""
    parts: list[tuple[str, frozenset[int]]] = []
    for found in _PART.finditer(text):
        kind = found.lastgroup or ""
        if kind == "folders":
            parts.append(("folders", _EVERY))
        elif kind == "any":
            parts.append(("star", _EVERY))
        elif kind == "star":
            parts.append(("star", _NO_SLASH))
        elif kind == "one":
            parts.append(("one", _NO_SLASH))
        elif kind == "set":
            parts.append(("one", _members(found["set"])))
        else:
            parts.append(("one", frozenset(found[0])))
    return parts


def _members(inner: bytes) -> frozenset[int]:
    """Return the bytes that a set such as ``a-z`` or ``!abc`` has, never a slash."""
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
