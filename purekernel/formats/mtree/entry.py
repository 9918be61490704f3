"""What one entry of a manifest says, and the keywords it says it with.

Source: mtree(5) of libarchive and of NetBSD.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from enum import Enum

from attrs import field, frozen

from purekernel.errors import FormatError, PathError
from purekernel.formats.mtree.escapes import decode
from purekernel.tree import Buffer, display, parse_path

SIGNATURE = b"#mtree"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # Windows editors put it before UTF-8

# The accounts that every Tiny Core has; no other name means anything here.
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

# True of a file system on a disk, or a check weaker than those above.
PASSED_OVER = frozenset(
    {
        *(b"cksum", b"flags", b"inode", b"nlink", b"resdevice", b"tags"),
        *(b"rmd160", b"rmd160digest", b"ripemd160digest"),
    }
)
WITHOUT_VALUE = frozenset({b"optional", b"ignore", b"nochange"})

# Those whose numbers are told apart into major and minor by their writers. For two
# numbers they all agree.
DEVICE_FORMATS = frozenset(
    b"native 386bsd 4bsd bsdos freebsd hpux isc linux netbsd osf1 sco solaris sunos svr3 "
    b"svr4 ultrix".split()
)

MAX_NUMBER = 0xFFFFFFFF


class Kind(Enum):
    """The types of mtree(5)."""

    BLOCK = b"block"
    CHARACTER = b"char"
    FOLDER = b"dir"
    FIFO = b"fifo"
    FILE = b"file"
    LINK = b"link"
    SOCKET = b"socket"


@frozen(kw_only=True)
class Entry:
    """One entry, with what ``/set`` said before it; ``None`` is what nobody said.

    Attributes:
        path: where it stands in the image.
        line: where it stands in the manifest, the first being 1.
        mtime: seconds since 1970, without the fraction.
        link: a symbolic link's target.
        device: major and minor number.
        contents: the path of the file, under the manifest's folder, that has its content.
        digests: pairs of an algorithm of :mod:`hashlib` and the digest in hexadecimal.
        optional: whether it is left out where there is nothing of that name.
        nochange: whether it must be there and stays as it is.
    """

    path: bytes
    line: int
    kind: Kind | None = None
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
        """The fields of :class:`purekernel.tree.Metadata` that are said."""
        said = {"mode": self.mode, "uid": self.uid, "gid": self.gid, "mtime": self.mtime}
        return {key: value for key, value in said.items() if value is not None}


def is_mtree(data: Buffer) -> bool:
    """Say whether ``data`` opens with the signature, ``#mtree``."""
    return bytes(data[:9]).removeprefix(BYTE_ORDER_MARK).startswith(SIGNATURE)


@frozen(kw_only=True)
class Place:
    """Where an error is: the manifest and the line."""

    source: str
    line: int

    def refuse(self, expected: str, got: str, hint: str = "") -> FormatError:
        """Return the error to raise."""
        return FormatError(
            source=f"{self.source}, line {self.line}",
            expected=expected,
            got=got,
            hint=hint or "correct that line of the manifest",
        )


def check_keyword(keyword: bytes, value: bytes | None, place: Place) -> None:
    """Refuse a keyword that is unknown, lacks its value, or has one too many.

    Raises:
        FormatError: naming the nearest keyword there is.
    """
    known = {*_READERS, *DIGESTS, *PASSED_OVER, *WITHOUT_VALUE}
    if keyword not in known:
        names = sorted(word.decode() for word in known)
        text = keyword.decode("utf-8", "replace")
        near = difflib.get_close_matches(text, names, n=1, cutoff=0)[0]
        hint = f"'{near}' is the nearest there is"
        if keyword.startswith(b"#"):
            hint = "a comment has a line of its own; in a name, write \\043 for '#'"
        raise place.refuse("a keyword of mtree(5)", display(keyword), hint=hint)
    if keyword in WITHOUT_VALUE and value is not None:
        raise place.refuse(f"{keyword.decode()} without a value", display(value))
    if keyword not in WITHOUT_VALUE and not value:
        raise place.refuse(f"a value for {keyword.decode()}", "none")


def make_entry(
    path: bytes, keywords: Mapping[bytes, tuple[bytes | None, Place]], place: Place
) -> Entry:
    """Return the entry that checked ``keywords`` describe.

    Raises:
        FormatError: a value is malformed.
    """
    said: dict[str, object] = {}
    digests: list[tuple[str, str]] = []
    for keyword, (value, where) in keywords.items():
        if value is None:
            said[keyword.decode()] = True
        elif keyword in DIGESTS:
            digests.append((DIGESTS[keyword], _hexadecimal(value, where)))
        elif keyword in _READERS:
            name, read = _READERS[keyword]
            # A number is surer than a name, whichever comes first.
            if keyword in (b"uname", b"gname") and name in {
                word.decode() for word in keywords if word in (b"uid", b"gid")
            }:
                continue
            said[name] = read(value, where)
    said.pop("ignore", None)
    return Entry(path=path, line=place.line, digests=tuple(digests), **said)  # type: ignore[arg-type]


def _kind(value: bytes, place: Place) -> Kind:
    try:
        return Kind(value)
    except ValueError:
        types = ", ".join(kind.value.decode() for kind in Kind)
        raise place.refuse(f"one of the types {types}", display(value)) from None


def _mode(value: bytes, place: Place) -> int:
    if re.fullmatch(rb"0*[0-7]{1,4}", value) is None:
        raise place.refuse(
            "a mode of octal digits, 0 to 7777",
            display(value),
            hint="write the mode in octal, such as 0755: symbolic modes are not read",
        )
    return int(value, 8)


def _number(value: bytes, place: Place) -> int:
    if re.fullmatch(rb"[0-9]{1,10}", value) is None or int(value) > MAX_NUMBER:
        raise place.refuse(f"a number from 0 to {MAX_NUMBER}", display(value))
    return int(value)


def _size(value: bytes, place: Place) -> int:
    if re.fullmatch(rb"[0-9]{1,18}", value) is None:
        raise place.refuse("a size in bytes", display(value))
    return int(value)


def _time(value: bytes, place: Place) -> int:
    match = re.fullmatch(rb"(-?[0-9]{1,18})(?:\.[0-9]*)?", value)
    if match is None:
        raise place.refuse("seconds since 1970, with or without '.nanoseconds'", display(value))
    return int(match[1])


def _account(known: Mapping[bytes, int], keyword: str) -> Callable[[bytes, Place], int]:
    def read(value: bytes, place: Place) -> int:
        if value not in known:
            names = " or ".join(name.decode() for name in known)
            raise place.refuse(names, display(value), hint=f"give the number instead: {keyword}=…")
        return known[value]

    return read


def _device(value: bytes, place: Place) -> tuple[int, int]:
    name, comma, rest = value.partition(b",")
    if not comma:
        return _packed_device(value, place)
    first, _comma, second = rest.partition(b",")
    major, minor = _any_base(first), _any_base(second)
    if name not in DEVICE_FORMATS or major is None or minor is None:
        raise place.refuse("a device such as native,4,64 or linux,4,64", display(value))
    return major, minor


def _packed_device(value: bytes, place: Place) -> tuple[int, int]:
    """Take a number apart as Linux's C library does (Source: sys/sysmacros.h of glibc)."""
    number = _any_base(value, most=(1 << 64) - 1)
    if number is None:
        raise place.refuse("a device such as native,4,64 or linux,4,64", display(value))
    major = (number >> 8 & 0xFFF) | (number >> 32 & 0xFFFFF000)
    minor = (number & 0xFF) | (number >> 12 & 0xFFFFFF00)
    return major, minor & MAX_NUMBER


def _any_base(text: bytes, most: int = MAX_NUMBER) -> int | None:
    """Return a number in C's notation: 0x for hexadecimal, 0 for octal; or ``None``."""
    if re.fullmatch(rb"0x[0-9a-fA-F]{1,16}|[0-9]{1,22}", text) is None:
        return None
    base = 16 if text.startswith(b"0x") else 8 if text.startswith(b"0") else 10
    try:
        number = int(text, base)
    except ValueError:
        return None
    return number if number <= most else None


def _hexadecimal(value: bytes, place: Place) -> str:
    if re.fullmatch(rb"(?:0x)?[0-9a-fA-F]+", value) is None:
        raise place.refuse("a digest in hexadecimal", display(value))
    return value.removeprefix(b"0x").decode().lower()


def _escaped(value: bytes, place: Place) -> bytes:
    decoded = decode(value, place.refuse)
    if b"\0" in decoded:
        raise place.refuse("a path with no NUL", display(decoded))
    return decoded


def _inner_path(value: bytes, place: Place) -> bytes:
    try:
        return parse_path(_escaped(value, place))
    except PathError as error:
        raise error.within(f"{place.source}, line {place.line}") from None


_READERS: dict[bytes, tuple[str, Callable[[bytes, Place], object]]] = {
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
