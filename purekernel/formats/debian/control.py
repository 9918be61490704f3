"""Stanzas of fields, as control files, packages indexes and ``Release`` files have them.

Source: deb822(5); Debian Policy, 5.1, "Syntax of control files".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.tree import Buffer, display

# A description of the longest kind has some 20 KB; the digests in a Release file have megabytes.
MAX_FIELDS = 1000

_FIELD = re.compile(r"([!-9;-~]+):(.*)", re.DOTALL)


@frozen(kw_only=True)
class Stanza:
    r"""One paragraph of fields.

    Attributes:
        source: where it stands, for messages.
        fields: by their names in small letters; lines are parted by ``\n``, and have no blanks
            around them.
    """

    source: str
    fields: Mapping[str, str] = field(repr=lambda fields: repr(list(fields)))

    def get(self, name: str, default: str = "") -> str:
        """Return what a field says; its name's case does not matter."""
        return self.fields.get(name.lower(), default)

    def require(self, name: str) -> str:
        """Return what a field says that must be there.

        Raises:
            FormatError: it is not, or is empty.
        """
        value = self.get(name)
        if not value:
            raise FormatError(source=self.source, expected=f"a field {name!r}", got="none")
        return value


def iter_stanzas(data: Buffer, *, source: str) -> Iterator[Stanza]:
    """Yield the stanzas of a file in order.

    Lines that begin with ``#`` are comments; blank lines part stanzas.

    Raises:
        FormatError: it is not UTF-8, or a line is neither a field nor goes on with one, or a
            field stands twice, or there are very many.
    """
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(_text(data, source).split("\n"), start=1):
        bare = line.rstrip()
        if bare:
            if not bare.startswith("#"):
                lines.append((number, bare))
        elif lines:
            yield _stanza(lines, source)
            lines = []
    if lines:
        yield _stanza(lines, source)


def parse_stanza(data: Buffer, *, source: str) -> Stanza:
    """Return the one stanza of a file.

    Raises:
        FormatError: as :func:`iter_stanzas`, or there are several or none.
    """
    stanzas = iter_stanzas(data, source=source)
    found = next(stanzas, None)
    if found is None:
        raise FormatError(source=source, expected="a stanza of fields", got="none")
    if next(stanzas, None) is not None:
        raise FormatError(source=source, expected="one stanza of fields", got="several")
    return found


def _text(data: Buffer, source: str) -> str:
    raw = bytes(data)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            source=source,
            offset=error.start,
            expected="text in UTF-8",
            got=f"the byte 0x{raw[error.start]:02x}",
        ) from None


def _stanza(lines: list[tuple[int, str]], source: str) -> Stanza:
    fields: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, line in lines:
        place = f"{source}, line {number}"
        if line[0] in " \t":
            if current is None:
                raise FormatError(source=place, expected="a field", got=_shown(line))
            current.append(line.strip())
            continue
        match = _FIELD.fullmatch(line)
        if match is None or line.startswith("-"):
            raise FormatError(source=place, expected="a field: 'Name: value'", got=_shown(line))
        name = match[1].lower()
        if name in fields:
            raise FormatError(source=place, expected="each field once", got=f"{match[1]} again")
        if len(fields) == MAX_FIELDS:
            raise FormatError(source=place, expected=f"at most {MAX_FIELDS} fields", got="more")
        current = fields[name] = [match[2].strip()]
    first, last = lines[0][0], lines[-1][0]
    where = f"{source}, line {first}" if first == last else f"{source}, lines {first} to {last}"
    return Stanza(source=where, fields={name: "\n".join(values) for name, values in fields.items()})


def _shown(line: str) -> str:
    return display(line[:80].encode())
