"""Parse PAX extended headers: records of ``length keyword=value``.

Source: POSIX.1-2017, pax, "pax Extended Header"; star(5) and libarchive's tar(5) for vendor
keywords.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import evolve, field

from purekernel.errors import FormatError, LimitError, UnsupportedError
from purekernel.formats.tar import sparse
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display

# The keywords of star and of Solaris for sparse files, which no other program writes.
UNKNOWN_SPARSE_KEYWORDS = (b"SCHILY.realsize", b"SUN.holesdata")
# The keywords of GNU tar for a part of a file. GNU.volume.label is the name of an archive.
MULTI_VOLUME_KEYWORDS = (b"GNU.volume.filename", b"GNU.volume.size", b"GNU.volume.offset")

# Keywords for one member, which make no sense in a global header.
ONE_MEMBER_KEYWORDS = frozenset({b"path", b"linkpath", b"size"}) | sparse.KEYWORDS

# The keywords that the reader uses. Others are dropped, because there may be very many, and the
# records of a global header are copied for each member.
KEPT_KEYWORDS = ONE_MEMBER_KEYWORDS | {
    b"uid",
    b"gid",
    b"mtime",
    b"SCHILY.devmajor",
    b"SCHILY.devminor",
}

# The keywords that describe the archive or the disk that it was made from, not the files. Any other
# keyword that the reader does not use is reported, because it may change what a file does.
HARMLESS_KEYWORDS = frozenset(
    {
        *(b"atime", b"charset", b"comment", b"ctime", b"gname", b"hdrcharset", b"uname"),
        *(b"SCHILY.dev", b"SCHILY.filetype", b"SCHILY.ino", b"SCHILY.nlink", b"SCHILY.release"),
        *(b"SCHILY.archtype", b"SCHILY.tarfiletype", b"SCHILY.volhdr.", b"GNU.volume.label"),
        *(b"LIBARCHIVE.creationtime", b"LIBARCHIVE.symlinktype"),
    }
)
# The prefixes of keywords for extended attributes, before the name of the attribute.
ATTRIBUTE_PREFIXES = (b"SCHILY.xattr.", b"LIBARCHIVE.xattr.", b"RHT.")
# An attribute without which a program does not work. It is named before others.
CAPABILITIES = b"security.capability"

# The records and the extents of sparse files in one archive; those of one sparse file are fewer.
# So many take some ten seconds.
MAX_RECORDS = 1 << 21

_LENGTH = re.compile(rb"([1-9][0-9]{0,9}) ")
# The fraction of a time is dropped, because images store whole seconds. 18 digits fit in 64 bits.
_TIME = re.compile(rb"(-?[0-9]{1,18})(?:\.[0-9]*)?")
_NUMBER = re.compile(rb"[0-9]{1,18}")


@frozen(kw_only=True)
class PaxExtension:
    """The records of extended headers, which override the fields of a member's header.

    Attributes:
        file: the content of the extended header, for messages.
        records: values by keyword; an empty value cancels a global record.
        lost: the name of an attribute that the reader ignores, such as ``security.capability``;
            empty if there is none.
        count: the number of records in the header, with those that are dropped.
    """

    file: Input
    records: Mapping[bytes, bytes] = field(factory=dict)
    lost: bytes = b""
    count: int = 0

    def over(self, older: PaxExtension) -> PaxExtension:
        """Return ``older``, updated with these records."""
        records = {**older.records, **self.records}
        return evolve(self, records=records, lost=self.lost or older.lost)

    def name(self, keyword: bytes, otherwise: bytes) -> bytes:
        """Return the value of ``keyword`` or ``otherwise``; ignore the declared character set."""
        return self.records.get(keyword) or otherwise

    def number(self, keyword: bytes, otherwise: int) -> int:
        """Return the value of ``keyword`` as a number, or ``otherwise``.

        Raises:
            FormatError: the value is not a decimal number.
        """
        value = self.records.get(keyword)
        if not value:
            return otherwise
        if _NUMBER.fullmatch(value) is None:
            raise self._refuse(keyword, value, "a decimal number")
        return int(value)

    def time(self, otherwise: int) -> int:
        """Return ``mtime`` in whole seconds since 1970, or ``otherwise``.

        Raises:
            FormatError: the value is not a decimal number.
        """
        value = self.records.get(b"mtime")
        if not value:
            return otherwise
        match = _TIME.fullmatch(value)
        if match is None:
            raise self._refuse(b"mtime", value, "seconds, with or without a fraction")
        return int(match[1])

    def _refuse(self, keyword: bytes, value: bytes, expected: str) -> FormatError:
        return self.file.fail(
            0, f"{expected} for the PAX keyword {display(keyword)}", display(value[:40])
        )


def parse_extension(file: Input, *, is_global: bool) -> PaxExtension:
    """Return the records of one extended header.

    Args:
        file: the header's content, without its padding.
        is_global: whether the header applies to all members that follow.

    Raises:
        FormatError: a record is malformed, or declares a part of a multi-volume archive or a sparse
            file of an unknown form.
        LimitError: there are more than :data:`MAX_RECORDS`.
    """
    text = bytes(file.data)
    records: dict[bytes, bytes] = {}
    extents: list[bytes] = []
    lost = b""
    start = 0
    count = 0
    while start < len(text):
        count += 1
        if count > MAX_RECORDS:
            raise too_many(file, start)
        match = _LENGTH.match(text, start)
        end = start + int(match[1]) if match else start
        record = text[match.end() : end - 1] if match else b""
        keyword, equals, value = record.partition(b"=")
        if not keyword or not equals or end > len(text) or text[end - 1 : end] != b"\n":
            raise file.fail(
                start,
                "a PAX record (its length, a keyword, '=', a value, a newline)",
                display(text[start : start + 40]),
            )
        _check_keyword(keyword, file, start, is_global=is_global)
        if keyword in (sparse.OFFSET, sparse.NUMBYTES):
            if (keyword == sparse.OFFSET) == len(extents) % 2:
                raise file.fail(
                    start,
                    "an offset and a size for each extent of a sparse file",
                    f"the PAX keyword {display(keyword)}",
                )
            extents.append(value)
        elif keyword in KEPT_KEYWORDS:
            records[keyword] = value
        elif value and keyword not in HARMLESS_KEYWORDS:
            name = _attribute_name(keyword)
            lost = name if name == CAPABILITIES or not lost else lost
        start = end
    if extents:
        records[sparse.MAP] = b",".join(extents)
    return PaxExtension(file=file, records=records, lost=lost, count=count)


def _attribute_name(keyword: bytes) -> bytes:
    for prefix in ATTRIBUTE_PREFIXES:
        if keyword.startswith(prefix):
            return keyword.removeprefix(prefix)
    return keyword


def _check_keyword(keyword: bytes, file: Input, offset: int, *, is_global: bool) -> None:
    if keyword in UNKNOWN_SPARSE_KEYWORDS:
        raise file.unsupported(
            offset,
            "sparse files in a form of GNU tar",
            f"the PAX keyword {display(keyword)}",
            hint="pack the archive again with GNU tar or bsdtar, or without sparse files",
        )
    if keyword in MULTI_VOLUME_KEYWORDS:
        raise multi_volume(file, offset)
    if is_global and keyword in ONE_MEMBER_KEYWORDS:
        raise file.fail(
            offset,
            "names, sizes and maps only in PAX headers for one member",
            f"{display(keyword)} in a global header",
        )


def too_many(file: Input, offset: int) -> LimitError:
    """Return an error about the number of records or extents, for the caller to raise."""
    return file.exceed(
        offset,
        f"at most {MAX_RECORDS} PAX records and extents of sparse files",
        "more",
        hint="the archive is damaged or hostile: pack its files again, without --sparse (-S)",
    )


def multi_volume(file: Input, offset: int) -> UnsupportedError:
    """Return an error about a part of a multi-volume archive, for the caller to raise."""
    return file.unsupported(
        offset,
        "a complete archive",
        "a part of a multi-volume archive",
        hint="unpack all volumes with tar -M, and pack the files again as one archive",
    )
