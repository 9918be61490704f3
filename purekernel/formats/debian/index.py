"""Search packages indexes; parse a stanza only when it is requested.

Source: Debian's "RepositoryFormat", "Packages indices".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from purekernel.formats.compression import unpack
from purekernel.formats.debian.control import IndexedFile, PackageRecord, parse_stanza
from purekernel.formats.debian.names import PACKAGE
from purekernel.input import Input, Limits
from purekernel.records import frozen
from purekernel.tree import display

# The index of all of Debian has 50 MB and 65,000 stanzas; all suites together four times that.
INDEX_LIMITS = Limits(unpacked_bytes=512 << 20)
MAX_STANZAS = 1_000_000

_NAMES = re.compile(rb"(?i)\n(Package|Provides):[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)")
_PROVIDED = re.compile(rf"({PACKAGE})[^,]*(?:,|$)".encode())
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")


@frozen(kw_only=True)
class IndexedPackage:
    """A package in an index, and its file."""

    record: PackageRecord
    file: IndexedFile


class PackagesIndex:
    """The packages of an index. Damage in a stanza matters only if the stanza is requested.

    Args:
        file: the index, compressed or not; see :data:`INDEX_LIMITS`.

    Raises:
        FormatError: the file is damaged, or not an index.
        LimitError: the file exceeds its limits.
    """

    def __init__(self, file: Input) -> None:
        plain = unpack(file)
        # With a line end at the start, each stanza begins after a line end.
        self._text = b"\n" + bytes(plain)
        self._file = file
        self._named: dict[bytes, list[int]] = {}
        self._providing: dict[bytes, list[int]] = {}
        for match in _NAMES.finditer(self._text):
            if match[1][1:2] in b"aA":
                self._named.setdefault(match[2].strip(), []).append(match.start())
            else:
                for provided in _PROVIDED.finditer(match[2]):
                    self._providing.setdefault(provided[1], []).append(match.start())
            if len(self._named) > MAX_STANZAS:
                raise file.fail(None, f"at most {MAX_STANZAS} packages", "more")
        if not self._named and self._text.strip():
            raise file.fail(
                None,
                "an index with packages: 'Package: …'",
                display(self._text[1:60]),
                hint="use a file named Packages, Packages.gz or Packages.xz",
            )

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._named)

    def named(self, name: str) -> list[IndexedPackage]:
        """Return the packages of that name, in the order of the index.

        Raises:
            FormatError: one of their stanzas is damaged.
        """
        found = self._stanzas(self._named.get(name.encode(), ()))
        # The last of several fields "Package" counts.
        return [package for package in found if package.record.name == name]

    def providing(self, name: str) -> list[IndexedPackage]:
        """Return the packages that provide that name, in the order of the index.

        Raises:
            FormatError: one of their stanzas is damaged.
        """
        found = self._stanzas(self._providing.get(name.encode(), ()))
        return [
            package
            for package in found
            if any(name == provided for provided, _version in package.record.provides)
        ]

    def names(self) -> Iterator[str]:
        """Yield the names of all packages."""
        return (name.decode("utf-8", "replace") for name in self._named)

    def _stanzas(self, positions: Iterable[int]) -> list[IndexedPackage]:
        """Return the package of each stanza that includes one of ``positions``."""
        return list(map(self._read, dict.fromkeys(map(self._start, positions))))

    def _start(self, position: int) -> int:
        """Return where the stanza starts that includes ``position``."""
        # Search backwards line by line: a stanza has about twenty.
        line_end = position
        while line_end > 0:
            previous = self._text.rfind(b"\n", 0, line_end)
            if not self._text[previous + 1 : line_end].strip():
                return line_end + 1
            line_end = previous
        return 1

    def _read(self, start: int) -> IndexedPackage:
        """Return the package whose stanza starts at ``start``."""
        end = _BLANK_LINE.search(self._text, start)
        text = self._text[start : end.start() if end else None]
        # The message has a byte, because counting the lines in 50 MB takes longer than the rest.
        name = f"{self._file.name}, from byte {start - 1}"
        stanza = parse_stanza(self._file.unpacked(text, name=name))
        return IndexedPackage(record=PackageRecord.of(stanza), file=IndexedFile.of(stanza))
