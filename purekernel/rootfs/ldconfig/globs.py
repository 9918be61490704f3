"""Parse the file name patterns of include lines in ``ld.so.conf``.

They differ from :mod:`purekernel.rootfs.patterns` in sets in brackets and in backslashes.

Source: glob(7); glibc 2.36, posix/fnmatch_loop.c, in the C locale.
"""

from __future__ import annotations

import re
import string

from purekernel.rootfs.patterns import Pattern, build_pattern

_WILD = re.compile(rb"[*?[\\]")
_EVERY = frozenset(range(256))

# One member of a set: a character class, a collating symbol, or a character.
_MEMBER = re.compile(
    rb"\[:(?P<named>[a-y]+):\]|\[=(?P<equal>.)=\]|\[\.(?P<symbol>.)\.\]|\\(?P<escaped>.)"
    rb"|(?P<plain>[^\\])",
    re.DOTALL,
)


def _among(characters: str) -> frozenset[int]:
    return frozenset(characters.encode())


_PRINTED = _among(string.ascii_letters + string.digits + string.punctuation)
_CLASSES = {
    b"alnum": _among(string.ascii_letters + string.digits),
    b"alpha": _among(string.ascii_letters),
    b"blank": _among(" \t"),
    b"cntrl": frozenset({*range(32), 127}),
    b"digit": _among(string.digits),
    b"graph": _PRINTED,
    b"lower": _among(string.ascii_lowercase),
    b"print": _PRINTED | _among(" "),
    b"punct": _among(string.punctuation),
    b"space": _among(string.whitespace),
    b"upper": _among(string.ascii_uppercase),
    b"xdigit": _among(string.hexdigits),
}


def is_glob(text: bytes) -> bool:
    """Say whether ``text`` has wildcards or escapes."""
    return _WILD.search(text) is not None


def parse_glob(text: bytes) -> Pattern:
    """Return the pattern in ``text``, for one name; every text is valid."""
    parts: list[tuple[str, frozenset[int]]] = []
    here = 0
    while here < len(text):
        character = text[here : here + 1]
        here += 1
        chosen = frozenset(character)
        if character == b"*":
            if not parts or parts[-1][0] != "star":
                parts.append(("star", _EVERY))
            continue
        if character == b"?":
            chosen = _EVERY
        elif character == b"\\":
            # At the end it matches nothing.
            chosen = frozenset(text[here : here + 1])
            here += 1
        elif character == b"[":
            found = _read_set(text, here)
            # An unclosed bracket is a literal.
            if found is not None:
                chosen, here = found
        parts.append(("one", chosen))
    return build_pattern(text, parts)


def _read_set(text: bytes, start: int) -> tuple[frozenset[int], int] | None:
    """Return the characters of a set and its end; ``None`` if it is not closed."""
    here = start + (text[start : start + 1] in (b"!", b"^"))
    first = here
    chosen: set[int] = set()
    counted: frozenset[int] | None = None
    while here == first or text[here : here + 1] != b"]":
        found = _MEMBER.match(text, here)
        if found is None:
            return None
        here = found.end()
        if found["named"] is not None:
            # An unknown class ends the set: later members are ignored.
            if found["named"] not in _CLASSES and counted is None:
                counted = frozenset() if first > start else frozenset(chosen)
            chosen |= _CLASSES.get(found["named"], frozenset())
            continue
        low = _character(found)
        if text[here : here + 1] == b"-" and text[here + 1 : here + 2] not in (b"", b"]"):
            end = _MEMBER.match(text, here + 1)
            if end is None:
                return None
            here = end.end()
            chosen.update(range(low, _character(end) + 1))
        else:
            chosen.add(low)
    if counted is None:
        counted = _EVERY - chosen if first > start else frozenset(chosen)
    return counted, here + 1


def _character(found: re.Match[bytes]) -> int:
    # If a class ends a range, its opening bracket counts.
    known = (found[kind] for kind in ("equal", "symbol", "escaped", "plain"))
    return next((text[0] for text in known if text), found[0][0])
