"""Write the reference in ``recipe.md`` from the schema of recipes.

Run with ``python docs/reference.py``; with ``--check`` it only says whether that is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from purekernel.recipe.check import kind_words
from purekernel.recipe.schema import Schema, Table, resolve, tables, to_toml

PAGE = Path(__file__).with_name("recipe.md")
BEGIN = "<!-- reference: made by docs/reference.py from the schema -->\n"
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
    words = table.schema["description"] if table.label else "Keys of the recipe as a whole."
    rows = "".join(_row(key, schema, table) for key, schema in table.keys.items())
    return (
        f"### {title}\n\n{_plain(words)}\n\n"
        f"| key | value | default | meaning |\n|---|---|---|---|\n{rows}"
    )


def _row(key: str, schema: Schema, table: Table) -> str:
    default = f"`{to_toml(schema['default'])}`" if "default" in schema else ""
    if key in table.schema.get("required", ()):
        default = "needed"
    return f"| `{key}` | {_plain(_value(schema))} | {default} | {_plain(schema['description'])} |\n"


def _value(schema: Schema) -> str:
    """Return what a value must be."""
    if "enum" in schema:
        return ", ".join(map(to_toml, schema["enum"]))
    if schema.get("type") == "array":
        return f"an array; each item: {_value(resolve(schema['items']))}"
    words: str = schema.get("x-words") or kind_words(schema["type"])
    return words


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
