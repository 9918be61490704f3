"""Decode text files that may have a byte order mark, Windows line ends or an old encoding."""

from __future__ import annotations

from purekernel.errors import RecipeError
from purekernel.input import Input

# Recipes, lists and settings have some kilobytes; the index of all Tiny Core extensions has 200.
MOST_BYTES = 1 << 20

UTF_8_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def decode_text(file: Input, *, most_bytes: int = MOST_BYTES) -> str:
    r"""Return ``file`` as text whose lines end in ``\n``, without a byte order mark.

    Raises:
        RecipeError: ``file`` is not UTF-8, or larger than ``most_bytes``.
    """
    data = bytes(file.data)
    if len(data) > most_bytes:
        raise RecipeError(
            f"{file.name}: a text file must be at most {most_bytes} bytes, got {len(data)}",
            hint="check the path of the file",
        )
    if data.startswith(UTF_16_MARKS):
        raise RecipeError(
            f"{file.name}: a text file must be UTF-8, got UTF-16", hint="save the file as UTF-8"
        )
    body = data.removeprefix(UTF_8_MARK)
    try:
        return body.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            f"{file.name}, line {line}: the byte 0x{body[error.start]:02x} is not UTF-8",
            hint="save the file as UTF-8",
        ) from None


def decode_leniently(data: bytes) -> tuple[str, str]:
    """Return text in an unknown encoding, and the name of the encoding that was taken for it.

    For files that anyone may have written with any editor, and that are only shown: UTF-8, else
    UTF-16 with a byte order mark, else Windows-1252, else Latin-1. No byte is dropped.
    """
    if data.startswith(UTF_16_MARKS):
        return data.decode("utf-16", "backslashreplace"), "UTF-16"
    body = data.removeprefix(UTF_8_MARK)
    for encoding in ("UTF-8", "Windows-1252"):
        try:
            return body.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return body.decode("latin-1"), "Latin-1"
