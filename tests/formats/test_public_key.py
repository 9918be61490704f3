from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import UsageError
from purekernel.formats.public_key import is_other_key_format, parse_authorized_key
from tests.oracles import require, run


def encode(*parts: bytes) -> str:
    return base64.b64encode(
        b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    ).decode()


BLOB = encode(b"ssh-ed25519", bytes(range(32)))
RSA = encode(b"ssh-rsa", b"\x01\x00\x01", b"\0" + b"\xb5" * 256)
TOKEN = "sk-ssh-ed25519@openssh.com"
TOKEN_BLOB = encode(TOKEN.encode(), b"k" * 32, b"ssh:")
SHORT = encode(b"ssh-ed25519", b"x" * 31)
LINE = f"ssh-ed25519 {BLOB} anna@example"
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n"


@pytest.mark.parametrize(
    ("line", "kind", "blob"),
    [
        (LINE, "ssh-ed25519", BLOB),
        (f"  ssh-rsa\t{RSA}  ", "ssh-rsa", RSA),
        (f'no-pty,from="10.0.0.0/8" {LINE}', "ssh-ed25519", BLOB),
        (f'command="echo \\"a b\\" # ssh-rsa" {LINE}', "ssh-ed25519", BLOB),
        (f"{TOKEN} {TOKEN_BLOB}", TOKEN, TOKEN_BLOB),
    ],
)
def test_public_key_with_or_without_options_is_parsed(line: str, kind: str, blob: str) -> None:
    parsed = parse_authorized_key(line)
    assert (parsed.line, parsed.kind, parsed.blob) == (line.strip(), kind, blob)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (PRIVATE, "this is a private key, which must never be in an image"),
        ("PuTTY-User-Key-File-3: x", "this is a private key, which must never be in an image"),
        ("---- BEGIN SSH2 PUBLIC KEY ----", "the public key is not in the format of OpenSSH"),
        (f"{LINE}\n{LINE}", "a public key must be one line"),
        ("", "the line must be a public key of OpenSSH, and is not"),
        ("$(reboot)", "the line must be a public key of OpenSSH, and is not"),
        (f"ssh-foo {BLOB}", "the line must be a public key of OpenSSH, and is not"),
        ("ssh-ed25519", "the ssh-ed25519 key is damaged or cut off"),
        (f"ssh-ed25519 {BLOB[:-8]}", "the ssh-ed25519 key is damaged or cut off"),
        (f"ssh-ed25519 {BLOB[:-1]}!", "the ssh-ed25519 key is damaged or cut off"),
        (f"ssh-ed25519 {SHORT}", "the ssh-ed25519 key is damaged or cut off"),
        (f"ssh-rsa {BLOB}", "the line says ssh-rsa, and its key is of another type"),
    ],
)  # fmt: skip
def test_line_that_is_no_public_key_is_refused_without_showing_it(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_authorized_key(line)
    assert caught.value.message == message
    assert "AAAA" not in f"{caught.value} {caught.value.hint}".replace("AAAA…", "")


@given(st.text(max_size=200))
def test_any_text_is_a_key_or_a_usage_error(text: str) -> None:
    is_other_key_format(text)
    try:
        parsed = parse_authorized_key(text)
    except UsageError:
        return
    assert parsed.line == text.strip()


@pytest.mark.oracle
def test_ssh_keygen_reads_the_same_lines() -> None:
    for line in (LINE, f"ssh-rsa {RSA}"):
        assert b"SHA256:" in run(require("ssh-keygen"), "-l", "-f", "-", stdin=line.encode())
