"""``Release`` and ``InRelease``: the digests of an archive's indexes, and who signed them.

Source: Debian's "RepositoryFormat", "Release files"; RFC 9580, 7, "Cleartext Signature
Framework".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.debian.control import parse_stanza
from purekernel.tree import Buffer, display

SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"

# Debian's own lists 2,000.
MAX_FILES = 200_000

_LINE = re.compile(r"([0-9a-f]{64})[ \t]+([0-9]{1,15})[ \t]+(\S+)")


@frozen(kw_only=True)
class ArchiveRelease:
    """What a ``Release`` file says.

    Attributes:
        suite: such as ``oldstable``; empty where it is not said.
        codename: such as ``wheezy``, likewise.
        files: for each file, by its path from here, the SHA-256 in hexadecimal, and the size in
            bytes.
    """

    suite: str
    codename: str
    files: Mapping[str, tuple[str, int]] = field(repr=lambda files: f"<{len(files)} files>")


def parse_release(data: Buffer, *, source: str) -> ArchiveRelease:
    """Return what a ``Release`` file says, or an ``InRelease`` file without its signature.

    Raises:
        FormatError: it is damaged, or has no SHA-256.
    """
    stanza = parse_stanza(data, source=source)
    lines = [line for line in stanza.require("SHA256").split("\n") if line]
    if len(lines) > MAX_FILES:
        raise FormatError(source=source, expected=f"at most {MAX_FILES} files", got="more")
    files = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise FormatError(
                source=f"{source}: SHA256",
                expected="a digest, a size and a path",
                got=display(line[:120].encode()),
            )
        files[match[3]] = (match[1], int(match[2]))
    return ArchiveRelease(suite=stanza.get("Suite"), codename=stanza.get("Codename"), files=files)


def is_signed(data: Buffer) -> bool:
    """Say whether ``data`` opens as text with a signature behind it."""
    return bytes(data[: len(SIGNED)]) == SIGNED


def signed_text(data: Buffer, *, source: str) -> bytes:
    """Return the text of an ``InRelease`` file, of which nobody says that it was signed so.

    Raises:
        FormatError: its parts are not there.
    """
    head, blank, rest = bytes(data).replace(b"\r\n", b"\n").partition(b"\n\n")
    text, mark, _signature = rest.partition(b"\n" + SIGNATURE)
    if not head.startswith(SIGNED) or not blank or not mark:
        raise FormatError(
            source=source,
            expected=f"text between {display(SIGNED)} and {display(SIGNATURE)}",
            got=display(bytes(data[:60])),
        )
    # Lines that begin with a hyphen have another and a blank before it.
    return b"".join(line.removeprefix(b"- ") for line in text.splitlines(keepends=True)) + b"\n"
