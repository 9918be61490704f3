"""Write words of GRUB's script language.

Source: the GRUB manual, "Writing full configuration files directly"; its lexer,
grub-core/script/yylex.l.
"""

from __future__ import annotations

import re

# Words of these bytes alone mean themselves.
_PLAIN = re.compile(rb"[A-Za-z0-9_./,:=+@%^~-]+")

# The lexer's reserved words are commands of their own at the start of a command only, but a word in
# quotes is never one.
_RESERVED = frozenset(
    (b"case", b"do", b"done", b"elif", b"else", b"esac", b"fi", b"for", b"function", b"if", b"in",
     b"select", b"then", b"until", b"while")
)  # fmt: skip


def quote_word(text: bytes) -> bytes:
    """Return ``text`` as one word of a GRUB script, in single quotes if it needs quotes."""
    if _PLAIN.fullmatch(text) and text not in _RESERVED:
        return text
    return b"'" + text.replace(b"'", rb"'\''") + b"'"
