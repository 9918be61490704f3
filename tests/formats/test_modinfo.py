"""Compare what we print about modules, including signatures, with modinfo."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError
from purekernel.formats.kernel_module import (
    ModuleSignature,
    describe_module,
    list_field,
    list_module,
    parse_module_signature,
)
from purekernel.input import Input
from tests import debian
from tests.kernel_modules import make_module
from tests.oracles import require, run

MAGIC = b"~Module signature appended~\n"

PARAMETERS = (
    "license=GPL",
    "parm=speed:How fast",
    "parmtype=speed:int",
    "parm=quiet:Say: nothing",
    "parmtype=only_typed:charp",
    "parm=broken",
    "author=One",
    "author=Two: and more",
    "a_key_that_is_longer_than_its_column=x",
    "without_value",
    "empty=",
)


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    number = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(number)]) + number + content


def name(*parts: tuple[str, bytes]) -> bytes:
    pairs = [
        der(0x31, der(0x30, der(6, bytes.fromhex(kind)), der(0x0C, text))) for kind, text in parts
    ]
    return der(0x30, *pairs)


def algorithm(kind: str) -> bytes:
    return der(0x30, der(6, bytes.fromhex(kind)), der(5))


COMMON_NAME, ORGANISATION = "550403", "55040a"
SHA256, RSA = "608648016503040201", "2a864886f70d010101"
ISSUER = name((ORGANISATION, b"Us"), (COMMON_NAME, b"A key of ours"))


def pkcs7(
    issuer: bytes = ISSUER,
    *,
    serial: bytes = b"\0\xfe\x01",
    hashed: str = SHA256,
    kind: str = "2a864886f70d010702",
    certificates: bytes = b"",
) -> bytes:
    signer = der(
        0x30,
        der(2, b"\x01"),
        der(0x30, issuer, der(2, serial)),
        algorithm(hashed),
        algorithm(RSA),
        der(4, bytes(range(200))),
    )
    signed = der(
        0x30,
        der(2, b"\x01"),
        der(0x31, algorithm(hashed)),
        der(0x30, der(6, bytes.fromhex("2a864886f70d010701"))),
        certificates,
        der(0x31, signer),
    )
    return der(0x30, der(6, bytes.fromhex(kind)), der(0xA0, signed))


def signed(signature: bytes, *, kind: int = 2, before: bytes = b"", trailer: bytes = b"") -> bytes:
    end = trailer or struct.pack(">BBBBB3xI", 0, 0, kind, 0, 0, len(signature))
    return make_module(PARAMETERS) + before + signature + end + MAGIC


def test_pkcs7_signature_is_read() -> None:
    found = parse_module_signature(signed(pkcs7()))
    assert found == ModuleSignature(
        kind=b"PKCS#7", signer=b"A key of ours", key=b"\xfe\x01", hash=b"sha256",
        signature=bytes(range(200)),
    )  # fmt: skip


def test_x509_signature_is_read() -> None:
    trailer = struct.pack(">BBBBB3xI", 1, 2, 1, 2, 3, 4)
    found = parse_module_signature(signed(b"sign", before=b"mekey", trailer=trailer))
    assert found == ModuleSignature(
        kind=b"X509", signer=b"me", key=b"key", hash=b"sha1", signature=b"sign"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MAGIC,
        make_module(PARAMETERS),
        make_module() + b"\0" * 12 + MAGIC,
        signed(b"", trailer=struct.pack(">BBBBB3xI", 0, 0, 2, 0, 0, 1 << 31)),
        signed(b"x" * 9, trailer=struct.pack(">BBBBB3xI", 2, 0, 1, 0, 0, 9)),
        signed(b"x" * 9, trailer=struct.pack(">BBBBB3xI", 0, 9, 1, 0, 0, 9)),
        signed(b"x" * 9, kind=3),
        signed(b"no DER at all"),
        signed(pkcs7()[:-20]),
        signed(pkcs7(kind="2a864886f70d010701")),
    ],
)
def test_missing_or_damaged_signature_gives_none(data: bytes) -> None:
    assert parse_module_signature(data) is None


@given(st.binary(max_size=300), st.integers(0, 2))
def test_any_signature_bytes_raise_no_error(data: bytes, kind: int) -> None:
    parse_module_signature(signed(data, kind=kind))


def test_file_that_is_not_a_module_is_refused() -> None:
    with pytest.raises(FormatError, match=r"x\.ko, byte 0: expected an ELF file"):
        describe_module(Input(b"text" * 100, name="x.ko"))


# Comparison with modinfo of kmod


def modinfo(path: Path, *options: str) -> bytes:
    return run(require("modinfo"), *options, path)


def ours(data: bytes, path: Path, *options: str) -> bytes:
    information = describe_module(Input(data, name=str(path)))
    file_name = str(path).encode()
    separator = b"\0" if "-0" in options else b"\n"
    if "-F" not in options:
        entries = list_module(information, file_name=file_name, separator=separator)
        return b"".join(entry + separator for entry in entries)
    field = options[options.index("-F") + 1]
    values = list_field(information, field.encode(), file_name=file_name)
    return b"".join(value + separator for value in values)


OPTIONS = [
    (), ("-0",), ("-F", "parm"), ("-F", "author"), ("-F", "filename"), ("-F", "parmtype"),
    ("-F", "nosuch"), ("-0", "-F", "parm"), ("-F", "without_value"),
]  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize(
    "data",
    [
        make_module(PARAMETERS),
        signed(pkcs7()),
        signed(pkcs7(name((ORGANISATION, b"Nobody in common")))),
        signed(pkcs7(hashed="2b0e03021a", serial=b"\x7f")),
        signed(b"sign" * 20, before=b"mekey", trailer=struct.pack(">BBBBB3xI", 0, 4, 0, 2, 3, 80)),
    ],
    ids=["plain", "signed", "no common name", "sha1", "of old"],
)
def test_output_equals_modinfo(data: bytes, options: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "x.ko"
    path.write_bytes(data)
    # kmod warns about a parameter without a colon, and continues.
    assert ours(data, path, *options) == modinfo(path, *options)


@pytest.mark.oracle
@pytest.mark.parametrize("architecture", ["amd64", "i386"])
def test_output_for_debians_modules_equals_modinfo(architecture: str) -> None:
    root, _release = debian.kernel(architecture)
    modules = sorted(root.rglob("*.ko"))
    for path in modules[:: len(modules) // 60]:
        assert ours(path.read_bytes(), path) == modinfo(path)


@pytest.mark.oracle
def test_output_for_damaged_signatures_equals_modinfo(tmp_path: Path) -> None:
    chance = random.Random(11)
    good = bytearray(signed(pkcs7(certificates=der(0xA0, der(0x30, b"\x02\x01\x05")))))
    start = len(make_module(PARAMETERS))
    path = tmp_path / "x.ko"
    for _ in range(60):
        data = bytearray(good)
        # Lengths are left alone: OpenSSL accepts encodings of them that DER forbids.
        place = chance.randrange(start, len(data) - len(MAGIC) - 4)
        data[place] = chance.randrange(256)
        path.write_bytes(data)
        mine, theirs = ours(bytes(data), path), modinfo(path)
        if mine != theirs:
            # kmod is stricter: the output may differ only for signatures that it rejects.
            assert b"sig_id" not in theirs, (place - start, data[place])
