"""Match extended regular expressions as glibc does.

Source: regex(7), and the operators that glibc adds, in "Regular Expressions" of the manual of
gnulib.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    rb"""
    \\(?P<escaped>[^1-9])
    | \[(?P<negated>\^?)(?P<set>\]?(?:\[:[a-z]*:\]|\[\..\.\]|\[=.=\]|[^\]])*)\]
    | (?P<extended>\(\?)
    | (?P<repeats>[*+?]{2,})
    | (?P<plain>\\[1-9]|.)
    """,
    re.DOTALL | re.VERBOSE,
)

# Operators that Python shares with glibc, and translations of those that only glibc has.
_OPERATORS = {character: b"\\" + character for character in (b"w", b"W", b"s", b"S", b"b", b"B")}
_OPERATORS |= {b"<": rb"\b(?=\w)", b">": rb"\b(?<=\w)", b"`": rb"\A", b"'": rb"\Z"}

_MEMBER = re.compile(rb"\[:([a-z]*):\]|\[[.=](.)[.=]\]|([\\\[&~|])", re.DOTALL)
_CLASSES = {
    b"alnum": b"a-zA-Z0-9",
    b"alpha": b"a-zA-Z",
    b"blank": b" \\t",
    b"cntrl": b"\\x00-\\x1f\\x7f",
    b"digit": b"0-9",
    b"graph": b"!-\\x7e",
    b"lower": b"a-z",
    b"print": b" -\\x7e",
    b"punct": b"!-/:-@\\[-`{-\\x7e",
    b"space": b" \\t-\\r",
    b"upper": b"A-Z",
    b"xdigit": b"0-9A-Fa-f",
}


def matches(expression: bytes, text: bytes) -> bool:
    """Say whether part of ``text`` matches; an invalid expression matches nothing."""
    try:
        return re.search(_TOKEN.sub(_translate, expression), text) is not None
    except (re.error, KeyError):
        return False


def _translate(token: re.Match[bytes]) -> bytes:
    if token["escaped"] is not None:
        return _OPERATORS.get(token["escaped"]) or re.escape(token["escaped"])
    if token["set"] is not None:
        return b"[" + token["negated"] + _translate_set(token["set"]) + b"]"
    if token["repeats"] is not None:
        # Python reads a second repeat operator as lazy or possessive.
        kinds = set(token["repeats"])
        return token["repeats"][:1] if len(kinds) == 1 else b"*"
    if token["extended"] is not None:
        raise re.error("nothing to repeat")
    return token["plain"]


def _translate_set(members: bytes) -> bytes:
    # A closing bracket at the start is a literal.
    first = b"\\]" if members.startswith(b"]") else b""
    return first + _MEMBER.sub(
        lambda member: (
            _CLASSES[member[1]] if member[1] is not None else re.escape(member[2] or member[3])
        ),
        members[len(first) // 2 :],
    )
