"""Read control files and the stanzas of indexes: fields, packages, and the files of packages.

Source: deb822(5); deb-control(5); Debian Policy, 5.1, "Syntax of control files"; Debian's
"RepositoryFormat", "Packages indices".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import field

from purekernel.errors import FormatError
from purekernel.formats.debian.names import ARCHITECTURE, PACKAGE, DebianVersion
from purekernel.formats.debian.relation import Alternatives, parse_relations
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display

# The longest descriptions have about 20 KB; the digests in a Release file have megabytes.
MAX_FIELDS = 1000

_FIELD = re.compile(r"([!-9;-~]+):(.*)", re.DOTALL)

_PACKAGE = re.compile(PACKAGE)
_ARCHITECTURE = re.compile(ARCHITECTURE)
_SIZE = re.compile(r"[0-9]{1,15}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


@frozen(kw_only=True)
class Stanza:
    r"""A paragraph of fields.

    Attributes:
        source: the file and lines of the stanza, for messages.
        fields: maps names in lower case to values. Lines of a value are separated by ``\n`` and
            have no blanks around them.
    """

    source: str
    fields: Mapping[str, str] = field(repr=lambda fields: repr(list(fields)))

    def get(self, name: str, default: str = "") -> str:
        """Return the value of a field; upper and lower case in ``name`` are equal."""
        return self.fields.get(name.lower(), default)

    def require(self, name: str) -> str:
        """Return the value of a required field.

        Raises:
            FormatError: the field is missing or empty.
        """
        value = self.get(name)
        if not value:
            raise self.fail(f"a field {name!r}", "none")
        return value

    def match(self, name: str, pattern: re.Pattern[str], what: str) -> str:
        """Return the value of a required field, which must match ``pattern``.

        Raises:
            FormatError: the field is missing or does not match; the message calls it ``what``.
        """
        value = self.require(name)
        if not pattern.fullmatch(value):
            raise self.fail(f"{what} in {name!r}", repr(value[:80]))
        return value

    def fail(self, expected: str, got: str) -> FormatError:
        """Return an error about the stanza, for the caller to raise."""
        return FormatError(source=self.source, expected=expected, got=got)


def iter_stanzas(file: Input) -> Iterator[Stanza]:
    """Yield the stanzas of a file in order.

    Blank lines separate stanzas. Lines that begin with ``#`` are comments.

    Raises:
        FormatError: the file is not UTF-8, a line is neither a field nor continues one, a field is
            repeated, or there are too many fields.
    """
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(_decode(file).split("\n"), start=1):
        bare = line.rstrip()
        if bare:
            if not bare.startswith("#"):
                lines.append((number, bare))
        elif lines:
            yield _parse_lines(file, lines)
            lines = []
    if lines:
        yield _parse_lines(file, lines)


def parse_stanza(file: Input) -> Stanza:
    """Return the only stanza of a file.

    Raises:
        FormatError: as :func:`iter_stanzas`, or the number of stanzas is not one.
    """
    stanzas = iter_stanzas(file)
    stanza = next(stanzas, None)
    if stanza is None:
        raise file.fail(None, "a stanza of fields", "none")
    if next(stanzas, None) is not None:
        raise file.fail(None, "one stanza of fields", "several")
    return stanza


def _decode(file: Input) -> str:
    raw = bytes(file.data)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise file.fail(
            error.start, "text in UTF-8", f"the byte 0x{raw[error.start]:02x}"
        ) from None


def _parse_lines(file: Input, lines: list[tuple[int, str]]) -> Stanza:
    fields: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, line in lines:
        if line[0] in " \t":
            if current is None:
                raise file.fail_at_line(number, "a field", _excerpt(line))
            current.append(line.strip())
            continue
        match = _FIELD.fullmatch(line)
        if match is None or line.startswith("-"):
            raise file.fail_at_line(number, "a field: 'Name: value'", _excerpt(line))
        name = match[1].lower()
        if name in fields:
            raise file.fail_at_line(number, "each field once", f"{match[1]} again")
        if len(fields) == MAX_FIELDS:
            raise file.fail_at_line(number, f"at most {MAX_FIELDS} fields", "more")
        current = fields[name] = [match[2].strip()]
    first, last = lines[0][0], lines[-1][0]
    numbers = f"line {first}" if first == last else f"lines {first} to {last}"
    return Stanza(
        source=f"{file.name}, {numbers}",
        fields={name: "\n".join(values) for name, values in fields.items()},
    )


def _excerpt(line: str) -> str:
    return display(line[:80].encode())


@frozen(kw_only=True)
class PackageRecord:
    """A package of one version and architecture.

    Attributes:
        name: the name of the package.
        version: its version; records are equal only if versions are written alike.
        architecture: its architecture, or ``all``.
        depends: its dependencies, ``Pre-Depends`` first.
        provides: the names that it provides, each with a version if it is declared.
        fields: all fields.
    """

    name: str
    version: DebianVersion = field(eq=lambda version: version.text)
    architecture: str
    depends: tuple[Alternatives, ...] = ()
    provides: tuple[tuple[str, DebianVersion | None], ...] = ()
    fields: Stanza = field(repr=False, eq=False)

    @classmethod
    def of(cls, stanza: Stanza) -> PackageRecord:
        """Read a record from a stanza.

        Raises:
            FormatError: a field is missing or malformed.
        """
        name = stanza.match("Package", _PACKAGE, "the name of a package")
        architecture = stanza.match("Architecture", _ARCHITECTURE, "an architecture")
        text = stanza.require("Version")
        try:
            version = DebianVersion(text)
        except ValueError:
            raise stanza.fail("a version in 'Version'", repr(text[:80])) from None
        depends = [
            group
            for key in ("Pre-Depends", "Depends")
            for group in parse_relations(stanza.get(key), source=f"{stanza.source}: {key}")
        ]
        provided = parse_relations(stanza.get("Provides"), source=f"{stanza.source}: Provides")
        return cls(
            name=name,
            version=version,
            architecture=architecture,
            depends=tuple(depends),
            provides=tuple(
                (relation.name, relation.version) for group in provided for relation in group
            ),
            fields=stanza,
        )

    @property
    def provided(self) -> str:
        """The names that it provides, in the notation of control files."""
        return ", ".join(
            name if version is None else f"{name} (= {version})" for name, version in self.provides
        )

    @property
    def file_name(self) -> str:
        """The conventional name of the package's file: ``lshw_02.19-2_i386.deb``."""
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
    """The file of a package in an index.

    Attributes:
        path: the path below the base of the archive.
        size_bytes: the size in bytes.
        sha256: the digest in hexadecimal; ``None`` if the index has only an MD5.
        md5: the digest in hexadecimal; ``None`` if it is missing.
    """

    path: str
    size_bytes: int
    sha256: str | None
    md5: str | None

    @classmethod
    def of(cls, stanza: Stanza) -> IndexedFile:
        """Read the description of a file from a stanza of an index.

        Raises:
            FormatError: a field is missing or malformed, there is no digest, or the path is outside
                of the archive.
        """
        size = stanza.match("Size", _SIZE, "a number of bytes")
        digests = {}
        for key, pattern in (("SHA256", _SHA256), ("MD5sum", _MD5)):
            text = stanza.get(key).lower()
            if text and not pattern.fullmatch(text):
                raise stanza.fail(f"a digest in {key!r}", repr(text[:80]))
            digests[key] = text or None
        if not any(digests.values()):
            raise stanza.fail("a digest in 'SHA256' or 'MD5sum'", "none")
        path = stanza.require("Filename").removeprefix("./")
        if path.startswith("/") or {"", ".", ".."} & set(path.split("/")) or "\\" in path:
            raise stanza.fail("a path below the archive in 'Filename'", repr(path[:80]))
        return cls(path=path, size_bytes=int(size), sha256=digests["SHA256"], md5=digests["MD5sum"])
