"""The small text files of a Tiny Core repository.

Beside each extension ``NAME.tcz`` stand ``.md5.txt``, ``.dep``, ``.info`` and ``.list``; three
index files say the same of all of them at once. All are plain text, and carry what people's
editors left in them: stray blanks, blank lines, carriage returns.

Source: tce-load, tce-update and tce-ab of Tiny Core, which read these files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from purekernel.errors import FormatError, PurekernelError
from purekernel.formats.debian.names import CHOICE
from purekernel.tree import Buffer, display

# The largest .dep there is names some 60; one of a whole desktop some hundreds.
MAX_DEPENDENCIES = 4096


# The real repositories hold some 4,000 extensions.
MAX_EXTENSIONS = 200_000
_MD5_LINE = re.compile(rb"\\?([0-9a-fA-F]{32})[ \t]+\*?(\S.*)")
_SIZE = re.compile(rb"[0-9]{1,15}")


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


def parse_dependencies(data: Buffer, *, source: str) -> tuple[str, ...]:
    """Return the names that a ``.dep`` file holds, in order, each once.

    Raises:
        FormatError: a line is no extension's name, or there are too many.
    """
    names: dict[str, None] = {}
    for number, line in _lines(data):
        # tce-load takes them word by word.
        for word in line.split():
            names[_name(word, source, number)] = None
        if len(names) > MAX_DEPENDENCIES:
            raise FormatError(
                source=f"{source}, line {number}",
                expected=f"at most {MAX_DEPENDENCIES} dependencies",
                got="more",
            )
    return tuple(names)


def parse_md5(data: Buffer, *, source: str) -> str:
    """Return the digest that a ``.md5.txt`` file holds, in lower-case hexadecimal.

    Raises:
        FormatError: it holds none.
    """
    for _number, line in _lines(data):
        match = _MD5_LINE.fullmatch(line)
        if match is not None:
            return match[1].decode().lower()
        if re.fullmatch(rb"[0-9a-fA-F]{32}", line):
            return line.decode().lower()
        break
    raise FormatError(
        source=source,
        expected="a line as md5sum writes it: 32 hexadecimal digits, blanks, a name",
        got=display(bytes(data[:60])),
    )


def parse_md5_index(data: Buffer, *, source: str) -> dict[str, str]:
    """Return the digest of each extension that ``md5.db`` lists.

    Raises:
        FormatError: a line is none that md5sum writes, or there are too many.
    """
    digests: dict[str, str] = {}
    for number, line in _index_lines(data, source):
        match = _MD5_LINE.fullmatch(line)
        if match is None:
            raise FormatError(
                source=f"{source}, line {number}",
                expected="32 hexadecimal digits, blanks, a name",
                got=display(line),
            )
        digests[_name(match[2], source, number)] = match[1].decode().lower()
    return digests


def parse_size_index(data: Buffer, *, source: str) -> dict[str, int]:
    """Return the size in bytes of each extension that ``sizelist`` lists.

    Raises:
        FormatError: a line is not a name and a number, or there are too many.
    """
    sizes: dict[str, int] = {}
    for number, line in _index_lines(data, source):
        words = line.split()
        if len(words) != 2 or not _SIZE.fullmatch(words[1]):
            raise FormatError(
                source=f"{source}, line {number}",
                expected="a name and a size in bytes",
                got=display(line),
            )
        sizes[_name(words[0], source, number)] = int(words[1])
    return sizes


def parse_dependency_index(data: Buffer, *, source: str) -> dict[str, tuple[str, ...]]:
    """Return the direct dependencies of each extension that ``dep.db`` lists.

    Records are parted by blank lines; the first line of each is the extension, the others
    are what it needs. What needs nothing is not listed.

    Raises:
        FormatError: a line is no extension's name, or there are too many.
    """
    records: dict[str, dict[str, None]] = {}
    current: dict[str, None] | None = None
    for number, raw in enumerate(bytes(data).split(b"\n"), start=1):
        line = raw.strip()
        # A dependency that is a lone blank came from a .dep with such a line: it parts nothing.
        if not raw.strip(b"\r"):
            current = None
        elif line:
            for word in line.split():
                name = _name(word, source, number)
                if current is None:
                    current = records.setdefault(name, {})
                else:
                    current[name] = None
        if len(records) > MAX_EXTENSIONS:
            raise _too_many(source)
    return {name: tuple(needs) for name, needs in records.items()}


def build_dependencies(names: tuple[str, ...]) -> bytes:
    """Return a ``.dep`` file."""
    return "".join(f"{name}\n" for name in names).encode()


def build_md5(digest: str, name: str) -> bytes:
    """Return a ``.md5.txt`` file, as md5sum writes it.

    Args:
        digest: in hexadecimal.
        name: of the extension, with ``.tcz``.
    """
    return f"{digest}  {name}\n".encode()


def build_info(fields: Mapping[str, str]) -> bytes:
    """Return an ``.info`` file: a field a line, in columns as Tiny Core's are.

    Args:
        fields: in the order in which they are written; a value's further lines stand below its
            first, in the same column.
    """
    lines = []
    for name, value in fields.items():
        first, *rest = value.split("\n")
        lines.append(f"{name + ':':<16}{first}".rstrip())
        lines += [f"{'':<16}{line}".rstrip() for line in rest]
    return "".join(f"{line}\n" for line in lines).encode()


def _index_lines(data: Buffer, source: str) -> Iterator[tuple[int, bytes]]:
    for count, found in enumerate(_lines(data)):
        if count >= MAX_EXTENSIONS:
            raise _too_many(source)
        yield found


def _lines(data: Buffer) -> Iterator[tuple[int, bytes]]:
    """Yield lines that are not blank, without the blanks around them, and their numbers."""
    for number, raw in enumerate(bytes(data).split(b"\n"), start=1):
        line = raw.strip()
        if line:
            yield number, line


# The names that extensions may have.
#
# Source: the names in Tiny Core's repositories, such as ``libstdc++-6.tcz``, ``915resolution.tcz``,
# ``Xorg-7.7-bin.tcz``, ``perl_xml_parser.tcz``; Debian Policy, "Source", of packages.


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


def _name(word: bytes, source: str, number: int) -> str:
    try:
        return parse_extension_name(word.decode("utf-8", "backslashreplace"))
    except PurekernelError:
        raise FormatError(
            source=f"{source}, line {number}", expected="an extension's name", got=display(word)
        ) from None


def _too_many(source: str) -> FormatError:
    return FormatError(source=source, expected=f"at most {MAX_EXTENSIONS} extensions", got="more")
