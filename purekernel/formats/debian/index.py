"""Packages indexes, of which a stanza is only read when somebody asks for it.

Source: Debian's "RepositoryFormat", "Packages indices".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from purekernel.errors import FormatError
from purekernel.formats.compression import unpack
from purekernel.formats.debian.control import parse_stanza
from purekernel.formats.debian.names import PACKAGE
from purekernel.formats.debian.record import IndexedFile, PackageRecord
from purekernel.input import Input, Limits
from purekernel.tree import Buffer, display

# That of all of Debian has 50 MB and 65,000 stanzas; all suites together four times that.
INDEX_LIMITS = Limits(unpacked_bytes=512 << 20)
MAX_STANZAS = 1_000_000

_NAMES = re.compile(rb"(?i)\n(Package|Provides):[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)")
_PROVIDED = re.compile(rf"({PACKAGE})[^,]*(?:,|$)".encode())
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")


@frozen(kw_only=True)
class IndexedPackage:
    """One package of an index."""

    record: PackageRecord
    file: IndexedFile


class PackagesIndex:
    """What one index says. A stanza that nobody asks for may be damaged.

    Args:
        data: the index, with its compression or without.
        source: where it came from, for messages.

    Raises:
        FormatError: it is damaged, or no index.
        LimitError: it is larger than any.
    """

    def __init__(self, data: Buffer, *, source: str) -> None:
        plain = unpack(Input(data, name=source, limits=INDEX_LIMITS))
        # So that every stanza begins behind a line end.
        self._text = b"\n" + bytes(plain)
        self._source = source
        self._named: dict[bytes, list[int]] = {}
        self._providing: dict[bytes, list[int]] = {}
        for match in _NAMES.finditer(self._text):
            if match[1][1:2] in b"aA":
                self._named.setdefault(match[2].strip(), []).append(match.start())
            else:
                for provided in _PROVIDED.finditer(match[2]):
                    self._providing.setdefault(provided[1], []).append(match.start())
            if len(self._named) > MAX_STANZAS:
                raise FormatError(
                    source=source, expected=f"at most {MAX_STANZAS} packages", got="more"
                )
        if not self._named and self._text.strip():
            raise FormatError(
                source=source,
                expected="an index with packages in it: 'Package: …'",
                got=display(self._text[1:60]),
                hint="name a file that is called Packages, Packages.gz or Packages.xz",
            )

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._named)

    def named(self, name: str) -> list[IndexedPackage]:
        """Return the packages of that name, in the index's order.

        Raises:
            FormatError: the stanza of one is damaged.
        """
        return list(map(self._read, self._named.get(name.encode(), ())))

    def providing(self, name: str) -> list[IndexedPackage]:
        """Return the packages that stand for that name, in the index's order.

        Raises:
            FormatError: the stanza of one is damaged.
        """
        return list(map(self._read, self._providing.get(name.encode(), ())))

    def names(self) -> Iterator[str]:
        """Yield the names of all packages."""
        return (name.decode("utf-8", "replace") for name in self._named)

    def _read(self, inside: int) -> IndexedPackage:
        start = 1
        # Backwards a line at a time: a stanza has some twenty.
        at = inside
        while at > 0:
            before = self._text.rfind(b"\n", 0, at)
            if not self._text[before + 1 : at].strip():
                start = at + 1
                break
            at = before
        end = _BLANK_LINE.search(self._text, inside)
        text = self._text[start : end.start() if end else None]
        # Counting lines in 50 MB takes longer than all the rest.
        stanza = parse_stanza(text, source=f"{self._source}, from byte {start - 1}")
        return IndexedPackage(record=PackageRecord.of(stanza), file=IndexedFile.of(stanza))
