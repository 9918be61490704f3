"""Match extended regular expressions as glibc does.

Source: regex(7), and the operators that glibc adds, in "Regular Expressions" of the manual of
gnulib.
"""

from __future__ import annotations

import math
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

# More steps than this are not told apart.
MOST_BITS = 64

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


# A longer expression takes too long to translate. The longest text is a name of 255 bytes.
MAX_EXPRESSION_BYTES = 1024


def count_steps(expression: bytes, text: bytes) -> int:
    """Return an upper bound of the steps in which :func:`matches` compares the two.

    Python tries all ways in which repeat operators and alternatives can match, one after the other:
    in a text of n characters up to n for each repeat operator, and 4 to the power of n for the
    repetition of a group that has one itself.
    """
    if len(expression) > MAX_EXPRESSION_BYTES:
        return 1 << MOST_BITS
    length = len(text) + 1
    each = math.log2(length)
    bits = each
    # For each open group, whether it can match one text in several ways; and the group just closed.
    groups = [False]
    closed = False
    for token in _TOKEN.finditer(expression):
        operator = b"" if token["set"] is not None or token["escaped"] else token[0][:1]
        if operator == b"(":
            groups.append(False)
        elif operator in (b"|", b"?"):
            bits += 1
            groups[-1] = True
        elif operator and operator in b"*+{":
            bits += 2 * length if closed else each
            groups[-1] = True
        closed = operator == b")" and groups[-1]
        if operator == b")" and len(groups) > 1:
            groups.pop()
            groups[-1] |= closed
    return 100 * len(expression) + (1 << min(MOST_BITS, int(bits)))


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
