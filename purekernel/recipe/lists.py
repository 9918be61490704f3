"""Read the list files that recipes and the original scripts use.

A list has one entry per line. ``#`` begins a comment at the start of a line or after a blank.
Blank lines, blanks around an entry, Windows line endings and byte order marks are ignored. An
entry that is listed twice counts once, at its first position.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from purekernel.errors import FormatError, PurekernelError, RecipeError, raise_all
from purekernel.formats.text import decode_text
from purekernel.formats.tinycore import parse_extension_name
from purekernel.input import Input
from purekernel.recipe.kinds import GEM, IMAGE_PATH, Text
from purekernel.recipe.model import Named
from purekernel.recipe.words import show

# No user reads more, and a hostile file can have thousands.
MAX_ERRORS = 100

Rule = Callable[[str, str], str]
"""Returns the name for an entry; takes the entry, and its file and line for messages."""

Errors = list[PurekernelError]
"""Collects the errors of lines in place of raising them, so that the other lines still count."""

_COMMENT = re.compile(r"(?:^|[ \t])#.*")


def parse_extension_list(
    data: bytes, *, source: str, errors: Errors | None = None
) -> tuple[Named, ...]:
    """Return the extensions that a ``.lst`` file lists; each name ends in ``.tcz`` or ``.deb``.

    Raises:
        RecipeError: a line is not the name of an extension; the message names the line.
        CombinedError: several lines are not.
    """
    return _parse(data, source, _extension, errors)


def parse_gem_list(data: bytes, *, source: str, errors: Errors | None = None) -> tuple[Named, ...]:
    """Return the entries of a ``gem.list``: gem names with their version requirements.

    Raises:
        RecipeError: a line is not a gem and its requirements; the message names the line.
        CombinedError: several lines are not.
    """
    return _parse(data, source, partial(_match, GEM), errors)


def parse_path_list(data: bytes, *, source: str, errors: Errors | None = None) -> tuple[Named, ...]:
    """Return the paths in an extension that a file such as ``util-linux-exec.lst`` lists.

    Raises:
        RecipeError: a line is not a path in an extension; the message names the line.
        CombinedError: several lines are not.
    """
    return _parse(data, source, partial(_match, IMAGE_PATH), errors)


def _parse(data: bytes, source: str, rule: Rule, collected: Errors | None) -> tuple[Named, ...]:
    errors: list[RecipeError] = []
    entries: dict[str, Named] = {}
    for place, text in _entries(decode_text(Input(data, name=source)), source):
        try:
            name = rule(text, place)
        except RecipeError as error:
            errors.append(error)
            if len(errors) == MAX_ERRORS:
                errors.append(RecipeError(f"{source}: there may be more problems than these"))
                break
        else:
            entries.setdefault(name, Named(name=name, place=place))
    if collected is None:
        raise_all(errors)
    else:
        collected += errors
    return tuple(entries.values())


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


def _match(kind: Text, text: str, place: str) -> str:
    """Return ``text``, which must be of ``kind``."""
    if not kind.accepts(text):
        raise RecipeError(
            f"{place}: expected {kind.words}, got {show(text)}",
            hint="correct the line, or delete it",
        )
    return text
