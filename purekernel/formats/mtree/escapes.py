r"""Names as vis(3) writes them: ``\040`` or ``\s`` for a blank, ``\M-a`` for 0xe1.

Source: vis(3) and unvis(3) of NetBSD; parse_escapes in libarchive's
archive_read_support_format_mtree.c, which knows the octal and C ones only.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from purekernel.tree import display

_ESCAPE = re.compile(
    rb"\\(?:(?P<octal>[0-3][0-7]{2})"
    rb"|x(?P<hexadecimal>[0-9a-fA-F]{2})"
    rb"|M\^(?P<meta_control>[?@-_a-z])"
    rb"|M-(?P<meta>[!-~])"
    rb"|\^(?P<control>[?@-_a-z])"
    rb"|(?P<zero>0)"
    rb"|(?P<letter>[abEfnrstv])"
    rb"|(?P<itself>[\\#\"'$*?\[~;&<>()`{} =!-]))?",
    re.DOTALL,
)
_LETTERS = {
    b"a": b"\a",
    b"b": b"\b",
    b"E": b"\x1b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"s": b" ",
    b"t": b"\t",
    b"v": b"\v",
}


def decode(text: bytes, refuse: Callable[[str, str], Exception]) -> bytes:
    """Return ``text`` with its escapes undone.

    Args:
        text: a name or target with no white space in it.
        refuse: makes the error to raise of what was expected and what was found.

    Raises:
        Exception: what ``refuse`` made, when an escape is unknown.
    """

    def undo(match: re.Match[bytes]) -> bytes:
        kind = match.lastgroup
        if kind is None:
            start = match.start()
            raise refuse("an escape of vis(3), such as \\040", display(text[start : start + 4]))
        found = match[kind]
        if kind == "octal":
            return bytes([int(found, 8)])
        if kind == "hexadecimal":
            return bytes([int(found, 16)])
        if kind in ("control", "meta_control"):
            code = 0x7F if found == b"?" else found[0] & 0x1F
            return bytes([code | (0x80 if kind == "meta_control" else 0)])
        if kind == "meta":
            return bytes([found[0] | 0x80])
        if kind == "zero":
            return b"\0"
        return _LETTERS[found] if kind == "letter" else found

    return _ESCAPE.sub(undo, text)
