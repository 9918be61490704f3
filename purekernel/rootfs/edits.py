r"""Edit text files: append, prepend, replace, set values.

A file is edited as text of UTF-8. Bytes that are not UTF-8 are kept. If all lines end in CR LF, an
edit sees them ending in LF, and the result ends in CR LF again; in a file of both kinds, CR is a
character as others are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from purekernel.errors import TreeError
from purekernel.formats.detect import FileKind, detect
from purekernel.rootfs.expressions import Expression, expand
from purekernel.similar import find_similar
from purekernel.tree import Buffer

# A hundred times the largest text file of Core.
MAX_BYTES = 4 << 20

# Lines in a message.
_MOST_LINES = 5
# Lines of a file that are compared with a text that it lacks.
_MOST_COMPARED = 500

_ABSENT = 'compare it with the file; missing = "ok" allows it to be absent'
_HINT = "replace the whole file: give its new content under [[file]], or in an overlay"


def edit_text(data: Buffer, edit: Callable[[str], str]) -> bytes:
    """Return a file's content after ``edit``, a function from text to text.

    Raises:
        TreeError: the file is not text, or too large; and what ``edit`` raises.
    """
    content = bytes(data)
    if len(content) > MAX_BYTES:
        raise TreeError(
            f"a file to edit must have at most {MAX_BYTES} bytes, got {len(content)}", hint=_HINT
        )
    if (kind := _binary_kind(content)) is not None:
        raise TreeError(f"a file to edit must be text, got {kind}", hint=_HINT)
    returns = content.count(b"\r\n")
    has_returns = bool(returns) and returns == content.count(b"\n")
    if has_returns:
        content = content.replace(b"\r\n", b"\n")
    edited = edit(content.decode("utf-8", "surrogateescape"))
    changed = edited.encode("utf-8", "surrogateescape")
    return changed.replace(b"\n", b"\r\n") if has_returns else changed


def _binary_kind(content: bytes) -> str | None:
    """Return the kind of a file that is not text, or ``None``."""
    kind = detect(content)
    if kind not in (FileKind.TEXT, FileKind.OTHER):
        return kind.description
    at = content.find(b"\0")
    return None if at < 0 else f"a binary file, with a NUL at byte {at}"


def append_lines(text: str, lines: str) -> str:
    """Return ``text`` with ``lines`` at the end; each last line gets a newline if it has none."""
    return _whole_lines(text) + _whole_lines(lines)


def prepend_lines(text: str, lines: str) -> str:
    """Return ``text`` with ``lines`` at the start; the last of them ends in a newline."""
    return _whole_lines(lines) + text


def _whole_lines(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


class Replacing:
    """Replaces parts of one text or of several, and counts them.

    Attributes:
        count: how many parts of each text must be replaced; ``None`` for any number, but at least
            one in all texts.
        optional: whether a text may have none.
    """

    def __init__(self, count: int | None, *, optional: bool = False) -> None:
        """Expect ``count`` parts in each text."""
        self.count = count
        self.optional = optional
        # What was looked for in vain: what it is, and a function that returns a hint.
        self._missing: tuple[str, Callable[[], str]] | None = None
        self._found = False

    def require_some(self) -> None:
        """Refuse that nothing was replaced in any text, if any number is allowed.

        Raises:
            TreeError: texts were searched, and nothing was replaced.
        """
        if self.count is None and self._missing is not None and not self._found:
            what, hint = self._missing
            raise TreeError(f"{what} must be in a file, got none", hint=hint() or _ABSENT)

    def text(self, text: str, old: str, new: str) -> str:
        """Return ``text`` with ``new`` for ``old``.

        Raises:
            TreeError: the number of occurrences is not the expected one.
        """
        starts: list[int] = []
        at = text.find(old)
        while at >= 0:
            starts.append(at)
            at = text.find(old, at + len(old))
        self._count(text, starts, f"the text {_shown(old)}", partial(_suggest, text, old))
        return text.replace(old, new)

    def matches(self, text: str, expression: Expression, replacement: tuple[str | int, ...]) -> str:
        """Return ``text`` with ``replacement`` for each match of ``expression``.

        Raises:
            TreeError: the number of matches is not the expected one.
            UsageError: the search takes too many steps.
        """
        matches = list(expression.find_all(text))
        starts = [match.start for match in matches]
        self._count(text, starts, f"the expression {_shown(expression.text)}", str)
        parts: list[str] = []
        at = 0
        for match in matches:
            parts += (text[at : match.start], expand(match, text, replacement))
            at = match.end
        return "".join((*parts, text[at:]))

    def _count(self, text: str, starts: list[int], what: str, hint: Callable[[], str]) -> None:
        if starts:
            self._found = True
        elif self._missing is None:
            self._missing = what, hint
        allowed = (None, len(starts)) if starts or not self.optional else (self.count,)
        if self.count in allowed:
            return
        wanted = "once" if self.count == 1 else f"{self.count} times"
        if not starts:
            raise TreeError(
                f"{what} must be in the file {wanted}, got none", hint=hint() or _ABSENT
            )
        raise TreeError(
            f"{what} must be in the file {wanted}, got {len(starts)} ({_lines(text, starts)})",
            hint=f"give more of what is around it, or count = {len(starts)}; every = true "
            "replaces any number",
        )


def set_value(text: str, key: str, value: str, *, count: int | None = 1) -> str:
    """Return ``text`` with ``value`` in the line that sets ``key``, or with such a line appended.

    The line is ``key=value``, with or without ``export`` and blanks in front, and with or without
    blanks around ``=``, which are kept. All behind ``=`` is replaced.

    Args:
        text: the content of a file.
        key: the key.
        value: the value, with the quotes that it is to have.
        count: how many lines may set the key; ``None`` for any number.

    Raises:
        TreeError: more lines set the key.
    """
    setting = re.compile(
        rf"^([ \t]*(?:export[ \t]+)?{re.escape(key)}(?:=|[ \t]+=[ \t]*))[^\n]*", re.MULTILINE
    )
    starts = [match.start() for match in setting.finditer(text)]
    if not starts:
        return append_lines(text, f"{key}={value}")
    if count is not None and len(starts) != count:
        wanted = "one line" if count == 1 else f"{count} lines"
        raise TreeError(
            f"{wanted} must set {key}, got {len(starts)} ({_lines(text, starts)})",
            hint=f"give count = {len(starts)} or every = true to change all of them, or use regex",
        )
    return setting.sub(lambda match: match[1] + value, text)


def _lines(text: str, starts: list[int]) -> str:
    """Return in which lines the indexes ``starts`` are."""
    numbers = list(dict.fromkeys(text.count("\n", 0, at) + 1 for at in starts[:_MOST_LINES]))
    more = ", …" if len(starts) > _MOST_LINES else ""
    words = "line" if len(numbers) == 1 and not more else "lines"
    return f"{words} {', '.join(map(str, numbers))}{more}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _suggest(text: str, old: str) -> str:
    """Return a hint with the line that is most similar to the first line of ``old``."""
    wanted = old.strip().partition("\n")[0]
    lines = text.splitlines()[:_MOST_COMPARED]
    numbers = {line.strip(): number for number, line in reversed(list(enumerate(lines, start=1)))}
    found = find_similar(wanted, filter(None, numbers))
    return f"line {numbers[found[0]]} is {_shown(found[0])}" if found else ""
