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

# apt accepts any bytes in names that it does not know.
_FIELD = re.compile(r"([^\x00-\x20\x7f:]+):(.*)", re.DOTALL)

_PACKAGE = re.compile(PACKAGE)
_ARCHITECTURE = re.compile(ARCHITECTURE)
_SIZE = re.compile(r"[0-9]{1,15}")
_SHA512 = re.compile(r"[0-9a-f]{128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")

# What purekernel uses of a stanza of an index, in lower case.
_USED = frozenset(
    {
        "package", "version", "architecture", "pre-depends", "depends", "provides", "filename",
        "size", "sha512", "sha256", "md5sum",
    }
)  # fmt: skip


@frozen(kw_only=True)
class Stanza:
    r"""A paragraph of fields.

    Attributes:
        source: the file and lines of the stanza, for messages.
        fields: maps names in lower case to values. Lines of a value are separated by ``\n`` and
            have no blanks around them. Bytes that are not UTF-8 are lone surrogates (PEP 383).
        repeated: names, as written, of the fields that the stanza has again with another value.
            The last value counts, as in apt.
    """

    source: str
    fields: Mapping[str, str] = field(repr=lambda fields: repr(list(fields)))
    repeated: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """A note about each repeated field that purekernel uses, one line each."""
        return tuple(
            f"{self.source}: the field {name} is repeated: the last one is used"
            for name in self.repeated
            if name.lower() in _USED
        )

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

    def fail(self, expected: str, got: str, *, hint: str = "") -> FormatError:
        """Return an error about the stanza, for the caller to raise."""
        return FormatError(source=self.source, expected=expected, got=got, hint=hint)


def iter_stanzas(file: Input) -> Iterator[Stanza]:
    """Yield the stanzas of a file in order.

    Blank lines separate stanzas. Lines that begin with ``#`` are comments.

    Raises:
        FormatError: a line is neither a field nor continues one, or there are too many fields.
    """
    lines: list[tuple[int, str]] = []
    text = bytes(file.data).decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
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


def _parse_lines(file: Input, lines: list[tuple[int, str]]) -> Stanza:
    fields: dict[str, list[str]] = {}
    written: dict[str, str] = {}
    # The first value of each repeated field.
    earlier: dict[str, list[str]] = {}
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
            earlier.setdefault(name, fields[name])
        elif len(fields) == MAX_FIELDS:
            raise file.fail_at_line(number, f"at most {MAX_FIELDS} fields", "more")
        written.setdefault(name, match[1])
        current = fields[name] = [match[2].strip()]
    first, last = lines[0][0], lines[-1][0]
    numbers = f"line {first}" if first == last else f"lines {first} to {last}"
    return Stanza(
        source=f"{file.name}, {numbers}",
        fields={name: "\n".join(values) for name, values in fields.items()},
        repeated=tuple(written[name] for name, values in earlier.items() if values != fields[name]),
    )


def _excerpt(line: str) -> str:
    return display(line[:80].encode("utf-8", "surrogateescape"))


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
        sha512: the digest in hexadecimal; ``None`` if it is missing.
        sha256: the digest in hexadecimal; ``None`` if it is missing.
        md5: the digest in hexadecimal; ``None`` if it is missing.
    """

    path: str
    size_bytes: int
    sha512: str | None
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
        for key, pattern in (("SHA512", _SHA512), ("SHA256", _SHA256), ("MD5sum", _MD5)):
            text = stanza.get(key).lower()
            if text and not pattern.fullmatch(text):
                raise stanza.fail(f"a digest in {key!r}", repr(text[:80]))
            digests[key] = text or None
        if not any(digests.values()):
            raise stanza.fail(
                "a digest in 'SHA512', 'SHA256' or 'MD5sum'",
                "none",
                hint="make the index again with SHA256, such as with dpkg-scanpackages",
            )
        path = stanza.require("Filename")
        # apt accepts a slash at the start, several slashes, and "." between them.
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or ".." in parts or "\\" in path:
            raise stanza.fail("a path below the archive in 'Filename'", repr(path[:80]))
        return cls(
            path="/".join(parts),
            size_bytes=int(size),
            sha512=digests["SHA512"],
            sha256=digests["SHA256"],
            md5=digests["MD5sum"],
        )
