from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.formats.extension_info import (
    AUTHOR,
    CHANGES,
    COMMENTS,
    DESCRIPTION,
    LICENCE,
    SITE,
    VERSION,
    build_info,
    parse_info,
    plain_name,
)
from purekernel.input import Input
from tests.shared import mirror

USUAL = """\
Title:          nano.tcz
Description:    a small editor
Version:        2.2
Original-site:  http://nano.example
Copying-policy: GPL
Comments:       Binaries only
                ----
                Compiled for TC 4.x
                  with: colours

Change-log:     2012/01/01 first version
"""


def fields(text: str | bytes) -> tuple[tuple[str, str], ...]:
    data = text.encode() if isinstance(text, str) else text
    return parse_info(Input(data, name="x.info")).fields


def test_usual_file_gives_its_fields_in_order() -> None:
    info = parse_info(Input(USUAL.encode(), name="x.info"))
    assert info.encoding == "UTF-8"
    assert [name for name, _value in info.fields] == [
        "Title", "Description", "Version", "Original-site", "Copying-policy", "Comments",
        "Change-log",
    ]  # fmt: skip
    assert info.value(LICENCE) == "GPL"
    assert info.value(SITE) == "http://nano.example"
    assert info.value(COMMENTS) == "Binaries only\n----\nCompiled for TC 4.x\n  with: colours"
    assert info.value(AUTHOR) == ""


def test_built_file_is_read_back() -> None:
    values = {"Title": "a.tcz", "Comments": "one\n\ntwo", "Original-site": ""}
    data = build_info(values)
    assert data == (
        b"Title:          a.tcz\nComments:       one\n\n                two\nOriginal-site:\n"
    )
    assert fields(data) == tuple(values.items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Title:\ta\r\nVersion:\t1\r\n", (("Title", "a"), ("Version", "1"))),
        ("Title: a\rVersion: 1", (("Title", "a"), ("Version", "1"))),
        ("\ufeffTitle: a", (("Title", "a"),)),
        ("  Title: a\n  Version: 1\n    more", (("Title", "a"), ("Version", "1\nmore"))),
        ("Comments: a\nhttp://b.example\nc d: e", (("Comments", "a\nhttp://b.example\nc d: e"),)),
        ("Comments: a\nNote: b", (("Comments", "a"), ("Note", "b"))),
        ("Comments: a\n  Size: b", (("Comments", "a\nSize: b"),)),
        ("hello\nTitle: a", (("", "hello"), ("Title", "a"))),
        ("Title:a\nExtension by: b\nAuthors: c", (
            ("Title", "a"), ("Extension by", "b"), ("Authors", "c"),
        )),
        ("Comments: a\nComments: b", (("Comments", "a"), ("Comments", "b"))),
        ("", ()),
    ],
)  # fmt: skip
def test_sloppy_file_keeps_all_text(text: str, expected: tuple[tuple[str, str], ...]) -> None:
    assert fields(text) == expected


@pytest.mark.parametrize(
    ("data", "encoding", "description"),
    [
        (b"Description: caf\xe9 \x93x\x94", "Windows-1252", "café “x”"),
        (b"Description: \x81\xe9", "Latin-1", "\x81é"),
        ("Description: é".encode("utf-16"), "UTF-16", "é"),
        ("Description: é".encode("utf-8-sig"), "UTF-8", "é"),
    ],
)
def test_old_encodings_are_read(data: bytes, encoding: str, description: str) -> None:
    info = parse_info(Input(data, name="x.info"))
    assert (info.encoding, info.value(DESCRIPTION)) == (encoding, description)


@pytest.mark.parametrize(
    ("name", "plain"),
    [("Change log", CHANGES), ("changelog", CHANGES), ("Authors", AUTHOR), ("VERSION", VERSION),
     ("Copying_policy", LICENCE), ("Licence", LICENCE), ("Other", "other")],
)  # fmt: skip
def test_variants_of_a_field_have_one_name(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@given(st.text(max_size=200))
def test_any_text_is_accepted_and_no_letter_is_lost(text: str) -> None:
    kept = "".join(f"{name}{value}" for name, value in fields(text.encode("utf-8", "replace")))
    letters = [one for one in text if one.isascii() and one.isalnum()]
    assert [one for one in kept if one.isascii() and one.isalnum()] == letters


def test_info_of_the_shared_extensions_is_read() -> None:
    for path in sorted(mirror().rglob("*.info")):
        info = parse_info(Input(path.read_bytes(), name=path.name))
        assert info.value("title") == path.name.removesuffix(".info")
        assert info.value(LICENCE)
