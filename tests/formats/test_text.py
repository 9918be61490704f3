from __future__ import annotations

import pytest

from purekernel.errors import RecipeError
from purekernel.formats.text import decode_text
from purekernel.input import Input


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"a\nb", "a\nb"),
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"a\rb", "a\rb"),
        (b"\xef\xbb\xbfa\n", "a\n"),
        (b"caf\xc3\xa9", "caf\xe9"),
    ],
)
def test_byte_order_mark_and_carriage_returns_are_removed(data: bytes, text: str) -> None:
    assert decode_text(Input(data, name="f")) == text


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (
            "a".encode("utf-16"),
            "f: a text file must be UTF-8, got UTF-16",
            "save the file as UTF-8",
        ),
        (b"\xfe\xff\0a", "f: a text file must be UTF-8, got UTF-16", "save the file as UTF-8"),
        (
            b"\xef\xbb\xbfa\r\nb\ncaf\xe9\n",
            "f, line 3: the byte 0xe9 is not UTF-8",
            "save the file as UTF-8",
        ),
        (
            b"a" * 21,
            "f: a text file must be at most 20 bytes, got 21",
            "check the path of the file",
        ),
    ],
)
def test_file_that_is_not_utf8_or_too_large_is_refused(
    data: bytes, message: str, hint: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        decode_text(Input(data, name="f"), most_bytes=20)
    assert (str(caught.value), caught.value.hint) == (message, hint)
