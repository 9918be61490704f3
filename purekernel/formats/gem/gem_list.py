"""Read ``gem.list``, the list of an image's gems in the original scripts.

Each line has the name of a gem and a requirement on its version (``json_pure  >= 1.7.7``). The list
of 2012 has only names.
"""

from __future__ import annotations

import re

from attrs import field

from purekernel.errors import PurekernelError, RecipeError, raise_all
from purekernel.formats.gem.spec import is_gem_name
from purekernel.formats.gem.version import ANY, CLAUSE_PATTERN, GemRequirement
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

HINT = "write a name and a requirement on its version: 'json_pure >= 1.7.7, < 2'"

# A '#' inside a word does not begin a comment.
_COMMENT = re.compile(r"(?:^|[ \t])#.*")

_LINE = re.compile(r"([A-Za-z0-9._-]+)[ \t]*(.*)", re.DOTALL)

# A clause, up to the operator of the next or the end: the comma between them is optional.
_CLAUSE = re.compile(rf"[ \t]*{CLAUSE_PATTERN}[ \t]*(?=[=!<>~]|$)")


@frozen(kw_only=True)
class ListedGem:
    """A gem that the user listed.

    Attributes:
        name: the name, such as ``json_pure``.
        requirement: the requirement on its version.
        place: the file and line of the list, for messages: ``gem.list, line 3``.
    """

    name: str
    requirement: GemRequirement
    place: str = field(eq=False)

    def __str__(self) -> str:
        return self.name if self.requirement == ANY else f"{self.name} {self.requirement}"


def parse_gem_list(
    file: Input, *, errors: list[PurekernelError] | None = None
) -> tuple[ListedGem, ...]:
    """Return the gems of a list in order, without blank lines and ``#`` comments.

    Args:
        file: UTF-8, with or without a byte order mark, with line ends of Unix or Windows.
        errors: receives the errors in lines; ``None`` to raise them.

    Raises:
        RecipeError: a line is malformed.
        CombinedError: several lines are malformed.
    """
    gems: list[ListedGem] = []
    line_errors: list[RecipeError] = []
    text_lines = bytes(file.data).removeprefix(BYTE_ORDER_MARK).split(b"\n")
    for number, line in enumerate(text_lines, start=1):
        place = f"{file.name}, line {number}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            line_errors.append(_malformed(place, "UTF-8", display(line[:40])))
            continue
        text = _COMMENT.sub("", text.removesuffix("\r")).strip(" \t")
        if not text:
            continue
        try:
            gems.append(parse_listed_gem(text, place=place))
        except RecipeError as error:
            line_errors.append(error)
    if errors is None:
        raise_all(line_errors)
    else:
        errors += line_errors
    return tuple(gems)


def parse_listed_gem(text: str, *, place: str) -> ListedGem:
    """Return the gem in one line: a name, and a requirement on its version.

    Raises:
        RecipeError: the line is malformed.
    """
    match = _LINE.fullmatch(text.strip(" \t"))
    if match is None or not is_gem_name(match[1]):
        raise _malformed(place, "the name of a gem", _shown(text))
    return ListedGem(
        name=match[1], requirement=_requirement(match[2], place) if match[2] else ANY, place=place
    )


def _requirement(text: str, place: str) -> GemRequirement:
    clauses: list[str] = []
    for piece in re.split("[,&]", text):
        position = 0
        while position < len(piece) or not piece:
            match = _CLAUSE.match(piece, position)
            if match is None:
                got = piece[position:].strip(" \t")
                raise _malformed(place, "a requirement on the version", _shown(got))
            clauses.append(f"{match[1] or '='} {match[2]}")
            position = match.end()
    try:
        return GemRequirement.of(clauses)
    except ValueError as error:
        raise RecipeError(f"{place}: {error}", hint=HINT) from None


def _shown(text: str) -> str:
    return display(text[:60].encode("utf-8", "surrogatepass")) if text else "nothing"


def _malformed(place: str, expected: str, got: str) -> RecipeError:
    return RecipeError(f"{place}: expected {expected}, got {got}", hint=HINT)
