"""Read the files that recipes and the original scripts list things in.

One entry a line; ``#`` begins a comment at a line's start or behind a blank; blank lines,
blanks around an entry, Windows' line ends and byte order marks mean nothing. What is listed
twice counts once, where it stands first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from purekernel.errors import FormatError, PurekernelError, RecipeError, raise_all
from purekernel.formats.text import decode_text
from purekernel.formats.tinycore import parse_extension_name
from purekernel.recipe.check import show
from purekernel.recipe.model import Named
from purekernel.recipe.schema import load_schema

# More help nobody, and a hostile file could have thousands.
MAX_ERRORS = 100

Rule = Callable[[str, str], str]
"""Returns the name that an entry means; is given the entry, and where it stands."""

Errors = list[PurekernelError]
"""Takes what is wrong with lines in place of its being raised, so that the others still count."""

_COMMENT = re.compile(r"(?:^|[ \t])#.*")


def parse_extension_list(
    data: bytes, *, source: str, errors: Errors | None = None
) -> tuple[Named, ...]:
    """Return the extensions that a ``.lst`` file names; each ends in ``.tcz`` or ``.deb``.

    Raises:
        RecipeError: a line holds something else; the message names it.
        CombinedError: several do.
    """
    return _parse(data, source, _extension, errors)


def parse_gem_list(data: bytes, *, source: str, errors: Errors | None = None) -> tuple[Named, ...]:
    """Return the lines of a ``gem.list``: names, with what their versions must be.

    Raises:
        RecipeError: a line cannot be one; the message names it.
        CombinedError: several cannot.
    """
    return _parse(data, source, partial(_follow, "gem"), errors)


def parse_path_list(data: bytes, *, source: str, errors: Errors | None = None) -> tuple[Named, ...]:
    """Return the paths in an extension that a file such as ``util-linux-exec.lst`` names.

    Raises:
        RecipeError: a line cannot be one; the message names it.
        CombinedError: several cannot.
    """
    return _parse(data, source, partial(_follow, "image-path"), errors)


def _parse(data: bytes, source: str, rule: Rule, taking: Errors | None) -> tuple[Named, ...]:
    errors: list[RecipeError] = []
    found: dict[str, Named] = {}
    for place, text in _entries(decode_text(data, source=source), source):
        try:
            name = rule(text, place)
        except RecipeError as error:
            errors.append(error)
            if len(errors) == MAX_ERRORS:
                errors.append(RecipeError(f"{source}: there may be more like these"))
                break
        else:
            found.setdefault(name, Named(name=name, place=place))
    if taking is None:
        raise_all(errors)
    else:
        taking += errors
    return tuple(found.values())


def _entries(text: str, source: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        entry = _COMMENT.sub("", line, count=1).strip(" \t\r")
        if entry:
            yield f"{source}, line {number}", entry


def _extension(text: str, place: str) -> str:
    try:
        return parse_extension_name(text, source=place)
    except FormatError as error:
        raise RecipeError(error.message, hint=error.hint) from None


def _follow(definition: str, text: str, place: str) -> str:
    """Return ``text``, which must be as the schema's ``definition`` has it."""
    schema = load_schema()["$defs"][definition]
    if len(text) > schema["maxLength"] or not re.fullmatch(schema["pattern"], text):
        raise RecipeError(
            f"{place}: expected {schema['x-words']}, got {show(text)}",
            hint="correct the line, or take it out",
        )
    return text
