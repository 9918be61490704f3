"""The names that extensions may have.

Source: the names in Tiny Core's repositories, such as ``libstdc++-6.tcz``, ``915resolution.tcz``,
``Xorg-7.7-bin.tcz``, ``perl_xml_parser.tcz``; Debian Policy, "Source", of packages.
"""

from __future__ import annotations

import re

from purekernel.errors import FormatError
from purekernel.formats.debian.names import CHOICE

TCZ = ".tcz"
DEB = ".deb"

# ".tcz.md5.txt" behind it still fits in the 255 bytes of a file's name.
MAX_CHARACTERS = 240

# A name becomes a file's name and a part of a URL. The published schema of recipes has the
# same pattern.
EXTENSION_NAME = rf"[A-Za-z0-9][A-Za-z0-9_.+~-]{{0,{MAX_CHARACTERS - 1}}}"
EXTENSION_NAME_WORDS = "the name of an extension: letters, digits and _ . + ~ -"

# What lists may have besides: a Debian package of one version or architecture, as apt has it.
LISTED_NAME = rf"{EXTENSION_NAME}|{CHOICE}\.deb"

_NAME = re.compile(EXTENSION_NAME)
_LISTED = re.compile(LISTED_NAME)


def is_extension_name(text: str) -> bool:
    """Say whether ``text`` can be the name of an extension's file, or of a Debian package's."""
    return text.endswith((TCZ, DEB)) and _NAME.fullmatch(text) is not None


def parse_extension_name(text: str, *, source: str = "a list of extensions") -> str:
    """Return the file name of the extension that ``text`` names.

    Args:
        text: ``bash``, which means ``bash.tcz``; ``bash.tcz``; or ``lshw.deb``, a Debian
            package that becomes an extension, or ``lshw:i386=02.19-2.deb``, one of a version
            or an architecture.
        source: where the name stands, for the message.

    Raises:
        FormatError: no extension can have that name.
    """
    if len(text) > MAX_CHARACTERS or not _LISTED.fullmatch(text):
        raise FormatError(
            source=source,
            expected=EXTENSION_NAME_WORDS,
            got=_what_it_is(text),
            hint="give one name, such as bash.tcz",
        )
    return text if text.endswith((TCZ, DEB)) else text + TCZ


def _what_it_is(text: str) -> str:
    if not text:
        return "nothing"
    if len(text) > MAX_CHARACTERS:
        return f"{text[:20]!r}… with {len(text)} characters"
    return repr(text)
