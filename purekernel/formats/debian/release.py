"""Read ``Release`` and ``InRelease`` files, and verify their signatures.

A release file has the digests of the indexes of an archive. OpenPGP signatures are verified by
pysequoia, from ``purekernel[signatures]``. It is imported only if the user set a keyring.

Source: Debian's "RepositoryFormat", "Release files"; RFC 9580, 7, "Cleartext Signature
Framework".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from attrs import field

from purekernel.errors import ChecksumError, LibraryError, UsageError
from purekernel.formats.debian.control import Stanza, parse_stanza
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

# Debian's own have three.
MAX_SIGNATURES = 100

# The header of a signature packet whose length is four bytes. Source: RFC 9580, 4.2.1.
_SIGNATURE_PACKET = b"\xc2\xff"

# Debian's keyring with all of its past keys has 130 KB.
MOST_KEYRING_BYTES = 16 << 20

_LINE = re.compile(r"([0-9a-f]+)[ \t]+([0-9]{1,15})[ \t]+(\S+)", re.IGNORECASE)
# As in RFC 5322, in UTC. Names of months do not depend on the locale.
_DATE = re.compile(
    r"(?:[A-Z][a-z]{2}, +)?([0-9]{1,2}) ([A-Z][a-z]{2}) ([0-9]{4}) "
    r"([0-9]{2}):([0-9]{2}):([0-9]{2}) (?:UTC|GMT|Z|[+-]0000)"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DIGITS = {"SHA512": 128, "SHA256": 64}
_LISTS_FILES = re.compile(rb"^(?:MD5Sum|SHA1|SHA256|SHA512):", re.MULTILINE)


@frozen(kw_only=True)
class ReleasedFile:
    """A file that a release file lists.

    Attributes:
        size_bytes: its size in bytes.
        sha512, sha256: its digests in hexadecimal; one of them may be ``None``.
    """

    size_bytes: int
    sha512: str | None = None
    sha256: str | None = None


@frozen(kw_only=True)
class ArchiveRelease:
    """The content of a ``Release`` file.

    Attributes:
        suite: such as ``oldstable``; empty if it is not declared.
        codename: such as ``wheezy``; empty if it is not declared.
        valid_until: when the file expires, in seconds since 1970, UTC; ``None`` if it does not.
        files: the files by their paths, relative to the release file.
    """

    suite: str
    codename: str
    valid_until: int | None = None
    files: Mapping[str, ReleasedFile] = field(repr=lambda files: f"<{len(files)} files>")


def parse_release(file: Input) -> ArchiveRelease:
    """Return the content of a ``Release`` file, or of an ``InRelease`` file without signature.

    Raises:
        FormatError: the file is damaged, or has neither SHA-256 nor SHA-512.
    """
    stanza = parse_stanza(file)
    digests = {name: _digests(file, stanza, name) for name in _DIGITS}
    sha512, sha256 = digests["SHA512"], digests["SHA256"]
    if not sha512 and not sha256:
        raise stanza.fail("a field 'SHA256' or 'SHA512'", "none")
    files = {
        path: ReleasedFile(
            size_bytes=size_bytes,
            sha512=sha512.get(path, (None,))[0],
            sha256=sha256.get(path, (None,))[0],
        )
        for path, (_digest, size_bytes) in {**sha512, **sha256}.items()
    }
    return ArchiveRelease(
        suite=stanza.get("Suite"),
        codename=stanza.get("Codename"),
        valid_until=_valid_until(stanza),
        files=files,
    )


def lists_files(data: Buffer) -> bool:
    """Return whether a ``Release`` file lists files; those of single components do not."""
    return _LISTS_FILES.search(bytes(data)) is not None


def _valid_until(stanza: Stanza) -> int | None:
    text = stanza.get("Valid-Until")
    if not text:
        return None
    if match := _DATE.fullmatch(text.strip()):
        day, month, year, hour, minute, second = match.groups()[:6]
        with suppress(ValueError):  # such as the 31st of February
            date = datetime(
                int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second),
                tzinfo=UTC,
            )  # fmt: skip
            return int(date.timestamp())
    got = display(text[:60].encode("utf-8", "surrogateescape"))
    raise stanza.fail("a date in UTC in 'Valid-Until'", got)


def _digests(file: Input, stanza: Stanza, name: str) -> dict[str, tuple[str, int]]:
    """Return the digest and the size of each file in a field of digests, by its path."""
    lines = [line for line in stanza.get(name).split("\n") if line]
    if len(lines) > MAX_FILES:
        raise file.fail(None, f"at most {MAX_FILES} files", "more")
    files = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or len(match[1]) != _DIGITS[name]:
            raise file.unpacked(b"", name=f"{file.name}: {name}").fail(
                None,
                "a digest, a size and a path",
                display(line[:200].encode("utf-8", "surrogateescape")),
            )
        files[match[3]] = (match[1].lower(), int(match[2]))
    return files


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
            raise self._unsigned(file.name, error) from None
        if verified.bytes is None or not verified.valid_sigs:
            raise self._unsigned(file.name, None)
        return bytes(verified.bytes)

    def verify_detached(self, file: Input, signatures: Input) -> None:
        """Check that one of the keys made one of the signatures of ``file``.

        Args:
            file: the signed file.
            signatures: its signatures, binary or armoured, such as ``Release.gpg``.

        Raises:
            ChecksumError: there is no valid signature by one of the keys.
        """
        library = load_library("pysequoia")
        failure: Exception | None = None
        try:
            packets = list(
                islice(library.packet.PacketPile.from_bytes(bytes(signatures.data)), MAX_SIGNATURES)
            )
        except Exception as error:  # noqa: BLE001  # as above
            raise self._unsigned(file.name, error) from None
        for packet in packets:
            try:
                # A library that verifies one signature reads only the first of several.
                data = _SIGNATURE_PACKET + len(packet.body).to_bytes(4, "big") + packet.body
                signature = library.Sig.from_bytes(data)
                verified = library.verify(
                    bytes=bytes(file.data), store=lambda _ids: self._keys, signature=signature
                )
            except Exception as error:  # noqa: BLE001  # as above
                failure = error
                continue
            if verified.valid_sigs:
                return
        raise self._unsigned(file.name, failure)

    def _unsigned(self, name: str, error: Exception | None) -> ChecksumError:
        reason = "" if error is None else f": {_reason(error)}"
        return ChecksumError(
            f"{name} has no valid signature by a key in {self.source}{reason}",
            hint="set the keyring of that archive, or use another mirror of it",
        )


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
