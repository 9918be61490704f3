"""Say in words that help why a text is no TOML."""

from __future__ import annotations

import re

from purekernel.errors import RecipeError
from purekernel.formats.toml.scanner import Scan

# How tomllib ends its messages.
_POSITION = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")

_QUOTES = 'text stands in quotes ("4.x"), an array in brackets (["bash.tcz"])'
_BACKSLASH = "write each backslash twice, or put the text in single quotes"
_CLOSE = "close the quotes; text of several lines stands in three quotes"
_KEYS = "a line is a key, '=' and a value; a table in braces stands on one line"
_TABLES = "a table is [name] on a line of its own, or [[name]] where there may be several"
_RULES = "the rules of TOML are at https://toml.io"
_ONCE = "give it once"

_ALREADY = "something of that name is there already"

# What tomllib's messages begin with, in our words, and what to do.
_FAULTS = (
    ("Illegal character '\\n'", "text in quotes must end on the line that it begins on", _CLOSE),
    ("Unterminated string", "the text in quotes does not end", _CLOSE),
    ("Expected \"'", "the text in quotes does not end", _CLOSE),
    ("Illegal character", "there is a character that TOML does not allow", _RULES),
    ("Found invalid character", "there is a character that TOML does not allow", _RULES),
    ("Invalid value", "there is no value that TOML knows", _QUOTES),
    ("Invalid date or datetime", "there is no such date", _QUOTES),
    ("Invalid statement", "this is neither a key, nor a table, nor a comment", _KEYS),
    ("Invalid initial character for a key part", "a key is missing", _KEYS),
    ("Expected '=' after a key", "'=' and a value must follow the key", _KEYS),
    ("Expected newline or end of document", "something follows the value", _QUOTES),
    ("Expected ']' at the end of a table", "']' must follow the table's name", _TABLES),
    ("Expected ']]' at the end of an array", "']]' must follow the table's name", _TABLES),
    ("Unescaped '\\' in a string", "a backslash begins an escape that there is not", _BACKSLASH),
    ("Invalid hex value", "a backslash begins an escape that there is not", _BACKSLASH),
    ("Escaped character is not", "an escape stands for no character", _BACKSLASH),
    ("Cannot overwrite a value", _ALREADY, _ONCE),
    ("Cannot declare", _ALREADY, _ONCE),
    ("Cannot redefine namespace", _ALREADY, _ONCE),
    ("Cannot mutate immutable", "a table in braces, or an array, is whole as it stands", _TABLES),
    ("Duplicate inline table key", _ALREADY, _ONCE),
)
_TAKEN = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate inline")


def explain_fault(
    error: ValueError | RecursionError, *, scan: Scan, text: str, source: str
) -> RecipeError:
    """Return our error for what ``tomllib`` raised of ``text``."""
    message = str(error)
    found = _POSITION.search(message)
    said = message[: found.start()] if found else message
    at_end = found is None or found[1] is None
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    if scan.twice and said.startswith(_TAKEN):
        return RecipeError(
            f"{source}, line {scan.twice.line}: {scan.twice.words} is there already, "
            f"on line {scan.twice.first}",
            hint=_ONCE,
        )
    if said.startswith(("Unclosed", "Expected '}'")) and scan.unclosed is not None:
        return _unclosed(said, source, line=line, opened=scan.unclosed, at_end=at_end)
    if at_end and scan.stopped is not None:
        line = scan.stopped
    for start, words, hint in _FAULTS:
        if said.startswith(start):
            return RecipeError(f"{source}, line {line}: {words}", hint=hint)
    words = f"{said[:1].lower()}{said[1:]}" if isinstance(error, ValueError) else "too deep"
    return RecipeError(f"{source}, line {line}: {words}", hint=_RULES)


def _unclosed(said: str, source: str, *, line: int, opened: int, at_end: bool) -> RecipeError:
    mark, thing = ("}", "table") if "table" in said else ("]", "array")
    if at_end:
        return RecipeError(
            f"{source}, line {opened}: the {thing} that begins here does not end",
            hint=f"close it with '{mark}'",
        )
    begins = "" if opened == line else f" in the {thing} that begins on line {opened}"
    return RecipeError(
        f"{source}, line {line}: a comma or '{mark}' is missing{begins}",
        hint=f"put commas between the parts, and '{mark}' behind the last",
    )
