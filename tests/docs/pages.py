"""Extract commands and example files from a page of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from purekernel.records import frozen
from tests.processes import ROOT

# Languages of fences whose lines are commands, and of other fences.
SHELLS = ("sh", "powershell")
OTHER_LANGUAGES = ("python", "toml", "")

_FENCE = re.compile(r"```(.*)")
_SPAN = re.compile(r"`([^`]+)`")
_OPTION_HEADER = re.compile(r"\| *to *\| *add to `([^`]+)` *\|")


@frozen(kw_only=True)
class Command:
    """A command printed on a page, and its location.

    Attributes:
        text: the command; for an option in a table of options, with the command it is added to.
        language: the language of the fence, or ``sh`` for a command in a sentence or a table.
        line: the line number, from 1.
    """

    text: str
    language: str
    line: int


def read_page(path: str) -> str:
    """Return the text of a page; its path is relative to the top of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def commands(page: str) -> list[Command]:
    """Return all commands of ``page`` in order.

    These are the lines of shell fences, each option in a table whose second column is headed "add
    to `COMMAND`", and inline code that contains a blank or is in a table with a column "run".

    Raises:
        AssertionError: a fence has an unknown language.
    """
    found: list[Command] = []
    language: str | None = None
    added_to = ""
    runs = False
    for number, line in enumerate(page.splitlines(), start=1):
        fence = _FENCE.fullmatch(line)
        if fence:
            language = fence.group(1) if language is None else None
            assert language is None or language in (*SHELLS, *OTHER_LANGUAGES), (
                f"line {number}: unknown language of a fence: {language!r}"
            )
            continue
        if language is not None:
            if language in SHELLS and line.strip():
                found.append(Command(text=line, language=language, line=number))
            continue
        header = _OPTION_HEADER.match(line)
        if header:
            added_to = header.group(1)
            continue
        if not line.startswith("|"):
            added_to, runs = "", False
        elif re.match(r"\|.*\| *run *\|", line):
            runs = True
        for span in _SPAN.findall(line):
            if span.startswith("--") and added_to:
                text = f"{added_to} {span}"
            elif not span.startswith("-") and (" " in span or runs):
                text = span
            else:
                continue
            found.append(Command(text=text, language="sh", line=number))
    assert language is None, "the last fence is not closed"
    return found


def write_files(page: str, folder: Path) -> list[str]:
    """Write the files that a page shows under ``<!-- file: PATH -->``; return their paths."""
    files = re.findall(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```", page, re.DOTALL)
    for path, content in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8", newline="\n")
    return [path for path, _content in files]


def block(page: str, mark: str) -> str:
    """Return the content of the fence under ``<!-- mark -->``."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\w*\n(.*?)```", page, re.DOTALL)
    assert found, mark
    return found.group(1)
