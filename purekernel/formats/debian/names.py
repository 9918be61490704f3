"""Parse the names and versions of Debian packages, and the choice of a package by users.

Source: Debian Policy, 5.6.1 and 5.6.8, for names of packages and architectures; deb-version(7) for
versions and their order; dpkg-name(1) for names of files.
"""

from __future__ import annotations

import re
from functools import cached_property, total_ordering

from purekernel.errors import FormatError
from purekernel.records import frozen

# The policy requires at least two characters. Debian itself has broken that, and dpkg accepts one.
PACKAGE = r"[A-Za-z0-9][A-Za-z0-9+.-]{0,199}"
ARCHITECTURE = r"[a-z0-9][a-z0-9-]{0,39}"
VERSION = r"[A-Za-z0-9][A-Za-z0-9.+~:-]{0,199}"

DEB = ".deb"

# Packages of the architecture "all" run on any; "any" occurs only in relations.
ALL, ANY = "all", "any"

# The notation of apt.
CHOICE = rf"{PACKAGE}(?::{ARCHITECTURE})?(?:={VERSION})?"

_CHOICE = re.compile(rf"({PACKAGE})(?::({ARCHITECTURE}))?(?:=({VERSION}))?")
_FILE_CHOICE = re.compile(rf"({PACKAGE})_({VERSION})(?:_({ARCHITECTURE}))?")

CHOICE_FORMS = "a package: lshw.deb, lshw:i386.deb, lshw=02.19-2.deb, or lshw_02.19-2_i386.deb"

# The longest in Debian have about sixty characters. A version becomes part of a file name.
MAX_VERSION_CHARS = 200

_EPOCH = re.compile(r"[0-9]{1,9}")
_UPSTREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]*")
_REVISION = re.compile(r"[A-Za-z0-9+.~]+")
_PART = re.compile(r"([^0-9]*)([0-9]*)")

_Key = tuple[tuple[tuple[int, ...], int], ...]

# The weight of the end of a text: after a tilde, before all other characters.
_END = 0
_LAST = ((_END,), 0)


@total_ordering
class DebianVersion:
    """A version, such as ``1:3.5.2-1+b1``. Immutable.

    Versions with the same position in the order are equal, even if they are written differently:
    ``1.0`` equals ``0:1.0-0``.

    Attributes:
        text: the version as written.
        epoch: the number before the colon, or 0.
        upstream: the part between epoch and revision.
        revision: the part after the last hyphen; empty without one.
    """

    def __init__(self, text: str) -> None:
        """Parse ``text``.

        Raises:
            ValueError: it is not a version.
        """
        if len(text) > MAX_VERSION_CHARS:
            raise ValueError(f"{text[:40]!r}… is not a version: it has {len(text)} characters")
        epoch, colon, rest = text.partition(":") if ":" in text else ("", "", text)
        upstream, hyphen, revision = rest.rpartition("-")
        if not hyphen:
            upstream, revision = rest, ""
        if (
            (colon and not _EPOCH.fullmatch(epoch))
            or not _UPSTREAM.fullmatch(upstream)
            or (hyphen and not _REVISION.fullmatch(revision))
        ):
            raise ValueError(f"{text!r} is not a version of a Debian package")
        self.text = text
        self.epoch = int(epoch) if colon else 0
        self.upstream = upstream
        self.revision = revision

    @cached_property
    def _order(self) -> tuple[int, _Key, _Key]:
        return self.epoch, _key(self.upstream), _key(self.revision)

    @property
    def without_epoch(self) -> str:
        """The version in the names of package files."""
        return self.text.partition(":")[2] or self.text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DebianVersion):
            return NotImplemented
        return self._order == other._order

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, DebianVersion):
            return NotImplemented
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"DebianVersion({self.text!r})"


def _key(text: str) -> _Key:
    """Return a sort key for a part of a version: alternating words and numbers.

    Each word ends in an end mark, and so does the key, so that a shorter text compares as if an
    empty text followed. The number 0 counts as empty.
    """
    parts = [
        ((*map(_weight, word), _END), int(number or "0"))
        for word, number in _PART.findall(text)
        if word or number
    ]
    return (*(parts or [_LAST]), _LAST)


def _weight(character: str) -> int:
    """Return the weight of a character: tilde before the end, letters before the others."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


@frozen(kw_only=True)
class PackageChoice:
    """The package that a user chose.

    Attributes:
        name: the name of the package.
        architecture: its architecture; empty for that of the image.
        version: its version, with or without the epoch; empty for the newest.
    """

    name: str
    architecture: str = ""
    version: str = ""

    def admits(self, version: DebianVersion) -> bool:
        """Return whether ``version`` is the chosen one, or none was chosen."""
        if not self.version:
            return True
        return self.version in (version.text, version.without_epoch) or (
            DebianVersion(self.version) == version
        )

    def __str__(self) -> str:
        architecture = f":{self.architecture}" if self.architecture else ""
        version = f"={self.version}" if self.version else ""
        return f"{self.name}{architecture}{version}"


def parse_choice(text: str, *, source: str) -> PackageChoice:
    """Return the choice in a name that ends in ``.deb``.

    The forms are ``NAME``, ``NAME:ARCHITECTURE``, ``NAME=VERSION`` and both, as in apt; or
    ``NAME_VERSION`` and ``NAME_VERSION_ARCHITECTURE``, as in the names of package files.

    Args:
        text: the name.
        source: the list that the name is in, for messages.

    Raises:
        FormatError: the name has another form.
    """
    stem = text.removesuffix(DEB)
    if match := _CHOICE.fullmatch(stem):
        name, architecture, version = match[1], match[2], match[3]
    elif match := _FILE_CHOICE.fullmatch(stem):
        name, version, architecture = match[1], match[2], match[3]
    else:
        raise _invalid_choice(text, source)
    try:
        if version:
            DebianVersion(version)
    except ValueError:
        raise _invalid_choice(text, source) from None
    # The case of letters is kept: Debian's names are in lower case, but file names may not be.
    return PackageChoice(name=name, architecture=architecture or "", version=version or "")


def _invalid_choice(text: str, source: str) -> FormatError:
    return FormatError(
        source=source,
        expected=CHOICE_FORMS,
        got=repr(text[:80]),
        hint="use one name, such as lshw.deb",
    )
