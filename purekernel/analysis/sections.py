"""Define a section of the description of an image, as JSON and as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import field

from purekernel.analysis.listing import format_time
from purekernel.records import frozen
from purekernel.tree.path import escape

Row = Mapping[str, object]

# Longer values, such as the description of a package, are cut on a terminal. JSON has all.
MOST_COLUMNS = 200

# What the names of sizes and of times end with; times are seconds since 1970, UTC.
_BYTES, _TIME = "_bytes", "_time"


@frozen(kw_only=True)
class Section:
    """A section of the description of a part: facts, a table, or both.

    Attributes:
        key: its name in JSON, such as ``el_torito``.
        title: its heading.
        facts: names and values; an empty value is not shown as text.
        rows: the rows of a table, all with the same names.
    """

    key: str
    title: str
    facts: Row = field(factory=dict)
    rows: Sequence[Row] = ()

    @property
    def json(self) -> dict[str, object]:
        """The value in JSON: the facts, and the rows as ``entries``."""
        return {**self.facts, "entries": list(self.rows)} if self.rows else dict(self.facts)

    def lines(self) -> Iterator[str]:
        """Yield the lines of its text; values have no control characters."""
        yield f"{self.title}:"
        facts = [(_label(key), _show(key, value)) for key, value in self.facts.items()]
        shown = [(label, text) for label, text in facts if text]
        width = max((len(label) for label, _text in shown), default=0)
        yield from (f"  {label:{width}}  {text}" for label, text in shown)
        if self.rows:
            yield from _table(self.rows)


def merge_sections(sections: Iterable[Section], *, repeated: str) -> dict[str, object]:
    """Return sections as one object of JSON.

    Args:
        sections: the sections.
        repeated: the key of which there may be several; its value is a list.
    """
    merged: dict[str, object] = {}
    several: list[object] = []
    for section in sections:
        if section.key == repeated:
            several.append(section.json)
            merged[repeated] = several
        else:
            merged[section.key] = section.json
    return merged


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table, without the columns that are empty in each row."""
    columns = [(key, [_show(key, row[key], with_unit=False) for row in rows]) for key in rows[0]]
    columns = [(key, cells) for key, cells in columns if any(cells)]
    widths = [max(len(_label(key)), *map(len, cells)) for key, cells in columns]
    lines = [[_label(key) for key, _cells in columns]]
    lines += [[cells[index] for _key, cells in columns] for index in range(len(rows))]
    lines = [line for line in lines if any(line)]
    for line in lines:
        cells = (
            cell.rjust(width) if _is_number(rows, key) else cell.ljust(width)
            for cell, width, (key, _cells) in zip(line, widths, columns, strict=True)
        )
        yield "  " + "  ".join(cells).rstrip()


def _is_number(rows: Sequence[Row], key: str) -> bool:
    return all(isinstance(row[key], int) and not isinstance(row[key], bool) for row in rows)


def _label(key: str) -> str:
    return key.removesuffix(_BYTES).removesuffix(_TIME).replace("_", " ")


def _show(key: str, value: object, *, with_unit: bool = True) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, list | tuple):
        return show_text(", ".join(map(str, value)))
    if isinstance(value, int) and key.endswith(_BYTES) and with_unit:
        return f"{value} bytes"
    if isinstance(value, int) and key.endswith(_TIME):
        return format_time(value) if value else ""
    return show_text(str(value))


def show_text(text: str) -> str:
    """Return a text as one line without control characters, cut if it is very long."""
    shown = escape(text.encode("utf-8", "surrogateescape"))
    return shown if len(shown) <= MOST_COLUMNS else shown[:MOST_COLUMNS] + "…"
