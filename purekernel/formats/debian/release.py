"""Read ``Release`` and ``InRelease`` files, and verify their signatures.

A release file has the digests of the indexes of an archive. OpenPGP signatures are verified by
pysequoia, from ``purekernel[signatures]``. It is imported only if the user set a keyring.

Source: Debian's "RepositoryFormat", "Release files"; RFC 9580, 7, "Cleartext Signature
Framework".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field

from purekernel.errors import ChecksumError, LibraryError, UsageError
from purekernel.formats.debian.control import parse_stanza
from purekernel.input import Input
from purekernel.libraries import load_library
from purekernel.records import frozen
from purekernel.tree import Buffer, display

if TYPE_CHECKING:
    from pysequoia import Cert

SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"

# Debian's own release files list 2,000.
MAX_FILES = 200_000

# Debian's keyring with all of its past keys has 130 KB.
MOST_KEYRING_BYTES = 16 << 20

_LINE = re.compile(r"([0-9a-f]{64})[ \t]+([0-9]{1,15})[ \t]+(\S+)")


@frozen(kw_only=True)
class ArchiveRelease:
    """The content of a ``Release`` file.

    Attributes:
        suite: such as ``oldstable``; empty if it is not declared.
        codename: such as ``wheezy``; empty if it is not declared.
        files: maps the path of each file, relative to the release file, to its SHA-256 in
            hexadecimal and its size in bytes.
    """

    suite: str
    codename: str
    files: Mapping[str, tuple[str, int]] = field(repr=lambda files: f"<{len(files)} files>")


def parse_release(file: Input) -> ArchiveRelease:
    """Return the content of a ``Release`` file, or of an ``InRelease`` file without signature.

    Raises:
        FormatError: the file is damaged, or has no SHA-256.
    """
    stanza = parse_stanza(file)
    lines = [line for line in stanza.require("SHA256").split("\n") if line]
    if len(lines) > MAX_FILES:
        raise file.fail(None, f"at most {MAX_FILES} files", "more")
    files = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise file.unpacked(b"", name=f"{file.name}: SHA256").fail(
                None, "a digest, a size and a path", display(line[:120].encode())
            )
        files[match[3]] = (match[1], int(match[2]))
    return ArchiveRelease(suite=stanza.get("Suite"), codename=stanza.get("Codename"), files=files)


def is_signed(data: Buffer) -> bool:
    """Return whether ``data`` begins with the header of a signed text."""
    return bytes(data[: len(SIGNED)]) == SIGNED


def unverified_text(file: Input) -> bytes:
    """Return the text of an ``InRelease`` file without a check of its signature.

    Raises:
        FormatError: the header or the signature is missing.
    """
    head, blank, rest = bytes(file.data).replace(b"\r\n", b"\n").partition(b"\n\n")
    text, mark, _signature = rest.partition(b"\n" + SIGNATURE)
    if not head.startswith(SIGNED) or not blank or not mark:
        expected = f"text between {display(SIGNED)} and {display(SIGNATURE)}"
        raise file.fail(None, expected, display(bytes(file.data[:60])))
    # Lines that begin with a hyphen are escaped by another hyphen and a blank.
    return b"".join(line.removeprefix(b"- ") for line in text.splitlines(keepends=True)) + b"\n"


@frozen(kw_only=True)
class Keyring:
    """The trusted keys.

    Attributes:
        source: the file of the keyring, for messages.
    """

    source: str
    _keys: list[Cert] = field(repr=lambda keys: f"<{len(keys)} keys>", eq=False)

    def verified_text(self, file: Input) -> bytes:
        """Return the signed part of a file, without any text around it.

        Raises:
            ChecksumError: the file has no valid signature by one of the keys.
        """
        verify = load_library("pysequoia").verify
        try:
            verified = verify(bytes=bytes(file.data), store=lambda _ids: self._keys)
        except Exception as error:  # noqa: BLE001  # it raises any type, and the input is hostile
            raise ChecksumError(
                f"{file.name} has no valid signature by a key in {self.source}: {_reason(error)}",
                hint="set the keyring of that archive, or use another mirror of it",
            ) from None
        if verified.bytes is None or not verified.valid_sigs:
            raise ChecksumError(
                f"{file.name} has no valid signature by a key in {self.source}",
                hint="set the keyring of that archive, or use another mirror of it",
            )
        return bytes(verified.bytes)


def parse_keyring(file: Input) -> Keyring:
    """Return the keys in a keyring, binary or armoured, as exported by gpg.

    Raises:
        UsageError: pysequoia is not installed.
        FormatError: the file has no keys, or is too large.
    """
    try:
        certificate = load_library("pysequoia").Cert
    except LibraryError:
        raise UsageError(
            f"signatures cannot be checked against {file.name}: pysequoia is not installed",
            hint="run pip install 'purekernel[signatures]', or leave out the keyring",
        ) from None
    if len(file) > MOST_KEYRING_BYTES:
        raise file.fail(None, f"at most {MOST_KEYRING_BYTES} bytes", f"{len(file)}")
    try:
        keys = certificate.split_bytes(bytes(file.data))
    except Exception as error:  # noqa: BLE001  # as above
        raise file.fail(None, "a keyring of OpenPGP keys", _reason(error)) from None
    if not keys:
        raise file.fail(None, "a keyring of OpenPGP keys", "none")
    return Keyring(source=file.name, keys=keys)


def _reason(error: Exception) -> str:
    """Return the first line of a message; a backtrace follows it."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
