"""Read and write ``.info`` files, which describe extensions.

A file has fields such as ``Description:``, each with a value that continues on further lines.
People write these files by hand: names of fields vary, continuation lines are not always indented,
and encodings are mixed. So this reader is lenient, and keeps all text that it finds.

Source: the template for ``.info`` files in the wiki of Tiny Core; tce-ab, which shows the files as
they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import dedent

from purekernel.formats.text import decode_leniently
from purekernel.input import Input
from purekernel.records import frozen

TITLE, DESCRIPTION, VERSION = "title", "description", "version"
AUTHOR, SITE, LICENCE = "author", "original-site", "copying-policy"
SIZE, PACKAGER, TAGS = "size", "extension-by", "tags"
COMMENTS, CHANGES, CURRENT = "comments", "change-log", "current"

# Other names of fields in real files.
_ALIASES = {
    "authors": AUTHOR, "comment": COMMENTS, "changelog": CHANGES, "change-logs": CHANGES,
    "copying": LICENCE, "license": LICENCE, "licence": LICENCE, "site": SITE, "tag": TAGS,
}  # fmt: skip
_KNOWN = frozenset(
    (
        TITLE, DESCRIPTION, VERSION, AUTHOR, SITE, LICENCE, SIZE, PACKAGER, TAGS, COMMENTS, CHANGES,
        CURRENT,
    )
)  # fmt: skip

# A name, blanks and a colon; not the start of a URL.
_FIELD = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]*(?: [A-Za-z]+)?) {0,40}:(?!//)(?P<rest>.*)")
_LINE_END = re.compile(r"\r\n|\r|\n")


@frozen(kw_only=True)
class ExtensionInfo:
    """The fields of an ``.info`` file.

    Attributes:
        fields: names as they are written, and values, in order. Lines of a value are separated by
            newlines. Text before the first field has an empty name.
        encoding: the encoding that was taken for the file.
    """

    fields: tuple[tuple[str, str], ...]
    encoding: str

    def value(self, name: str) -> str:
        """Return the value of a field by its plain name, such as :data:`LICENCE`.

        The values of several fields with the name are joined by newlines.
        """
        return "\n".join(value for key, value in self.fields if value and plain_name(key) == name)


def parse_info(file: Input) -> ExtensionInfo:
    """Return the fields of an ``.info`` file. Any text is accepted."""
    text, encoding = decode_leniently(bytes(file.data))
    lines = [line.expandtabs().rstrip() for line in _LINE_END.split(text)]
    indent = next((len(line) - len(line.lstrip()) for line in lines if line), 0)
    fields: list[tuple[str, str, list[str]]] = [("", "", [])]
    for line in lines:
        match = _FIELD.fullmatch(line[indent:]) if not line[:indent].strip() else None
        if match is not None and _is_field(match["name"], match["rest"]):
            fields.append((match["name"], match["rest"].strip(), []))
        else:
            fields[-1][2].append(line)
    return ExtensionInfo(
        fields=tuple(
            (name, value) for name, first, rest in fields if (value := _join(first, rest)) or name
        ),
        encoding=encoding,
    )


def build_info(fields: Mapping[str, str]) -> bytes:
    """Return an ``.info`` file: one field a line, in two columns as in Tiny Core.

    Args:
        fields: names and values, in order. Further lines of a value continue in its column.
    """
    lines = []
    for name, value in fields.items():
        first, *rest = value.split("\n")
        lines.append(f"{name + ':':<16}{first}".rstrip())
        lines += [f"{'':<16}{line}".rstrip() for line in rest]
    # Text from a package may have bytes that are not UTF-8.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def plain_name(name: str) -> str:
    """Return the name of a field in lower case with hyphens, and the usual one of its variants."""
    plain = re.sub("[ _]", "-", name.lower())
    return _ALIASES.get(plain, plain)


def _is_field(name: str, rest: str) -> bool:
    """Return whether a line begins a field: a known one, or one word, a colon and a blank."""
    return plain_name(name) in _KNOWN or (" " not in name and (not rest or rest.startswith(" ")))


def _join(first: str, rest: list[str]) -> str:
    below = dedent("\n".join(rest)).rstrip()
    return f"{first}\n{below}".strip("\n") if below.strip() else first
