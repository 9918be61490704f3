"""Read and write the text files of a Tiny Core repository.

Each extension ``NAME.tcz`` has the files ``.md5.txt``, ``.dep``, ``.info`` and ``.list``. Indexes
combine these for all extensions. All are plain text, and may contain stray blanks, blank lines, a
byte order mark and carriage returns from text editors, and comments that begin with ``#``. The
``.info`` files are read by :mod:`purekernel.formats.extension_info`.

Source: tce-load, tce-update, tce-size, search.sh, provides.sh and depends-on.sh of Tiny Core, which
read these files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

from purekernel.errors import FormatError, PurekernelError
from purekernel.formats.debian.names import CHOICE
from purekernel.formats.text import UTF_8_MARK, UTF_16_MARKS, decode_leniently
from purekernel.input import Input
from purekernel.tree import Buffer, display

# The largest known .dep file has about 60 names; that of a whole desktop could have some hundreds.
MAX_DEPENDENCIES = 4096


# The real repositories have about 4,000 extensions.
MAX_EXTENSIONS = 200_000
_MD5_LINE = re.compile(rb"\\?([0-9a-fA-F]{32})[ \t]+\*?(\S.*)")
_SIZE = re.compile(rb"[0-9]{1,15}")
_COMMENT = re.compile(rb"(?:^|[ \t])#.*", re.DOTALL)


# The editions by architecture, as in the names of their ISOs. The first has no desktop, and is the
# default; the others carry extensions in cde/.
EDITIONS = {
    "x86": ("Core", "TinyCore", "CorePlus"),
    "x86_64": ("CorePure64", "TinyCorePure64"),
}


TCZ = ".tcz"
DEB = ".deb"


# With ".tcz.md5.txt" appended, the name still fits in the 255 bytes of a file name.
MAX_CHARACTERS = 240


# A name becomes a file name and a part of a URL. The published schema of recipes has the same
# pattern.
EXTENSION_NAME = rf"[A-Za-z0-9][A-Za-z0-9_.+~-]{{0,{MAX_CHARACTERS - 1}}}"
EXTENSION_NAME_WORDS = "the name of an extension: letters, digits and _ . + ~ -"


# Lists may also contain a Debian package with a version or an architecture, in apt's syntax.
LISTED_NAME = rf"{EXTENSION_NAME}|{CHOICE}\.deb"
_NAME = re.compile(EXTENSION_NAME)
_LISTED = re.compile(LISTED_NAME)


def arch_of(edition: str | None) -> str:
    """Return the architecture of an edition; x86 for no edition, or one that is not known."""
    return next((arch for arch, names in EDITIONS.items() if edition in names), "x86")


def parse_dependencies(file: Input) -> tuple[str, ...]:
    """Return the names in a ``.dep`` file, in order, without duplicates.

    Raises:
        FormatError: a line is not an extension name, or there are too many.
    """
    names: dict[str, None] = {}
    for number, line in _lines(file):
        # tce-load splits lines at blanks.
        for word in line.split():
            names[_name(word, file, number)] = None
        if len(names) > MAX_DEPENDENCIES:
            raise file.fail_at_line(number, f"at most {MAX_DEPENDENCIES} dependencies", "more")
    return tuple(names)


def parse_md5(file: Input) -> str:
    """Return the digest in a ``.md5.txt`` file, in lower-case hexadecimal.

    Raises:
        FormatError: the first line has no digest.
    """
    for _number, line in _lines(file):
        match = _MD5_LINE.fullmatch(line)
        if match is not None:
            return match[1].decode().lower()
        if re.fullmatch(rb"[0-9a-fA-F]{32}", line):
            return line.decode().lower()
        break
    raise file.fail(
        None,
        "a line of md5sum: 32 hexadecimal digits, blanks, a name",
        display(bytes(file.view[:60])),
    )


def parse_md5_index(file: Input) -> dict[str, str]:
    """Return the digest of each extension in ``md5.db``.

    Raises:
        FormatError: a line is not in the format of md5sum, or there are too many.
    """
    digests: dict[str, str] = {}
    for number, line in _index_lines(file):
        match = _MD5_LINE.fullmatch(line)
        if match is None:
            raise file.fail_at_line(number, "32 hexadecimal digits, blanks, a name", display(line))
        digests[_name(match[2], file, number)] = match[1].decode().lower()
    return digests


def parse_size_index(file: Input) -> dict[str, int]:
    """Return the size of each extension in ``sizelist``, in bytes.

    Raises:
        FormatError: a line is not a name and a number, or there are too many.
    """
    sizes: dict[str, int] = {}
    for number, line in _index_lines(file):
        words = line.split()
        if len(words) != 2 or not _SIZE.fullmatch(words[1]):
            raise file.fail_at_line(number, "a name and a size in bytes", display(line))
        sizes[_name(words[0], file, number)] = int(words[1])
    return sizes


def parse_dependency_index(file: Input) -> dict[str, tuple[str, ...]]:
    """Return the direct dependencies of each extension in ``dep.db``.

    Blank lines separate records. The first line of a record is the extension, the others are its
    dependencies. Extensions without dependencies are not listed.

    Raises:
        FormatError: a line is not an extension name, or there are too many.
    """
    records: dict[str, dict[str, None]] = {}
    current: dict[str, None] | None = None
    for number, raw in _raw_lines(file):
        line = _without_comment(raw)
        # A line of blanks comes from such a line in a .dep file, and does not separate records.
        if not raw.strip(b"\r"):
            current = None
        elif line:
            for word in line.split():
                name = _name(word, file, number)
                if current is None:
                    current = records.setdefault(name, {})
                else:
                    current[name] = None
        if len(records) > MAX_EXTENSIONS:
            raise _too_many(file)
    return {name: tuple(dependencies) for name, dependencies in records.items()}


def parse_name_index(file: Input) -> tuple[str, ...]:
    """Return the names in ``info.lst``, one a line.

    Raises:
        FormatError: a line is not an extension name, or there are too many.
    """
    names = (_name(line, file, number) for number, line in _index_lines(file))
    return tuple(dict.fromkeys(names))


def parse_tag_index(file: Input) -> dict[str, str]:
    """Return the text of each extension in ``tags.db``: tags, or a description.

    A line has a name, blanks, and free text. Lines that do not begin with a name are ignored with
    a note.

    Raises:
        FormatError: there are too many extensions.
    """
    tags: dict[str, list[str]] = {}
    ignored = 0
    for _number, raw in _raw_lines(file):
        word, *rest = raw.split(maxsplit=1) or [b"#"]
        if word.startswith(b"#"):
            continue
        name = _name_or_none(word)
        if name is None:
            ignored += 1
            continue
        tags.setdefault(name, []).extend(decode_leniently(b"".join(rest))[0].split())
        if len(tags) > MAX_EXTENSIONS:
            raise _too_many(file)
    _note_ignored(file, ignored)
    return {name: " ".join(words) for name, words in tags.items()}


def read_provided(file: Input) -> Iterator[tuple[str, bytes]]:
    """Yield each extension and each path in it, from ``provides.db``.

    Blank lines separate records. The first line of a record is the extension, the others are the
    paths of its files, without a slash at the start. A record that does not begin with a name is
    ignored with a note.

    Raises:
        FormatError: there are too many extensions.
    """
    name: str | None = None
    is_record, ignored, count = False, 0, 0
    for raw in BytesIO(file.data):
        line = raw.rstrip(b"\r\n")
        if not line.strip():
            is_record = False
        elif not is_record:
            is_record = True
            count += 1
            if count > MAX_EXTENSIONS:
                raise _too_many(file)
            name = _name_or_none(line.removeprefix(UTF_8_MARK).strip())
            ignored += name is None
        elif name is not None:
            yield name, plain_path(line)
    _note_ignored(file, ignored)


def parse_listing(file: Input) -> tuple[bytes, ...]:
    """Return the paths in a ``.list`` file, without a slash at the start, in order."""
    return tuple(
        plain_path(line)
        for raw in BytesIO(file.data)
        if (line := raw.rstrip(b"\r\n").removeprefix(UTF_8_MARK)).strip()
    )


def plain_path(path: bytes) -> bytes:
    """Return a path without ``./`` and slashes at its start."""
    return path.removeprefix(b"./").lstrip(b"/")


def is_plain(data: Buffer) -> bool:
    """Return whether Tiny Core's own programs read a ``.dep`` file as purekernel does.

    They know neither comments nor a byte order mark, and take a carriage return for a part of a
    name.
    """
    return not any(mark in bytes(data) for mark in (b"#", b"\r", UTF_8_MARK))


def build_dependencies(names: tuple[str, ...]) -> bytes:
    """Return a ``.dep`` file."""
    return "".join(f"{name}\n" for name in names).encode()


def build_md5(digest: str, name: str) -> bytes:
    """Return a ``.md5.txt`` file, in the format of md5sum.

    Args:
        digest: the digest in hexadecimal.
        name: the file name of the extension, with ``.tcz``.
    """
    return f"{digest}  {name}\n".encode()


def _index_lines(file: Input) -> Iterator[tuple[int, bytes]]:
    for count, numbered_line in enumerate(_lines(file)):
        if count >= MAX_EXTENSIONS:
            raise _too_many(file)
        yield numbered_line


def _lines(file: Input) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the stripped text of each line that is not blank or a comment."""
    for number, raw in _raw_lines(file):
        line = _without_comment(raw)
        if line:
            yield number, line


def _raw_lines(file: Input) -> Iterator[tuple[int, bytes]]:
    data = bytes(file.data)
    if data.startswith(UTF_16_MARKS):
        raise file.unsupported(0, "text in ASCII or UTF-8", "UTF-16", hint="save the file as UTF-8")
    return enumerate(data.removeprefix(UTF_8_MARK).split(b"\n"), start=1)


def _without_comment(line: bytes) -> bytes:
    return _COMMENT.sub(b"", line, count=1).strip()


# Names of extensions.
#
# Source: the names in Tiny Core's repositories, such as ``libstdc++-6.tcz``, ``915resolution.tcz``,
# ``Xorg-7.7-bin.tcz``, ``perl_xml_parser.tcz``; Debian Policy, "Source", of packages.


def is_extension_name(text: str) -> bool:
    """Return whether ``text`` is a valid file name of an extension or a Debian package."""
    return text.endswith((TCZ, DEB)) and _NAME.fullmatch(text) is not None


def parse_extension_name(text: str, *, source: str = "a list of extensions") -> str:
    """Return the file name of an extension.

    Args:
        text: ``bash``, short for ``bash.tcz``; ``bash.tcz``; ``lshw.deb``, a Debian package that
            becomes an extension; or ``lshw:i386=02.19-2.deb``, with an architecture or a version.
        source: the location of the name, for the message.

    Raises:
        FormatError: the name is invalid.
    """
    if len(text) > MAX_CHARACTERS or not _LISTED.fullmatch(text):
        raise FormatError(
            source=source,
            expected=EXTENSION_NAME_WORDS,
            got=_describe(text),
            hint="give one name, such as bash.tcz",
        )
    return text if text.endswith((TCZ, DEB)) else text + TCZ


def _describe(text: str) -> str:
    if not text:
        return "an empty name"
    if len(text) > MAX_CHARACTERS:
        return f"{text[:20]!r}… with {len(text)} characters"
    return repr(text)


def _name(word: bytes, file: Input, number: int) -> str:
    name = _name_or_none(word)
    if name is None:
        raise file.fail_at_line(number, "an extension name", display(word))
    return name


def _name_or_none(word: bytes) -> str | None:
    try:
        return parse_extension_name(word.decode("utf-8", "backslashreplace"))
    except PurekernelError:
        return None


def _note_ignored(file: Input, count: int) -> None:
    if count:
        lines = (
            "1 entry names no extension and is"
            if count == 1
            else (f"{count} entries name no extension and are")
        )
        file.note(f"{lines} ignored")


def _too_many(file: Input) -> FormatError:
    return file.fail(None, f"at most {MAX_EXTENSIONS} extensions", "more")
