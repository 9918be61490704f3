"""Parse TOML into values and lines, and report errors in it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from purekernel.errors import RecipeError
from purekernel.formats.toml import (
    MAX_DEPTH,
    MAX_VALUES,
    TomlDocument,
    TomlPath,
    parse_toml,
    scan_toml,
)
from purekernel.input import Input


def parse(text: str | bytes) -> TomlDocument:
    data = text.encode() if isinstance(text, str) else text
    return parse_toml(Input(data, name="f.toml"))


def everything(value: Any, path: TomlPath = ()) -> Iterator[TomlPath]:
    """Yield the path of each key and item in ``value``."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*path, key)
        yield from everything(item, (*path, key))


EVERYTHING = """\
# [no] = "table"
title = "a # b" # "c"
  "quoted key" = 'x = [y'
'literal.key' = \"\"\"
[not.a.table]
\\"\"\"=1 \"\"\"\"\"
a.b . "c.d" = 1979-05-27 07:32:00
a.e = { f = [1, 2], g.h = {}, "i\\u0020j" = '''x
[[y]]''' }

[mirrors] # the table
tinycore = [ # first
  "http://a", # ]
  [ "x",

    "y" ], { z = 1 }
  , # a comma of its own
  -inf,
]

[[overlay]]
path = "one"
[overlay.inner]
k = true

[[ overlay ]]
[overlay."inner"]
k = 0x_no
[overlay.deeper.still]
k = 1.5e+3
[[overlay.array]]
[[overlay.array]]
k = 07:32:00
[deep.er.table]
[deep]
k = ''
"""
LINES: dict[TomlPath, int] = {
    ("title",): 2,
    ("quoted key",): 3,
    ("literal.key",): 4,
    ("a",): 7,
    ("a", "b"): 7,
    ("a", "b", "c.d"): 7,
    ("a", "e"): 8,
    ("a", "e", "f"): 8,
    ("a", "e", "f", 0): 8,
    ("a", "e", "f", 1): 8,
    ("a", "e", "g"): 8,
    ("a", "e", "g", "h"): 8,
    ("a", "e", "i j"): 8,
    ("mirrors",): 11,
    ("mirrors", "tinycore"): 12,
    ("mirrors", "tinycore", 0): 13,
    ("mirrors", "tinycore", 1): 14,
    ("mirrors", "tinycore", 1, 0): 14,
    ("mirrors", "tinycore", 1, 1): 16,
    ("mirrors", "tinycore", 2): 16,
    ("mirrors", "tinycore", 2, "z"): 16,
    ("mirrors", "tinycore", 3): 18,
    ("overlay",): 21,
    ("overlay", 0): 21,
    ("overlay", 0, "path"): 22,
    ("overlay", 0, "inner"): 23,
    ("overlay", 0, "inner", "k"): 24,
    ("overlay", 1): 26,
    ("overlay", 1, "inner"): 27,
    ("overlay", 1, "inner", "k"): 28,
    ("overlay", 1, "deeper"): 29,
    ("overlay", 1, "deeper", "still"): 29,
    ("overlay", 1, "deeper", "still", "k"): 30,
    ("overlay", 1, "array"): 31,
    ("overlay", 1, "array", 0): 31,
    ("overlay", 1, "array", 1): 32,
    ("overlay", 1, "array", 1, "k"): 33,
    ("deep",): 34,
    ("deep", "er"): 34,
    ("deep", "er", "table"): 34,
    ("deep", "k"): 36,
}


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_each_key_table_and_item_has_its_line(ends: str, mark: bytes) -> None:
    text = EVERYTHING.replace("0x_no", "0x1F")
    document = parse(mark + text.replace("\n", ends).encode())
    assert document.values == tomllib.loads(text)
    assert document.lines == LINES
    assert set(everything(document.values)) == set(LINES)


def test_missing_path_has_the_line_of_its_container() -> None:
    document = parse("\n[a]\nb = [1,\n2]\n")
    assert document.line(("a", "c")) == 2
    assert document.line(("a", "b", 7, "x")) == 3
    assert document.line(("x",)) == 1
    assert document.line(()) == 1
    assert document.place(("a", "b", 1)) == "f.toml, line 4"


# A writer that records the line of each key and item


PLAIN = (
    "1", "-0.5e7", "true", "nan", "1979-05-27", "1979-05-27 07:32:00.5Z",
    '"a # [b] = {c}, \\" \\\\"', "'# [b]'", '""', "''", '"""x""y"""', "''''x'''''",
    '"""\n[a]\n\\"""# b = 1 """""', "'''\r\n[[b]]\n''x'''", '"""\\\n   """',
)  # fmt: skip


class Writer:
    """A TOML text in progress, in styles that ``draw`` chooses."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._pieces: list[str] = []
        self._keys = 0
        self.lines: dict[TomlPath, int] = {}

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def one_of(self, *choices: str) -> str:
        return self._draw(st.sampled_from(choices))

    def up_to(self, most: int) -> range:
        return range(self._draw(st.integers(0, most)))

    def put(self, text: str) -> None:
        self._pieces.append(text)

    def note(self, path: TomlPath) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def key(self, path: TomlPath, *, dotted: bool = True) -> TomlPath:
        """Append a new key of the table at ``path``; return the path of the key."""
        self._keys += 1
        name = f"k{self._keys}"
        self.note((*path, name))
        self.put(self.one_of(name, f'"{name}"', f"'{name}'", f'"\\u006b{self._keys}"'))
        if dotted and self._draw(st.booleans()):
            self.put(self.one_of(".", " . ", "\t."))
            return self.key((*path, name), dotted=False)
        return (*path, name)

    def gap(self) -> None:
        """Append white space, line ends or a comment."""
        self.put(self.one_of("", " ", "\n", "\r\n", " # ] , [\n", "\n\n\t#'''\n"))

    def value(self, path: TomlPath, depth: int) -> None:
        """Append a value."""
        kind = self._draw(st.integers(0, 5 if depth else 3))
        if kind == 4:
            self.array(path, depth - 1)
        elif kind == 5:
            self.inline_table(path, depth - 1)
        else:
            self.put(self.one_of(*PLAIN))

    def array(self, path: TomlPath, depth: int) -> None:
        """Append an array, with white space and comments at all allowed positions."""
        self.put("[")
        count = len(self.up_to(3))
        for index in range(count):
            self.gap()
            self.note((*path, index))
            self.value((*path, index), depth)
            self.gap()
            if index < count - 1 or self._draw(st.booleans()):
                self.put(",")
        self.gap()
        self.put("]")

    def inline_table(self, path: TomlPath, depth: int) -> None:
        """Append a table in braces."""
        self.put("{ ")
        for index in self.up_to(3):
            self.put(", " if index else "")
            self.entry(path, depth)
        self.put(" }")

    def entry(self, path: TomlPath, depth: int) -> None:
        """Append a key and its value."""
        inner = self.key(path)
        self.put(self.one_of("=", " = ", "\t="))
        self.value(inner, depth)

    def body(self, path: TomlPath) -> None:
        """Append the content of a table."""
        for _ in self.up_to(3):
            self.put(self.one_of("", "  ", "\t", "# a = 1\n", "\n \n"))
            self.entry(path, 2)
            self.put(self.one_of("\n", "\r\n", " # [x]\n"))

    def document(self) -> None:
        """Append a whole document."""
        self.body(())
        for table in self.up_to(3):
            for inner in (f"t{table}", f"t{table}.inner.most"):
                path = tuple(inner.split("."))
                for end in range(1, len(path) + 1):
                    self.note(path[:end])
                self.put(self.one_of(f"[{inner}]\n", f"[ {inner.replace('.', ' . ')} ]#\n"))
                self.body(path)
        for element in self.up_to(3):
            self.note(("array",))
            self.note(("array", element))
            self.put(self.one_of("[[array]]\n", "  [[ 'array' ]] # x\n"))
            self.body(("array", element))
            self.note(("array", element, "sub"))
            self.put("[array.sub]\n")
            self.body(("array", element, "sub"))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[TomlPath, int]]:
    writer = Writer(draw)
    writer.document()
    return writer.text, writer.lines


@pytest.mark.slow
@given(documents())
def test_lines_match_the_writers_positions(made: tuple[str, dict[TomlPath, int]]) -> None:
    text, lines = made
    document = parse(text)
    assert document.lines == lines
    assert set(everything(document.values)) == set(lines)
    shown = text.split("\n")
    for path, line in lines.items():
        key = path[-1]
        if isinstance(key, str):
            assert key.removeprefix("k") in shown[line - 1]


KEYS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    st.dates(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.slow
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.booleans())
def test_output_of_tomli_w_is_read(values: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(values, multiline_strings=multiline)
    document = parse(text)
    assert document.values == tomllib.loads(text)
    assert set(document.lines) == set(everything(document.values))


TOKENS = (
    "a", "b.c", '"d"', "'e'", "=", ",", "[", "]", "[[", "]]", "{", "}", "\n", " ", "#", "1", "-1.5",
    "true", "inf", "1979-05-27", "07:32:00", '"', "'", '"""', "'''", "\\", "\\u0041", "\r\n", "\0",
    "\u00e9", ".",
)  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))
@example("a=[")
@example('a="""')
@example("[a]\n[a.b]\na={}\n")
def test_scanner_accepts_what_tomllib_accepts(text: str) -> None:
    """The scanner must read to the end of every text that tomllib accepts."""
    try:
        values = tomllib.loads(text)
    except ValueError:
        with pytest.raises(RecipeError, match=r"^f\.toml, line [0-9]+: [^\n]+$"):
            parse(text)
        return
    assert scan_toml(Input(text.encode(), name="f.toml")).stopped is None
    assert set(parse(text).lines) == set(everything(values))


# Errors

QUOTES = 'put text in quotes ("4.x") and arrays in brackets (["bash.tcz"])'
CLOSE = "close the quotes; put text of several lines in three quotes"
KEY_HINT = "write a key, '=' and a value on a line; keep a table in braces on one line"
TABLE_HINT = "write [name] on a line of its own, or [[name]] if there may be several"
BACKSLASH = "write each backslash twice, or put the text in single quotes"
ALREADY = "a key or table of that name is already defined"

INVALID = {
    "text without quotes": ("a = 1\nb = foo", "line 2: the value is missing or invalid", QUOTES),
    "no value": ("a =\nb = 1", "line 1: the value is missing or invalid", QUOTES),
    "a version": ("a = 4.x", "line 1: unexpected text follows the value", QUOTES),
    "two values": ("a = 1 b = 2", "line 1: unexpected text follows the value", QUOTES),
    "an open text": (
        'a = "x\nb = 1', "line 1: a string must end on the line on which it begins", CLOSE,
    ),
    "an open text at the end": ("\na = 'x", "line 2: a string is not closed", CLOSE),
    "open lines": ('\na = """x\n\n', "line 2: a string is not closed", CLOSE),
    "open literal lines": ("\na = '''x\n\n", "line 2: a string is not closed", CLOSE),
    "a backslash": (
        'a = "\\q"', "line 1: a backslash begins an invalid escape", BACKSLASH,
    ),
    "half an escape": (
        'a = "\\u12"', "line 1: a backslash begins an invalid escape", BACKSLASH,
    ),
    "half a character": (
        'a = "\\ud800"', "line 1: an escape does not stand for a character", BACKSLASH,
    ),
    "no key": ("= 1", "line 1: expected a key, a table or a comment", KEY_HINT),
    "a lone key": ("a", "line 1: '=' and a value must follow the key", KEY_HINT),
    "a key that ends in a dot": ("a. = 1", "line 1: a key is missing", KEY_HINT),
    "a table without a name": ("[]", "line 1: a key is missing", KEY_HINT),
    "an open table": ("[a\n", "line 1: ']' must follow the table's name", TABLE_HINT),
    "half an array of tables": ("[[a]\n", "line 1: ']]' must follow the table's name", TABLE_HINT),
    "an open array": (
        "a = [1,\n2\n", "line 1: the array that begins here is not closed", "close it with ']'",
    ),
    "an open table in braces": (
        "a = {b = 1", "line 1: the table that begins here is not closed", "close it with '}'",
    ),
    "a missing bracket": (
        "a = [1,\n2\nb = 3\n",
        "line 3: a comma or ']' is missing in the array that begins on line 1",
        "put a comma between the items, and ']' after the last",
    ),
    "a missing comma": (
        "a = [1 2]",
        "line 1: a comma or ']' is missing",
        "put a comma between the items, and ']' after the last",
    ),
    "a key twice": ("a = 1\n\na = 2", "line 3: 'a' is already defined on line 1", "define it once"),
    "a dotted key twice": (
        "a.b = 1\na.b = 2", "line 2: 'a.b' is already defined on line 1", "define it once",
    ),
    "a key twice on one line": (
        "a = {b = 1, b = 2}", "line 1: 'b' is already defined on line 1", "define it once",
    ),
    "a table twice": (
        "[a]\nb = 1\n[c]\n[a]\nb = 1", "line 4: [a] is already defined on line 1", "define it once",
    ),
    "a table and a key": (
        "a = 1\n[a]", "line 2: [a] is already defined on line 1", "define it once",
    ),
    "a table in a value": ("a = 1\na.b = 1", f"line 2: {ALREADY}", "define it once"),
    "more in braces": (
        "a = {}\na.b = 1",
        "line 2: a table in braces or an array cannot be extended",
        TABLE_HINT,
    ),
    "a date": (
        "a = 2023-02-30", "line 1: the date does not exist", QUOTES,
    ),
    "a NUL": (
        'a = "\0"',
        "line 1: TOML does not allow this character",
        "see the rules of TOML at https://toml.io",
    ),
    "a control character in a comment": (
        "# \1",
        "line 1: TOML does not allow this character",
        "see the rules of TOML at https://toml.io",
    ),
    "nested brackets": (
        "\na = " + "[" * 100_000,
        "line 2: keys and brackets are nested more than 32 deep",
        "check that this is the right file",
    ),
    "nested braces": (
        "a = " + "{b = " * 100_000,
        "line 1: keys and brackets are nested more than 32 deep",
        "check that this is the right file",
    ),
    "a key of many parts": (
        ".".join("a" * 400_000) + " = 1",
        "line 1: keys and brackets are nested more than 32 deep",
        "check that this is the right file",
    ),
    "a table of many parts": (
        f"[{'.'.join('a' * 20)}]\n{'.'.join('a' * 20)} = 1",
        "line 2: keys and brackets are nested more than 32 deep",
        "check that this is the right file",
    ),
    "a long number": (
        "a = " + "1" * 5000,
        "line 1: a value without quotes has 5000 characters; a number or date has at most 100",
        "put text in quotes",
    ),
    "many items": (
        "a = [\n" + "1," * (MAX_VALUES + 1) + "]",
        f"line 2: there are more than {MAX_VALUES} keys and items",
        "check that this is the right file",
    ),
    "many tables": (
        "[[a]]\n" * (MAX_VALUES + 1),
        f"line {MAX_VALUES}: there are more than {MAX_VALUES} keys and items",
        "check that this is the right file",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name.startswith("many ") else [])
        for name in INVALID
    ],
)
def test_invalid_toml_raises_recipe_error_with_line(name: str) -> None:
    text, message, hint = INVALID[name]
    with pytest.raises(RecipeError) as caught:
        parse(text)
    assert (str(caught.value), caught.value.hint) == (f"f.toml, {message}", hint)


def test_invalid_utf8_and_large_files_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"^f\.toml, line 2: the byte 0xff is not UTF-8$"):
        parse(b"a = 1\nb = '\xff'")
    with pytest.raises(RecipeError) as caught:
        parse(b"#" * ((1 << 20) + 1))
    assert str(caught.value) == "f.toml: a text file must be at most 1048576 bytes, got 1048577"


@pytest.mark.slow
def test_deep_and_wide_text_within_limits_is_read() -> None:
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    document = parse(f"a = {deep}\nb = [{'1,' * (MAX_VALUES - MAX_DEPTH - 1)}]")
    assert document.line(("b", 1000)) == 2
    assert len(document.lines) == MAX_VALUES - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "a = '" + "x" * 1_000_000 + "'",
        'a = "' + "\\n" * 500_000 + '"',
        'a = """' + '""x' * 300_000 + '"""',
        "a = '''" + "''x" * 300_000 + "'''",
        "#" * 1_000_000,
        " " * 1_000_000,
        "\n" * 1_000_000,
        "a" * 1_000_000 + " = 1",
        "a = [" + " \n" * 500_000 + "]",
    ],
)
def test_long_texts_are_read(text: str) -> None:
    assert len(parse(text).lines) <= 1
