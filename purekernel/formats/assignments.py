"""Parse lines that assign shell variables, without evaluation.

Source: "Shell Command Language" of POSIX, 2.2 (quoting) and 2.6 (what a shell evaluates).
"""

from __future__ import annotations

import re

from purekernel.errors import RecipeError
from purekernel.records import frozen

_LINE = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)([ \t]*)=(.*)", re.DOTALL)
_QUOTED = re.compile(r"""(?:"([^"]*)"|'([^']*)')(?:[ \t]+#.*)?""", re.DOTALL)
_COMMENT_AFTER = re.compile(r"[ \t]#")
# The expansions of a shell: commands, variables, escapes.
_EVALUATED = re.compile(r"[`\\]|\$[A-Za-z0-9_({$?!#@*-]")


@frozen(kw_only=True)
class Assignment:
    """A variable and its value.

    Attributes:
        name: the variable.
        value: the value, without quotes.
        evaluated: whether a shell would expand the value.
        has_hash: whether an unquoted value contains text that looks like a comment.
    """

    name: str
    value: str
    evaluated: bool
    has_hash: bool


def parse_assignment(line: str, *, source: str) -> Assignment | None:
    """Return the assignment in a line; ``None`` for a blank line or a comment.

    Args:
        line: the line, such as ``NAME=value`` or ``export NAME="a value"``.
        source: the file and line, for messages. Messages never contain the value.

    Raises:
        RecipeError: the line is not an assignment.
    """
    text = line.strip(" \t\r")
    if not text or text.startswith("#"):
        return None
    match = _LINE.fullmatch(text)
    if match is None:
        raise RecipeError(
            f"{source}: expected a name, '=' and a value",
            hint="write NAME=value, or start the line with '#'",
        )
    name, gap, raw = match.groups()
    if gap or raw[:1] in (" ", "\t"):
        raise RecipeError(
            f"{source}: there must be no blanks around the '=' of {name}",
            hint="remove the blanks, or quote the value",
        )
    if raw[:1] not in ('"', "'"):
        return Assignment(
            name=name,
            value=raw,
            evaluated=_EVALUATED.search(raw) is not None,
            has_hash=_COMMENT_AFTER.search(raw) is not None,
        )
    quoted = _QUOTED.fullmatch(raw)
    if quoted is None:
        raise RecipeError(
            f"{source}: the value of {name} must end with its closing quote",
            hint="put the whole value in single or double quotes that it does not contain",
        )
    double, single = quoted.groups()
    return Assignment(
        name=name,
        value=single if double is None else double,
        evaluated=double is not None and _EVALUATED.search(double) is not None,
        has_hash=False,
    )
