"""PAX extended headers: records of ``length keyword=value``.

Source: POSIX.1-2017, pax, "pax Extended Header"; star(5) and libarchive's tar(5) for the
vendors' keywords.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.tree import Buffer, display

# Keywords by which GNU tar and star say that a file's holes are left out.
SPARSE_KEYWORDS = (b"GNU.sparse.", b"SCHILY.realsize", b"SUN.holesdata")
MULTI_VOLUME_KEYWORDS = (b"GNU.volume.",)

# The names of one member: said for all that follow they would make no sense.
ONE_MEMBER_KEYWORDS = frozenset({b"path", b"linkpath", b"size"})

# What a member's records are asked for. No other is kept: there may be very many, and what a
# global header says is copied for each member.
KEPT_KEYWORDS = ONE_MEMBER_KEYWORDS | {
    b"uid",
    b"gid",
    b"mtime",
    b"SCHILY.devmajor",
    b"SCHILY.devminor",
}

_LENGTH = re.compile(rb"([1-9][0-9]{0,9}) ")
# The fraction of a time is dropped: images count whole seconds. 18 digits fit in 64 bits.
_TIME = re.compile(rb"(-?[0-9]{1,18})(?:\.[0-9]*)?")
_NUMBER = re.compile(rb"[0-9]{1,18}")


@frozen(kw_only=True)
class Extension:
    """What extended headers say about a member, over what its own header says.

    Attributes:
        source: the archive, for messages.
        offset: where the extended header stands, for messages.
        records: keyword to value; an empty value takes back a global record.
    """

    source: str
    offset: int = 0
    records: Mapping[bytes, bytes] = field(factory=dict)

    def over(self, older: Extension) -> Extension:
        """Return ``older`` with these records laid over it."""
        records = {**older.records, **self.records}
        return Extension(source=self.source, offset=self.offset, records=records)

    def name(self, keyword: bytes, otherwise: bytes) -> bytes:
        """Return the bytes at ``keyword``, whatever character set they claim."""
        return self.records.get(keyword) or otherwise

    def number(self, keyword: bytes, otherwise: int) -> int:
        """Return the number at ``keyword``.

        Raises:
            FormatError: there is something, and it is no decimal number.
        """
        value = self.records.get(keyword)
        if not value:
            return otherwise
        if _NUMBER.fullmatch(value) is None:
            raise self._refuse(keyword, value, "a decimal number")
        return int(value)

    def time(self, otherwise: int) -> int:
        """Return ``mtime`` without its fraction, in seconds.

        Raises:
            FormatError: there is one, and it is no decimal number.
        """
        value = self.records.get(b"mtime")
        if not value:
            return otherwise
        match = _TIME.fullmatch(value)
        if match is None:
            raise self._refuse(b"mtime", value, "seconds, with or without a fraction")
        return int(match[1])

    def _refuse(self, keyword: bytes, value: bytes, expected: str) -> FormatError:
        return FormatError(
            source=self.source,
            offset=self.offset,
            expected=f"{expected} for the PAX keyword {display(keyword)}",
            got=display(value[:40]),
        )


def parse_extension(content: Buffer, *, source: str, offset: int, everyone: bool) -> Extension:
    """Return the records of one extended header.

    Args:
        content: the header's content, without its padding.
        source: the archive, for messages.
        offset: where the content starts.
        everyone: whether it is a global header, for all members that follow.

    Raises:
        FormatError: a record is malformed, or tells of a sparse file or a part of a
            multi-volume archive.
    """
    data = bytes(content)
    records: dict[bytes, bytes] = {}
    here = 0
    while here < len(data):
        match = _LENGTH.match(data, here)
        end = here + int(match[1]) if match else here
        record = data[match.end() : end - 1] if match else b""
        keyword, equals, value = record.partition(b"=")
        if not keyword or not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise FormatError(
                source=source,
                offset=offset + here,
                expected="a PAX record (its length, a keyword, '=', a value, a newline)",
                got=display(data[here : here + 40]),
            )
        _check_keyword(keyword, source=source, offset=offset + here, everyone=everyone)
        if keyword in KEPT_KEYWORDS:
            records[keyword] = value
        here = end
    return Extension(source=source, offset=offset, records=records)


def _check_keyword(keyword: bytes, *, source: str, offset: int, everyone: bool) -> None:
    if keyword.startswith(SPARSE_KEYWORDS):
        raise FormatError(
            source=source,
            offset=offset,
            expected="whole files",
            got="a sparse one",
            hint="pack the archive again without --sparse (-S)",
        )
    if keyword.startswith(MULTI_VOLUME_KEYWORDS):
        raise FormatError(
            source=source,
            offset=offset,
            expected="a whole archive",
            got="a part of a multi-volume one",
            hint="pack the archive again without --multi-volume (-M)",
        )
    if everyone and keyword in ONE_MEMBER_KEYWORDS:
        raise FormatError(
            source=source,
            offset=offset,
            expected="names and sizes for one member at a time",
            got=f"a global {display(keyword)}",
        )
