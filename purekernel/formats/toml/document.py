"""Read TOML into values that know their lines."""

from __future__ import annotations

import tomllib
from typing import Any

from attrs import field, frozen

from purekernel.formats.text import MOST_BYTES, decode_text
from purekernel.formats.toml.faults import explain_fault
from purekernel.formats.toml.scanner import TomlPath, scan_toml


@frozen(kw_only=True)
class TomlDocument:
    """What a TOML file says.

    Attributes:
        source: the file, for messages.
        values: as tomllib gives them.
        lines: for the path of each key, table and item, the line on which it is first named.
    """

    source: str
    values: dict[str, Any]
    lines: dict[TomlPath, int] = field(repr=False)

    def line(self, path: TomlPath) -> int:
        """Return the line of what is at ``path``, or of the nearest thing around it.

        Args:
            path: keys and indices, such as ``("overlay", 0, "path")``. Of an array with items
                on several lines each has its own.
        """
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)

    def place(self, path: TomlPath) -> str:
        """Return the file and line of what is at ``path``, for messages."""
        return f"{self.source}, line {self.line(path)}"


def parse_toml(data: bytes, *, source: str, most_bytes: int = MOST_BYTES) -> TomlDocument:
    """Return what ``data`` says, and where.

    Args:
        data: the file, in UTF-8.
        source: its name, for messages.
        most_bytes: what it may have.

    Raises:
        RecipeError: it is no TOML, or has more in it than a person writes; the message
            names the line.
    """
    text = decode_text(data, source=source, most_bytes=most_bytes)
    # First, because it bounds what tomllib, which recurses and copies paths, is given.
    scan = scan_toml(text, source=source)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise explain_fault(error, scan=scan, text=text, source=source) from None
    return TomlDocument(source=source, values=values, lines=scan.lines)
