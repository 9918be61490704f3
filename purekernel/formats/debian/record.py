"""What a package says of itself, in its control file or in an index.

Source: deb-control(5); Debian's "RepositoryFormat", "Packages indices".
"""

from __future__ import annotations

import re

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.debian.control import Stanza
from purekernel.formats.debian.names import ARCHITECTURE, PACKAGE
from purekernel.formats.debian.relation import Alternatives, parse_relations
from purekernel.formats.debian.version import DebianVersion

_PACKAGE = re.compile(PACKAGE)
_ARCHITECTURE = re.compile(ARCHITECTURE)
_SIZE = re.compile(r"[0-9]{1,15}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


@frozen(kw_only=True)
class PackageRecord:
    """One package of one version and architecture.

    Attributes:
        name: of the package.
        version: of the package.
        architecture: that it is for, or ``all``.
        depends: what must be there before it works, ``Pre-Depends`` first.
        provides: for each name that it stands for, the version of that, if one is said.
        fields: all that is said, as it is.
    """

    name: str
    version: DebianVersion = field(eq=lambda version: version.text)
    architecture: str
    depends: tuple[Alternatives, ...] = ()
    provides: tuple[tuple[str, DebianVersion | None], ...] = ()
    fields: Stanza = field(repr=False, eq=False)

    @classmethod
    def of(cls, stanza: Stanza) -> PackageRecord:
        """Read a stanza.

        Raises:
            FormatError: a field is missing, or is not what it must be.
        """
        source = stanza.source
        name = _matching(stanza, "Package", _PACKAGE, "the name of a package")
        architecture = _matching(stanza, "Architecture", _ARCHITECTURE, "an architecture")
        text = stanza.require("Version")
        try:
            version = DebianVersion(text)
        except ValueError:
            raise FormatError(
                source=source, expected="a version in 'Version'", got=repr(text[:80])
            ) from None
        depends = [
            group
            for key in ("Pre-Depends", "Depends")
            for group in parse_relations(stanza.get(key), source=f"{source}: {key}")
        ]
        provided = parse_relations(stanza.get("Provides"), source=f"{source}: Provides")
        return cls(
            name=name,
            version=version,
            architecture=architecture,
            depends=tuple(depends),
            provides=tuple((one.name, one.version) for group in provided for one in group),
            fields=stanza,
        )

    @property
    def provided(self) -> str:
        """What it stands for, as an index has it."""
        return ", ".join(
            name if version is None else f"{name} (= {version})" for name, version in self.provides
        )

    @property
    def file_name(self) -> str:
        """What the package's file is called by custom: ``lshw_02.19-2_i386.deb``."""
        version = self.version.without_epoch.replace(":", "+")
        return f"{self.name}_{version}_{self.architecture}.deb"

    @property
    def summary(self) -> str:
        """The first line of its description."""
        return self.fields.get("Description").partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.architecture})"


@frozen(kw_only=True)
class IndexedFile:
    """A package's file, as an index has it.

    Attributes:
        path: below the archive's base.
        size_bytes: its size.
        sha256: in hexadecimal; ``None`` where the index has only an MD5.
        md5: in hexadecimal, likewise.
    """

    path: str
    size_bytes: int
    sha256: str | None
    md5: str | None

    @classmethod
    def of(cls, stanza: Stanza) -> IndexedFile:
        """Read a stanza of an index.

        Raises:
            FormatError: a field is missing, or is not what it must be; or there is no digest,
                or a path that leads out of the archive.
        """
        size = _matching(stanza, "Size", _SIZE, "a number of bytes")
        digests = {}
        for key, form in (("SHA256", _SHA256), ("MD5sum", _MD5)):
            text = stanza.get(key).lower()
            if text and not form.fullmatch(text):
                raise FormatError(
                    source=stanza.source, expected=f"a digest in {key!r}", got=repr(text[:80])
                )
            digests[key] = text or None
        if not any(digests.values()):
            raise FormatError(
                source=stanza.source, expected="a digest in 'SHA256' or 'MD5sum'", got="none"
            )
        path = stanza.require("Filename").removeprefix("./")
        if path.startswith("/") or {"", ".", ".."} & set(path.split("/")) or "\\" in path:
            raise FormatError(
                source=stanza.source,
                expected="a path below the archive in 'Filename'",
                got=repr(path[:80]),
            )
        return cls(path=path, size_bytes=int(size), sha256=digests["SHA256"], md5=digests["MD5sum"])


def _matching(stanza: Stanza, key: str, form: re.Pattern[str], what: str) -> str:
    value = stanza.require(key)
    if not form.fullmatch(value):
        raise FormatError(source=stanza.source, expected=f"{what} in {key!r}", got=repr(value[:80]))
    return value
