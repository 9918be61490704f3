from __future__ import annotations

import pytest

from purekernel.errors import RecipeError
from purekernel.formats.text import decode_text


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
def test_text_is_read_as_editors_leave_it(data: bytes, text: str) -> None:
    assert decode_text(data, source="f") == text


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ("a".encode("utf-16"), "f is UTF-16", "save it as UTF-8"),
        (b"\xfe\xff\0a", "f is UTF-16", "save it as UTF-8"),
        (
            b"\xef\xbb\xbfa\r\nb\ncaf\xe9\n",
            "f, line 3: the byte 0xe9 is not UTF-8",
            "save the file as UTF-8",
        ),
        (
            b"a" * 21,
            "f has 21 bytes; at most 20 are read",
            "check that this is the file you mean",
        ),
    ],
)
def test_what_is_no_text_is_refused(data: bytes, message: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        decode_text(data, source="f", most_bytes=20)
    assert (str(caught.value), caught.value.hint) == (message, hint)
