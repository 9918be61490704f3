"""Check the public keys of OpenSSH, as lines of ``authorized_keys`` hold them.

Source: sshd(8), "AUTHORIZED_KEYS FILE FORMAT"; RFC 4253, section 6.6; RFC 5656; RFC 8709;
PROTOCOL.u2f of OpenSSH.
"""

from __future__ import annotations

import binascii
import re

from purekernel.errors import UsageError
from purekernel.records import frozen

# The number of strings in each type of key, after its name.
_PARTS = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ssh-dss": 4,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
_ED25519_BYTES = 32

# An option's value in quotes can contain blanks, commas, and quotes after a backslash.
_OPTIONS = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')
_OTHER_FORMATS = re.compile(r"-----BEGIN|---- BEGIN|PuTTY-User-Key-File")
_HINT = "give the line of a file that ends in .pub, such as 'ssh-ed25519 AAAA… anna@example'"


@frozen(kw_only=True)
class AuthorizedKey:
    """A line of ``authorized_keys``.

    Attributes:
        line: the line, without blanks at its ends.
        kind: the type of key, such as ``ssh-ed25519``.
        blob: the key, as the line has it in base64.
    """

    line: str
    kind: str
    blob: str


def is_other_key_format(text: str) -> bool:
    """Return whether ``text`` begins as a private key, or as a key of another format, does."""
    return _OTHER_FORMATS.match(text.lstrip()) is not None


def parse_authorized_key(text: str) -> AuthorizedKey:
    """Return the key that a line grants access to. Messages do not show the line.

    Raises:
        UsageError: the line is not a public key of OpenSSH, with or without options.
    """
    line = text.strip()
    if is_other_key_format(line):
        if "PRIVATE KEY" in line or line.startswith("PuTTY"):
            raise UsageError(
                "this is a private key, which must never be in an image",
                hint="give the public key, from the file that ends in .pub; if the private key "
                "has been published, create a new one",
            )
        raise UsageError(
            "the public key is not in the format of OpenSSH",
            hint="convert it with 'ssh-keygen -i -f FILE'",
        )
    if "\n" in line:
        raise UsageError("a public key must be one line", hint="give one key in each item")
    options = _OPTIONS.match(line)
    if line.partition(" ")[0].partition("\t")[0] not in _PARTS and options is not None:
        kind, blob = _first_two(line[options.end() :])
    else:
        kind, blob = _first_two(line)
    if kind not in _PARTS:
        raise UsageError("the line must be a public key of OpenSSH, and is not", hint=_HINT)
    try:
        parts = _split(binascii.a2b_base64(blob, strict_mode=True))
    except ValueError:
        parts = []
    if not parts or not all(parts) or (parts[0] == kind.encode() and not _is_whole(kind, parts)):
        raise UsageError(f"the {kind} key is damaged or cut off", hint=_HINT)
    if parts[0] != kind.encode():
        raise UsageError(f"the line says {kind}, and its key is of another type", hint=_HINT)
    return AuthorizedKey(line=line, kind=kind, blob=blob)


def _first_two(text: str) -> tuple[str, str]:
    first, second, *_rest = [*text.split(None, 2), "", ""]
    return first, second


def _is_whole(kind: str, parts: list[bytes]) -> bool:
    is_ed25519 = kind == "ssh-ed25519"
    return len(parts) == _PARTS[kind] + 1 and (not is_ed25519 or len(parts[1]) == _ED25519_BYTES)


def _split(data: bytes) -> list[bytes]:
    """Return the strings in ``data``, each after its length in four bytes.

    Raises:
        ValueError: the last one is cut off.
    """
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 4 + size > len(data):
            raise ValueError("cut off")
        parts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return parts
