"""Read and change the account files of an image: lines of fields separated by colons.

Lines that no change touches keep their bytes. Source: passwd(5), shadow(5), group(5).
"""

from __future__ import annotations

import re

from attrs import field

from purekernel.errors import (
    ConflictError,
    FormatError,
    MissingPathError,
    PurekernelError,
    UsageError,
    raise_all,
)
from purekernel.records import frozen
from purekernel.similar import find_similar
from purekernel.tree import Buffer, File, Tree, describe, display, resolve

# More errors would not help the reader.
MOST_ERRORS = 20

# The largest uid and gid; (uid_t)-1 means "none" to chown(2).
MAX_ID = 0xFFFFFFFE

_NUMBER = re.compile(rb"[0-9]{1,10}")


@frozen(kw_only=True)
class Layout:
    """The format of an account file.

    Attributes:
        path: its path in the image.
        manual: its manual page.
        fields: the number of fields in a line.
        numbers: the indexes of fields that must be a uid or gid, from 0.
    """

    path: bytes
    manual: str
    fields: int
    numbers: tuple[int, ...] = field(default=())


# name, password, uid, gid, comment, home, shell
PASSWD = Layout(path=b"etc/passwd", manual="passwd(5)", fields=7, numbers=(2, 3))
# name, password, six fields on its ageing, and one that is reserved
SHADOW = Layout(path=b"etc/shadow", manual="shadow(5)", fields=9)
# name, password, gid, members
GROUP = Layout(path=b"etc/group", manual="group(5)", fields=4, numbers=(2,))


class AccountTable:
    """An account file that can be changed.

    If lines have the same name, the first counts, as for getpwnam(3).
    """

    def __init__(self, layout: Layout, lines: list[bytes]) -> None:
        self._layout = layout
        self._lines = lines
        self._places: dict[bytes, int] = {}
        for index, line in enumerate(lines):
            if _is_entry(line):
                self._places.setdefault(line.partition(b":")[0], index)

    def __contains__(self, name: bytes) -> bool:
        return name in self._places

    @property
    def names(self) -> list[bytes]:
        """The names, in order."""
        return list(self._places)

    def entry(self, name: bytes) -> list[bytes]:
        """Return the fields of the line of ``name``, which must exist."""
        return self._lines[self._places[name]].split(b":")

    def named_by(self, number: int, *, at: int) -> bytes | None:
        """Return the first name whose field ``at`` is ``number``."""
        for name in self._places:
            if int(self.entry(name)[at]) == number:
                return name
        return None

    def set(self, name: bytes, at: int, value: bytes) -> None:
        """Set field ``at`` of the line of ``name``; the others keep their bytes."""
        fields = self.entry(name)
        fields[at] = value
        self._lines[self._places[name]] = b":".join(fields)

    def append(self, *fields: bytes) -> None:
        """Append a line, after a newline if the last line lacks one."""
        if self._lines[-1]:
            self._lines.append(b"")
        self._places[fields[0]] = len(self._lines) - 1
        self._lines.insert(-1, b":".join(fields))

    def build(self) -> bytes:
        """Return the file's bytes."""
        return b"\n".join(self._lines)


def parse_table(data: Buffer, layout: Layout) -> AccountTable:
    """Parse an account file; skip blank lines, comments and NIS entries.

    Raises:
        FormatError: a line is malformed; a CombinedError for several, of the first twenty.
    """
    lines = bytes(data).split(b"\n")
    errors: list[PurekernelError] = []
    for number, line in enumerate(lines, start=1):
        error = _fault(line, layout, number) if _is_entry(line) else None
        if error is not None:
            errors.append(error)
        if len(errors) == MOST_ERRORS:
            break
    raise_all(errors)
    return AccountTable(layout, lines)


def read_account_file(tree: Tree, layout: Layout) -> bytes | None:
    """Return the content of an account file, links followed; ``None`` if it is missing.

    Raises:
        ConflictError: it is not a file.
    """
    real_path = resolve(tree, layout.path)
    node = tree.get(real_path)
    if node is None:
        return None
    if not isinstance(node, File):
        raise ConflictError(f"{display(layout.path)}: must be a file, got {describe(node)}")
    return bytes(node.content)


def load_table(tree: Tree, layout: Layout) -> AccountTable:
    """Return an account file of an image.

    Raises:
        MissingPathError: it is missing.
        FormatError: a line is malformed; a CombinedError for several.
    """
    content = read_account_file(tree, layout)
    if content is None:
        raise MissingPathError(
            f"{display(layout.path)}: not found in the image",
            hint="change accounts only in an image whose base has accounts",
        )
    return parse_table(content, layout)


def find_entry(
    table: AccountTable, name: str, *, kind: str = "user", otherwise: str
) -> list[bytes]:
    """Return the fields of the line of ``name``.

    Args:
        table: the table to search.
        name: a name.
        kind: what the table lists, in words.
        otherwise: what the user can do in place of naming another, for the hint.

    Raises:
        UsageError: the name is missing in the image.
    """
    if name.encode() in table:
        return table.entry(name.encode())
    near = find_similar(name, (known.decode("utf-8", "replace") for known in table.names))
    instead = f"write '{near[0]}', or {otherwise}" if near else otherwise
    raise UsageError(f"{kind} '{name}': not found in the image", hint=instead)


def _is_entry(line: bytes) -> bool:
    return bool(line.strip()) and not line.startswith((b"#", b"+", b"-"))


def _fault(line: bytes, layout: Layout, number: int) -> FormatError | None:
    """Return the error in ``line``, or ``None``."""
    fields = line.split(b":")
    hint = f"correct that line; {layout.manual} describes the format"
    if line.endswith(b"\r"):
        expected, got = "a line that ends in a newline alone", "a carriage return before it"
        hint = (
            "save the file with Unix line endings: log-in takes a carriage return for a character"
        )
    elif len(fields) != layout.fields:
        expected, got = f"{layout.fields} fields separated by colons", f"{len(fields)}"
    elif not fields[0]:
        expected, got = "a name before the first colon", "none"
    else:
        wrong = [fields[at] for at in layout.numbers if not _is_id(fields[at])]
        if not wrong:
            return None
        expected, got = f"a number from 0 to {MAX_ID}", display(wrong[0])
    source_line = f"{layout.path.decode()}, line {number}"
    return FormatError(source=source_line, expected=expected, got=got, hint=hint)


def _is_id(text: bytes) -> bool:
    return _NUMBER.fullmatch(text) is not None and int(text) <= MAX_ID
