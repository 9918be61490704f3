"""Describe a kernel module as modinfo does: its information and its signature.

The signature is not verified.

Source: tools/modinfo.c and kmod_module_get_info() in libkmod/libkmod-module.c of kmod 30;
libkmod/libkmod-signature.c for the choice between several signers; scripts/sign-file.c and
include/linux/module_signature.h of Linux; RFC 2315, 9.1 and 9.2 (PKCS #7 signed data); X.690, 8.1
(the encoding of DER).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from attrs import field

from purekernel.formats.compression import unpack
from purekernel.formats.kernel_module.reader import read_modinfo
from purekernel.formats.kernel_module.sections import parse_sections
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer

NEWLINE, NUL = b"\n", b"\0"

_KEY_CHARACTERS = 16
_HEX_BYTES_IN_A_LINE = 20
_PARAMETERS = (b"parm", b"parmtype")

MAGIC = b"~Module signature appended~\n"

# struct module_signature: algorithm, hash, kind of key identifier, size of the signer's name and of
# the key identifier, padding, size of the signature; sizes are in bytes.
_TRAILER = struct.Struct(">BBBBB3xI")

_ALGORITHMS = 2
_HASHES = (b"md4", b"md5", b"sha1", b"rmd160", b"sha256", b"sha384", b"sha512", b"sha224", b"sm3")
_KINDS = (b"PGP", b"X509", b"PKCS#7")
_PKCS7 = 2

# The tags of DER.
_INTEGER, _OCTETS, _OBJECT, _SEQUENCE, _SET, _CONTEXT_0 = 0x02, 0x04, 0x06, 0x30, 0x31, 0xA0

_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_COMMON_NAME = bytes.fromhex("550403")
_HASH_OBJECTS = {
    bytes.fromhex("2a864886f70d0204"): b"md4",
    bytes.fromhex("2a864886f70d0205"): b"md5",
    bytes.fromhex("2b0e03021a"): b"sha1",
    bytes.fromhex("2b24030201"): b"rmd160",
    bytes.fromhex("608648016503040201"): b"sha256",
    bytes.fromhex("608648016503040202"): b"sha384",
    bytes.fromhex("608648016503040203"): b"sha512",
    bytes.fromhex("608648016503040204"): b"sha224",
    bytes.fromhex("2a811ccf55018311"): b"sm3",
}

Information = Iterable[tuple[bytes, bytes]]


def describe_module(file: Input) -> list[tuple[bytes, bytes]]:
    """Return the keys and values of a module, those of its signature last.

    Raises:
        FormatError: the file is not a module, or is damaged.
        LimitError: the module exceeds the limits of ``file``.
    """
    file = file.unpacked(unpack(file))
    information = read_modinfo(parse_sections(file))
    return with_signature(information, parse_module_signature(file.data))


@frozen(kw_only=True)
class ModuleSignature:
    """The signature of a module.

    Attributes:
        kind: the kind of the key identifier, usually ``PKCS#7``.
        signer: the name of the signer in the certificate.
        key: the identifier of the key; for PKCS #7, the certificate's serial number.
        hash: the algorithm of the digest that was signed.
        signature: the signature itself.
    """

    kind: bytes
    signer: bytes
    key: bytes
    hash: bytes
    signature: bytes = field(repr=False)


def parse_module_signature(data: Buffer) -> ModuleSignature | None:
    """Return the signature after an unpacked module; ``None`` if it is missing or damaged."""
    tail = bytes(data[max(0, len(data) - len(MAGIC) - _TRAILER.size) :])
    if len(tail) < len(MAGIC) + _TRAILER.size or not tail.endswith(MAGIC):
        return None
    algorithm, hashed, kind, signer_bytes, key_bytes, signature_bytes = _TRAILER.unpack_from(tail)
    end = len(data) - len(tail)
    if algorithm >= _ALGORITHMS or hashed >= len(_HASHES) or kind >= len(_KINDS):
        return None
    if not 0 < signature_bytes <= end - signer_bytes - key_bytes:
        return None
    signature = bytes(data[end - signature_bytes : end])
    if kind == _PKCS7:
        try:
            return _parse_pkcs7(signature)
        except (ValueError, StopIteration):
            return None
    key_at = end - signature_bytes - key_bytes
    return ModuleSignature(
        kind=_KINDS[kind],
        signer=bytes(data[key_at - signer_bytes : key_at]),
        key=bytes(data[key_at : key_at + key_bytes]),
        hash=_HASHES[hashed],
        signature=signature,
    )


def _parse_pkcs7(data: bytes) -> ModuleSignature:
    """Return the signature of the first signer.

    Raises:
        ValueError, StopIteration: the data is not a signature of PKCS #7.
    """
    parts = _items(_take(_items(data), _SEQUENCE))
    if _take(parts, _OBJECT) != _SIGNED_DATA:
        raise ValueError("no signed data")
    signed = _items(_take(_items(_take(parts, _CONTEXT_0)), _SEQUENCE))
    # The first set has the algorithms, the last the signers; certificates may be in between.
    *_rest, signers = (content for tag, content in signed if tag == _SET)
    signer = _items(_take(_items(signers), _SEQUENCE))
    _take(signer, _INTEGER)
    identity = _items(_take(signer, _SEQUENCE))
    issuer = _take(identity, _SEQUENCE)
    serial = int.from_bytes(_take(identity, _INTEGER), "big", signed=True)
    hashed = _take(_items(_take(signer, _SEQUENCE)), _OBJECT)
    signature = next(content for tag, content in signer if tag == _OCTETS)
    return ModuleSignature(
        kind=_KINDS[_PKCS7],
        signer=_name(issuer),
        key=abs(serial).to_bytes((abs(serial).bit_length() + 7) // 8, "big"),
        hash=_HASH_OBJECTS.get(hashed, b"unknown"),
        signature=signature,
    )


def _name(issuer: bytes) -> bytes:
    """Return the common name of an issuer, else the last part of the name."""
    text = b""
    for _tag, part in _items(issuer):
        for _set_tag, pair in _items(part):
            kind, value = list(_items(pair))[:2]
            text = value[1].partition(b"\0")[0]
            if kind[1] == _COMMON_NAME:
                return text
    return text


def _take(items: Iterator[tuple[int, bytes]], wanted: int) -> bytes:
    tag, content = next(items)
    if tag != wanted:
        raise ValueError(f"expected the tag {wanted:#x}, got {tag:#x}")
    return content


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and content of each element in ``data``."""
    position = 0
    while position + 2 <= len(data):
        tag, size = data[position], data[position + 1]
        position += 2
        if size >= 0x80:
            count = size - 0x80
            size = int.from_bytes(data[position : position + count], "big")
            position += count
        if position + size > len(data):
            raise ValueError("an element exceeds the data")
        yield tag, data[position : position + size]
        position += size


def with_signature(
    information: Information, signature: ModuleSignature | None
) -> list[tuple[bytes, bytes]]:
    """Return keys and values, followed by those of a signature."""
    pairs = list(information)
    if signature is not None:
        pairs += [
            (b"sig_id", signature.kind),
            (b"signer", signature.signer),
            (b"sig_key", _hex(signature.key)),
            (b"sig_hashalgo", signature.hash),
            (b"signature", _hex(signature.signature)),
        ]
    return pairs


def list_module(
    information: Information, *, file_name: bytes, separator: bytes = NEWLINE
) -> list[bytes]:
    """Return the entries that modinfo prints about a module, without their ends.

    Args:
        information: keys and values in order.
        file_name: the path of the module.
        separator: what will end each entry; with NUL, ``=`` separates keys from values.
    """
    pairs = list(information)
    entries = [b"filename:".ljust(_KEY_CHARACTERS) + file_name]
    for key, value in pairs:
        if key in _PARAMETERS:
            continue
        if separator == NUL:
            entries.append(key + b"=" + value)
        else:
            # A key longer than its column is followed by as many blanks as it is too long, because
            # printf(3) takes a negative width as its absolute value, aligned to the left.
            blanks = abs(_KEY_CHARACTERS - 1 - len(key))
            entries.append(key + b":" + b" " * blanks + value)
    entries += [
        b"parm:".ljust(_KEY_CHARACTERS) + text for text in _parameters(pairs, untyped=b"%s:%s")
    ]
    return entries


def list_field(information: Information, name: bytes, *, file_name: bytes) -> list[bytes]:
    """Return what modinfo prints about one field: its values without the key."""
    pairs = list(information)
    if name == b"filename":
        return [file_name]
    if name == b"parm":
        return _parameters(pairs, untyped=b"%s: (%s)")
    return [value for key, value in pairs if key == name]


def _parameters(pairs: list[tuple[bytes, bytes]], *, untyped: bytes) -> list[bytes]:
    """Return each parameter with its description and its type, in reverse order.

    Args:
        pairs: keys and values of the module.
        untyped: the format of a parameter with a type but no description.
    """
    parameters: dict[bytes, dict[bytes, bytes]] = {}
    for key, value in pairs:
        name, colon, text = value.partition(b":")
        if key in _PARAMETERS and colon:
            parameters.setdefault(name, {})[key] = text
    lines = []
    for name, texts in reversed(parameters.items()):
        if b"parm" not in texts:
            lines.append(untyped % (name, texts[b"parmtype"]))
        elif b"parmtype" in texts:
            lines.append(b"%s:%s (%s)" % (name, texts[b"parm"], texts[b"parmtype"]))
        else:
            lines.append(b"%s:%s" % (name, texts[b"parm"]))
    return lines


def _hex(data: bytes) -> bytes:
    rows = [
        data[start : start + _HEX_BYTES_IN_A_LINE].hex(":").upper()
        for start in range(0, len(data), _HEX_BYTES_IN_A_LINE)
    ]
    return ":\n\t\t".join(rows).encode()
