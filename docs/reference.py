"""Write the reference in ``recipe.md`` from the description of recipes in the model.

Run with ``python docs/reference.py``; with ``--check`` it only says whether that is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from purekernel.recipe.keys import Key, Table
from purekernel.recipe.kinds import Array, Choice, Kind
from purekernel.recipe.schema import tables
from purekernel.recipe.words import TYPE_WORDS, to_toml

PAGE = Path(__file__).with_name("recipe.md")
BEGIN = "<!-- reference: made by docs/reference.py from recipe/model.py -->\n"
END = "<!-- end of the reference -->\n"


def render_reference() -> str:
    """Return the reference as Markdown."""
    return "\n".join(map(_section, tables()))


def update(page: str) -> str:
    """Return ``page`` with the reference in it made anew."""
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    return f"{before}{begin}\n{render_reference()}\n{end}{after}"


def _section(table: Table) -> str:
    title = f"`{table.label}`" if table.label else "Before the first table"
    words = table.description or "Keys of the recipe as a whole."
    rows = "".join(map(_row, table.keys.values()))
    return (
        f"### {title}\n\n{_plain(words)}\n\n"
        f"| key | value | default | meaning |\n|---|---|---|---|\n{rows}"
    )


def _row(key: Key) -> str:
    default = "" if key.default is None else f"`{to_toml(key.default)}`"
    if key.required:
        default = "needed"
    return (
        f"| `{key.name}` | {_plain(_value(key.kind))} | {default} | {_plain(key.description)} |\n"
    )


def _value(kind: Kind) -> str:
    """Return what a value must be."""
    if isinstance(kind, Choice):
        return ", ".join(map(to_toml, kind.choices))
    if isinstance(kind, Array):
        return f"an array; each item: {_value(kind.item)}"
    return kind.words or TYPE_WORDS[kind.json_type]


def _plain(text: str) -> str:
    """Return ``text`` with nothing in it that means something to Markdown."""
    for mark in "\\*|<":
        text = text.replace(mark, f"\\{mark}")
    return text


def main() -> int:
    """Write the page; return the exit status."""
    page = PAGE.read_text(encoding="utf-8")
    wanted = update(page)
    if "--check" in sys.argv[1:]:
        return int(page != wanted)
    PAGE.write_text(wanted, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
