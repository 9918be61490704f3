"""Match whole paths against shell patterns, and find the paths of a tree that match.

``*`` matches any characters except a slash, ``?`` one such character, ``[abc]``, ``[a-z]`` and
``[!abc]`` one character of a set. ``**`` matches any characters, and ``**/`` at the start of a name
any number of folders, including zero. An unclosed bracket is a literal.

Source: glob(7); gitignore(5) for ``**``.

In Python's fnmatch, ``*`` matches slashes, and a regular expression with many stars may take time
polynomial in the path's length. This state machine reads the path once. Its states are the bits of
one integer. Most patterns have one star, or end in a literal that few paths have: for them,
comparing both ends of the path is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from purekernel.records import frozen
from purekernel.tree import ROOT, Directory, Symlink, Tree, look_up, parse_path
from purekernel.tree.path import join

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
        head: the literal before the first wildcard; the whole pattern if there is none.
        tail: the literal after the last wildcard.
        star: what lies between the two, if it is one star: the bytes that it matches.
    """

    text: bytes
    steps: tuple[int, ...]
    stays: tuple[int, ...]
    stars: int
    folders: int
    final: int
    head: bytes
    tail: bytes
    star: frozenset[int] | None

    def matches(self, path: bytes) -> bool:
        """Say whether the pattern matches all of ``path``."""
        if not (path.startswith(self.head) and path.endswith(self.tail)):
            return False
        if self.star is not None:
            last = len(path) - len(self.tail)
            return last >= len(self.head) and self.star.issuperset(path[len(self.head) : last])
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
    parts = tuple(parts)
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
    head = _literal(parts)
    between = parts[len(head) :]
    tail = _literal(between[::-1])[::-1]
    between = between[: len(between) - len(tail)]
    return Pattern(
        text=text,
        steps=tuple(steps),
        stays=tuple(stays),
        stars=stars,
        folders=folders,
        final=state,
        head=head,
        tail=tail,
        star=between[0][1] if len(between) == 1 and between[0][0] == "star" else None,
    )


def find_paths(tree: Tree, text: bytes) -> list[bytes]:
    """Return the paths of ``tree`` that a pattern matches, as a shell in the image would find them.

    Symbolic links among the parents of a path are followed, except below ``**``; so each path is
    that of the entry itself. A link at the end is not followed. Names that begin with a dot match
    as others do. The root matches nothing.

    Args:
        tree: a root file system.
        text: a path, or a pattern as in this module's description; with or without a slash in
            front.

    Raises:
        PathError: the path is not allowed in an image.
    """
    parts = parse_path(b"./" + text.lstrip(b"/")).split(b"/")
    folders = [ROOT]
    for index, part in enumerate(parts[:-1]):
        if b"**" in part:
            return _find_below(tree, folders, b"/".join(parts[index:]))
        inner = (_folder(tree, path) for folder in folders for path in _match(tree, folder, part))
        # Several links may lead to one folder.
        folders = list(dict.fromkeys(path for path in inner if path is not None))
    if b"**" in parts[-1]:
        return _find_below(tree, folders, parts[-1])
    return [path for folder in folders for path in _match(tree, folder, parts[-1])]


def _match(tree: Tree, folder: bytes, part: bytes) -> list[bytes]:
    """Return the paths of the entries of ``folder`` that one component of a pattern matches."""
    if not part:
        return []
    if not is_wild(part):
        path = join(folder, part)
        return [path] if path in tree else []
    pattern = parse_pattern(part)
    return [join(folder, name) for name in tree.entries(folder) if pattern.matches(name)]


def _folder(tree: Tree, path: bytes) -> bytes | None:
    """Return the path of the folder that ``path`` leads to, or ``None``."""
    node = tree.get(path)
    if isinstance(node, Directory):
        return path
    found = look_up(tree, path) if isinstance(node, Symlink) else None
    return found.path if found is not None and isinstance(found.node, Directory) else None


def _find_below(tree: Tree, folders: Iterable[bytes], text: bytes) -> list[bytes]:
    pattern = parse_pattern(text)
    found: dict[bytes, None] = {}
    for folder in folders:
        start = len(folder) + 1 if folder else 0
        for path, _node in tree.walk(folder):
            if path != folder and pattern.matches(path[start:]):
                found[path] = None
    return list(found)


def _literal(parts: Iterable[tuple[str, frozenset[int]]]) -> bytes:
    """Return the bytes of the parts before the first that can match several bytes."""
    literal = bytearray()
    for kind, chosen in parts:
        if kind != "one" or len(chosen) != 1:
            break
        literal += bytes(chosen)
    return bytes(literal)


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
