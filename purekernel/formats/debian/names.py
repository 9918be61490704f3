"""The names of packages and architectures, and what users choose packages by.

Source: Debian Policy, 5.6.1 and 5.6.8; dpkg-name(1) for the names of files.
"""

from __future__ import annotations

import re

from attrs import frozen

from purekernel.errors import FormatError
from purekernel.formats.debian.version import DebianVersion

# Two characters at least says the policy; its authors have broken that, and dpkg takes one.
PACKAGE = r"[A-Za-z0-9][A-Za-z0-9+.-]{0,199}"
ARCHITECTURE = r"[a-z0-9][a-z0-9-]{0,39}"
VERSION = r"[A-Za-z0-9][A-Za-z0-9.+~:-]{0,199}"

DEB = ".deb"

# "all" runs anywhere, and "any" is a wish.
ALL, ANY = "all", "any"

# As apt has it, and as the names of packages' files are made.
CHOICE = rf"{PACKAGE}(?::{ARCHITECTURE})?(?:={VERSION})?"
FILE_CHOICE = rf"{PACKAGE}_{VERSION}(?:_{ARCHITECTURE})?"

_CHOICE = re.compile(rf"({PACKAGE})(?::({ARCHITECTURE}))?(?:=({VERSION}))?")
_FILE_CHOICE = re.compile(rf"({PACKAGE})_({VERSION})(?:_({ARCHITECTURE}))?")

CHOICE_WORDS = "a package: lshw.deb, lshw:i386.deb, lshw=02.19-2.deb, or lshw_02.19-2_i386.deb"


@frozen(kw_only=True)
class PackageChoice:
    """Which package is asked for.

    Attributes:
        name: of the package.
        architecture: what it must be of; empty is that of the image.
        version: what it must have, without its epoch where that is not said; empty is the newest.
    """

    name: str
    architecture: str = ""
    version: str = ""

    def admits(self, version: DebianVersion) -> bool:
        """Say whether a version is the one that is asked for, if one is."""
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
    """Return which package a name that ends in ``.deb`` asks for.

    ``NAME``, ``NAME:ARCHITECTURE``, ``NAME=VERSION`` and both, as apt takes them; or
    ``NAME_VERSION`` and ``NAME_VERSION_ARCHITECTURE``, as packages' files are called.

    Raises:
        FormatError: it is none of these.
    """
    stem = text.removesuffix(DEB)
    if match := _CHOICE.fullmatch(stem):
        name, architecture, version = match[1], match[2], match[3]
    elif match := _FILE_CHOICE.fullmatch(stem):
        name, version, architecture = match[1], match[2], match[3]
    else:
        raise _no_choice(text, source)
    try:
        if version:
            DebianVersion(version)
    except ValueError:
        raise _no_choice(text, source) from None
    # Debian's names are in small letters; files are asked for by whatever a file system takes.
    return PackageChoice(name=name, architecture=architecture or "", version=version or "")


def _no_choice(text: str, source: str) -> FormatError:
    return FormatError(
        source=source,
        expected=CHOICE_WORDS,
        got=repr(text[:80]),
        hint="give one name, such as lshw.deb",
    )
