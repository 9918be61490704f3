"""Lines that set a shell's variables, read and never evaluated.

Source: "Shell Command Language" of POSIX, 2.2 (quoting) and 2.6 (what a shell evaluates).
"""

from __future__ import annotations

import re

from attrs import frozen

from purekernel.errors import RecipeError

_LINE = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)([ \t]*)=(.*)", re.DOTALL)
_QUOTED = re.compile(r"""(?:"([^"]*)"|'([^']*)')(?:[ \t]+#.*)?""", re.DOTALL)
_COMMENT_BEHIND = re.compile(r"[ \t]#")
# What a shell puts something else for: commands, variables, escapes.
_EVALUATED = re.compile(r"[`\\]|\$[A-Za-z0-9_({$?!#@*-]")


@frozen(kw_only=True)
class Assignment:
    """A variable and what it is set to.

    Attributes:
        name: the variable.
        value: without the quotes around it.
        evaluated: whether a shell would have made something else of the value.
        has_hash: whether the value has in it what looks like a comment, and is none.
    """

    name: str
    value: str
    evaluated: bool
    has_hash: bool


def parse_assignment(line: str, *, source: str) -> Assignment | None:
    """Return what a line sets; ``None`` where it is blank or a comment.

    Args:
        line: such as ``NAME=value``, ``export NAME="a value"``.
        source: the file and line, for messages, which never show the value.

    Raises:
        RecipeError: it is no such line.
    """
    text = line.strip(" \t\r")
    if not text or text.startswith("#"):
        return None
    match = _LINE.fullmatch(text)
    if match is None:
        raise RecipeError(
            f"{source}: expected a name, '=' and a value",
            hint="write NAME=value, or begin the line with '#'",
        )
    name, gap, raw = match.groups()
    if gap or raw[:1] in (" ", "\t"):
        raise RecipeError(
            f"{source}: there must be no blanks around the '=' of {name}",
            hint="take them away, or put the value in quotes",
        )
    if raw[:1] not in ('"', "'"):
        return Assignment(
            name=name,
            value=raw,
            evaluated=_EVALUATED.search(raw) is not None,
            has_hash=_COMMENT_BEHIND.search(raw) is not None,
        )
    quoted = _QUOTED.fullmatch(raw)
    if quoted is None:
        raise RecipeError(
            f"{source}: the quotes around the value of {name} must end with it",
            hint="put the whole value in quotes of the kind that is not in it",
        )
    double, single = quoted.groups()
    return Assignment(
        name=name,
        value=single if double is None else double,
        evaluated=double is not None and _EVALUATED.search(double) is not None,
        has_hash=False,
    )
