r"""Define the entries of a manifest, and parse their keywords and escaped names.

Names are escaped as by vis(3): ``\040`` or ``\s`` for a blank, ``\M-a`` for 0xe1.

Source: mtree(5) of libarchive and of NetBSD; vis(3) and unvis(3) of NetBSD; parse_escapes in
libarchive's archive_read_support_format_mtree.c, which supports only the octal and C escapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum

from attrs import field

from purekernel.errors import FormatError, PathError
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.similar import find_similar
from purekernel.tree import Buffer, display, parse_path

SIGNATURE = b"#mtree"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # written by editors on Windows

# The accounts that every Tiny Core has. Other names cannot be resolved to numbers.
USERS = {b"root": 0, b"tc": 1001}
GROUPS = {b"root": 0, b"staff": 50}

DIGESTS = {
    b"md5": "md5",
    b"md5digest": "md5",
    b"sha1": "sha1",
    b"sha1digest": "sha1",
    b"sha256": "sha256",
    b"sha256digest": "sha256",
    b"sha384": "sha384",
    b"sha384digest": "sha384",
    b"sha512": "sha512",
    b"sha512digest": "sha512",
}

# Keywords that describe a file system on a disk, or checks that are weaker than those above.
UNVERIFIED = frozenset({b"cksum", b"rmd160", b"rmd160digest", b"ripemd160digest"})
IGNORED = UNVERIFIED | {b"flags", b"inode", b"nlink", b"resdevice", b"tags"}
WITHOUT_VALUE = frozenset({b"optional", b"ignore", b"nochange"})

# The formats of device numbers. They differ only for single numbers, which writers split into major
# and minor number.
DEVICE_FORMATS = frozenset(
    b"native 386bsd 4bsd bsdos freebsd hpux isc linux netbsd osf1 sco solaris sunos svr3 "
    b"svr4 ultrix".split()
)

MAX_NUMBER = 0xFFFFFFFF

CORRECT_LINE = "correct that line of the manifest"

_ESCAPE = re.compile(
    rb"\\(?:(?P<octal>[0-3][0-7]{2})"
    rb"|x(?P<hexadecimal>[0-9a-fA-F]{2})"
    rb"|M\^(?P<meta_control>[?@-_a-z])"
    rb"|M-(?P<meta>[!-~])"
    rb"|\^(?P<control>[?@-_a-z])"
    rb"|(?P<zero>0)"
    rb"|(?P<letter>[abEfnrstv])"
    rb"|(?P<itself>[\\#\"'$*?\[~;&<>()`{} =!-]))?",
    re.DOTALL,
)
_LETTERS = {
    b"a": b"\a",
    b"b": b"\b",
    b"E": b"\x1b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"s": b" ",
    b"t": b"\t",
    b"v": b"\v",
}


class EntryType(Enum):
    """The types of mtree(5)."""

    BLOCK = b"block"
    CHARACTER = b"char"
    FOLDER = b"dir"
    FIFO = b"fifo"
    FILE = b"file"
    LINK = b"link"
    SOCKET = b"socket"


@frozen(kw_only=True)
class ManifestEntry:
    """An entry of a manifest, including the defaults from ``/set``.

    Attributes that are ``None`` are not in the manifest.

    Attributes:
        path: the path in the image.
        line: the number of its line in the manifest, counted from 1.
        mtime: seconds since 1970, UTC, without the fraction.
        size: the size of the file in bytes.
        link: the target of a symbolic link.
        device: major and minor number.
        contents: the path of the file, below the manifest's folder, that has its content.
        digests: pairs of an algorithm of :mod:`hashlib` and the digest in hexadecimal.
        optional: whether to skip the entry if its file is missing.
        nochange: whether its file must exist and stays unchanged.
    """

    path: bytes
    line: int
    kind: EntryType | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime: int | None = None
    size: int | None = None
    link: bytes | None = None
    device: tuple[int, int] | None = None
    contents: bytes | None = None
    digests: tuple[tuple[str, str], ...] = field(default=())
    optional: bool = False
    nochange: bool = False

    @property
    def metadata(self) -> dict[str, int]:
        """The fields of :class:`purekernel.tree.Metadata` that the manifest has."""
        fields = {"mode": self.mode, "uid": self.uid, "gid": self.gid, "mtime": self.mtime}
        return {key: value for key, value in fields.items() if value is not None}


def is_mtree(data: Buffer) -> bool:
    """Return whether ``data`` begins with the signature, ``#mtree``."""
    return bytes(data[:9]).removeprefix(BYTE_ORDER_MARK).startswith(SIGNATURE)


@frozen
class ManifestLine:
    """A line of a manifest, for messages; the first has the number 1."""

    manifest: Input
    number: int

    def fail(self, expected: str, got: str, hint: str = CORRECT_LINE) -> FormatError:
        """Return an error about the line, for the caller to raise."""
        return self.manifest.fail_at_line(self.number, expected, got, hint=hint)


def decode_escapes(text: bytes, line: ManifestLine) -> bytes:
    """Return ``text``, a name or link target without white space, with its escapes replaced.

    Raises:
        FormatError: an escape is unknown.
    """

    def replace(match: re.Match[bytes]) -> bytes:
        kind = match.lastgroup
        if kind is None:
            start = match.start()
            got = display(text[start : start + 4])
            raise line.fail("an escape of vis(3), such as \\040", got)
        value = match[kind]
        if kind == "octal":
            return bytes([int(value, 8)])
        if kind == "hexadecimal":
            return bytes([int(value, 16)])
        if kind in ("control", "meta_control"):
            code = 0x7F if value == b"?" else value[0] & 0x1F
            return bytes([code | (0x80 if kind == "meta_control" else 0)])
        if kind == "meta":
            return bytes([value[0] | 0x80])
        if kind == "zero":
            return b"\0"
        return _LETTERS[value] if kind == "letter" else value

    return _ESCAPE.sub(replace, text)


def check_keyword(keyword: bytes, value: bytes | None, line: ManifestLine) -> None:
    """Check that a keyword is known, and that it has a value exactly if it needs one.

    Raises:
        FormatError: the keyword is unknown, lacks its value, or must not have one.
    """
    known = {*_READERS, *DIGESTS, *IGNORED, *WITHOUT_VALUE}
    if keyword not in known:
        names = sorted(word.decode() for word in known)
        text = keyword.decode("utf-8", "replace")
        near = find_similar(text, names, closeness=0)
        hint = f"the most similar keyword is '{near[0]}'" if near else "see mtree(5)"
        if keyword.startswith(b"#"):
            hint = "put comments on lines of their own; in a name, write \\043 for '#'"
        raise line.fail("a keyword of mtree(5)", display(keyword), hint=hint)
    if keyword in WITHOUT_VALUE and value is not None:
        raise line.fail(f"{keyword.decode()} without a value", display(value))
    if keyword not in WITHOUT_VALUE and not value:
        raise line.fail(f"a value for {keyword.decode()}", "none")


def make_entry(
    path: bytes, keywords: Mapping[bytes, tuple[bytes | None, ManifestLine]], number: int
) -> ManifestEntry:
    """Return the entry that checked ``keywords`` describe; ``number`` is that of its line.

    Raises:
        FormatError: a value is malformed.
    """
    fields: dict[str, object] = {}
    digests: list[tuple[str, str]] = []
    for keyword, (value, line) in keywords.items():
        if value is None:
            fields[keyword.decode()] = True
        elif keyword in DIGESTS:
            digests.append((DIGESTS[keyword], _hexadecimal(value, line)))
        elif keyword in _READERS:
            name, read = _READERS[keyword]
            # A number takes precedence over a name, whichever comes first.
            if keyword in (b"uname", b"gname") and name in {
                word.decode() for word in keywords if word in (b"uid", b"gid")
            }:
                continue
            fields[name] = read(value, line)
    fields.pop("ignore", None)
    return ManifestEntry(path=path, line=number, digests=tuple(digests), **fields)  # type: ignore[arg-type]


def _kind(value: bytes, line: ManifestLine) -> EntryType:
    try:
        return EntryType(value)
    except ValueError:
        types = ", ".join(kind.value.decode() for kind in EntryType)
        raise line.fail(f"one of the types {types}", display(value)) from None


def _mode(value: bytes, line: ManifestLine) -> int:
    if re.fullmatch(rb"0*[0-7]{1,4}", value) is None:
        raise line.fail(
            "a mode of octal digits, 0 to 7777",
            display(value),
            hint="write the mode in octal, such as 0755; symbolic modes are not supported",
        )
    return int(value, 8)


def _number(value: bytes, line: ManifestLine) -> int:
    if re.fullmatch(rb"[0-9]{1,10}", value) is None or int(value) > MAX_NUMBER:
        raise line.fail(f"a number from 0 to {MAX_NUMBER}", display(value))
    return int(value)


def _size(value: bytes, line: ManifestLine) -> int:
    if re.fullmatch(rb"[0-9]{1,18}", value) is None:
        raise line.fail("a size in bytes", display(value))
    return int(value)


def _time(value: bytes, line: ManifestLine) -> int:
    match = re.fullmatch(rb"(-?[0-9]{1,18})(?:\.[0-9]*)?", value)
    if match is None:
        raise line.fail("seconds since 1970, with or without '.nanoseconds'", display(value))
    return int(match[1])


def _account(known: Mapping[bytes, int], keyword: str) -> Callable[[bytes, ManifestLine], int]:
    def read(value: bytes, line: ManifestLine) -> int:
        if value not in known:
            names = " or ".join(name.decode() for name in known)
            raise line.fail(names, display(value), hint=f"use the number instead: {keyword}=…")
        return known[value]

    return read


def _device(value: bytes, line: ManifestLine) -> tuple[int, int]:
    name, comma, rest = value.partition(b",")
    if not comma:
        return _packed_device(value, line)
    first, _comma, second = rest.partition(b",")
    major, minor = _any_base(first), _any_base(second)
    if name not in DEVICE_FORMATS or major is None or minor is None:
        raise line.fail("a device such as native,4,64 or linux,4,64", display(value))
    return major, minor


def _packed_device(value: bytes, line: ManifestLine) -> tuple[int, int]:
    """Split a number as Linux's C library does (Source: sys/sysmacros.h of glibc)."""
    number = _any_base(value, most=(1 << 64) - 1)
    if number is None:
        raise line.fail("a device such as native,4,64 or linux,4,64", display(value))
    major = (number >> 8 & 0xFFF) | (number >> 32 & 0xFFFFF000)
    minor = (number & 0xFF) | (number >> 12 & 0xFFFFFF00)
    return major, minor & MAX_NUMBER


def _any_base(text: bytes, most: int = MAX_NUMBER) -> int | None:
    """Parse a number in C notation, 0x for hexadecimal and 0 for octal; else return ``None``."""
    if re.fullmatch(rb"0x[0-9a-fA-F]{1,16}|[0-9]{1,22}", text) is None:
        return None
    base = 16 if text.startswith(b"0x") else 8 if text.startswith(b"0") else 10
    try:
        number = int(text, base)
    except ValueError:
        return None
    return number if number <= most else None


def _hexadecimal(value: bytes, line: ManifestLine) -> str:
    if re.fullmatch(rb"(?:0x)?[0-9a-fA-F]+", value) is None:
        raise line.fail("a digest in hexadecimal", display(value))
    return value.removeprefix(b"0x").decode().lower()


def _escaped(value: bytes, line: ManifestLine) -> bytes:
    decoded = decode_escapes(value, line)
    if b"\0" in decoded:
        raise line.fail("a path without NUL", display(decoded))
    return decoded


def _inner_path(value: bytes, line: ManifestLine) -> bytes:
    try:
        return parse_path(_escaped(value, line))
    except PathError as error:
        raise error.within(f"{line.manifest.name}, line {line.number}") from None


_READERS: dict[bytes, tuple[str, Callable[[bytes, ManifestLine], object]]] = {
    b"content": ("contents", _inner_path),
    b"contents": ("contents", _inner_path),
    b"device": ("device", _device),
    b"gid": ("gid", _number),
    b"gname": ("gid", _account(GROUPS, "gid")),
    b"link": ("link", _escaped),
    b"mode": ("mode", _mode),
    b"size": ("size", _size),
    b"time": ("mtime", _time),
    b"type": ("kind", _kind),
    b"uid": ("uid", _number),
    b"uname": ("uid", _account(USERS, "uid")),
}
