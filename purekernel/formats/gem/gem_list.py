"""The list of gems that an image carries, as the original scripts' ``gem.list`` has it.

One gem a line: its name, then what is required of its version (``json_pure  >= 1.7.7``). The
list of 2012 has names alone.
"""

from __future__ import annotations

import re

from attrs import field, frozen

from purekernel.errors import PurekernelError, RecipeError, raise_all
from purekernel.formats.gem.requirement import ANY, CLAUSE_PATTERN, Requirement
from purekernel.formats.gem.spec import is_gem_name
from purekernel.tree import Buffer, display

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

HINT = "write a name and what is required of its version: 'json_pure >= 1.7.7, < 2'"

# A '#' in the middle of a word is none.
_COMMENT = re.compile(r"(?:^|[ \t])#.*")

_LINE = re.compile(r"([A-Za-z0-9._-]+)[ \t]*(.*)", re.DOTALL)

# One clause, up to the next one's operator or the end: between them a comma may be missing.
_CLAUSE = re.compile(rf"[ \t]*{CLAUSE_PATTERN}[ \t]*(?=[=!<>~]|$)")


@frozen(kw_only=True)
class ListedGem:
    """A gem that somebody asked for.

    Attributes:
        name: ``json_pure``.
        requirement: on its version.
        place: where it was asked for, for messages: ``gem.list, line 3``.
    """

    name: str
    requirement: Requirement
    place: str = field(eq=False)

    def __str__(self) -> str:
        return self.name if self.requirement == ANY else f"{self.name} {self.requirement}"


def parse_gem_list(
    data: Buffer, source: str, *, errors: list[PurekernelError] | None = None
) -> tuple[ListedGem, ...]:
    """Return the gems of a list, in its order; blank lines and ``#`` comments say nothing.

    Args:
        data: UTF-8, with or without a byte order mark, lines ended as on Unix or Windows.
        source: the list's name, for messages.
        errors: takes what is wrong with lines in place of its being raised.

    Raises:
        RecipeError: a line is malformed. All such lines are reported at once.
    """
    gems: list[ListedGem] = []
    found: list[RecipeError] = []
    for number, line in enumerate(bytes(data).removeprefix(BYTE_ORDER_MARK).split(b"\n"), start=1):
        place = f"{source}, line {number}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            found.append(_malformed(place, "UTF-8", display(line[:40])))
            continue
        text = _COMMENT.sub("", text.removesuffix("\r")).strip(" \t")
        if not text:
            continue
        try:
            gems.append(parse_listed_gem(text, place=place))
        except RecipeError as error:
            found.append(error)
    if errors is None:
        raise_all(found)
    else:
        errors += found
    return tuple(gems)


def parse_listed_gem(text: str, *, place: str) -> ListedGem:
    """Return what one line asks for: a name, and what is required of its version.

    Raises:
        RecipeError: it is malformed.
    """
    match = _LINE.fullmatch(text.strip(" \t"))
    if match is None or not is_gem_name(match[1]):
        raise _malformed(place, "the name of a gem", _shown(text))
    return ListedGem(
        name=match[1], requirement=_requirement(match[2], place) if match[2] else ANY, place=place
    )


def _requirement(text: str, place: str) -> Requirement:
    clauses: list[str] = []
    for piece in re.split("[,&]", text):
        here = 0
        while here < len(piece) or not piece:
            match = _CLAUSE.match(piece, here)
            if match is None:
                got = piece[here:].strip(" \t")
                raise _malformed(place, "a requirement on the version", _shown(got))
            clauses.append(f"{match[1] or '='} {match[2]}")
            here = match.end()
    try:
        return Requirement.of(clauses)
    except ValueError as error:
        raise RecipeError(f"{place}: {error}", hint=HINT) from None


def _shown(text: str) -> str:
    return display(text[:60].encode("utf-8", "surrogatepass")) if text else "nothing"


def _malformed(place: str, expected: str, got: str) -> RecipeError:
    return RecipeError(f"{place}: expected {expected}, got {got}", hint=HINT)
