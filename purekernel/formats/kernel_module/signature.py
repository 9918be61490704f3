"""Who signed a module, from what stands behind its end. Whether rightly is not looked at.

Source: scripts/sign-file.c and include/linux/module_signature.h of Linux; RFC 2315, 9.1 and 9.2
(PKCS #7 signed data); X.690, 8.1 (how DER lies in bytes); libkmod/libkmod-signature.c of kmod for
what counts where there are several.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from attrs import field, frozen

from purekernel.tree import Buffer

MAGIC = b"~Module signature appended~\n"

# struct module_signature: algorithm, hash, kind of key identifier, bytes of the signer's name
# and of the key identifier, padding, bytes of the signature.
_TRAILER = struct.Struct(">BBBBB3xI")

_ALGORITHMS = 2
_HASHES = (b"md4", b"md5", b"sha1", b"rmd160", b"sha256", b"sha384", b"sha512", b"sha224", b"sm3")
_KINDS = (b"PGP", b"X509", b"PKCS#7")
_PKCS7 = 2

# Tags of DER.
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


@frozen(kw_only=True)
class ModuleSignature:
    """A signature.

    Attributes:
        kind: of its key identifier: ``PKCS#7`` nearly always.
        signer: who made it, as the certificate calls him.
        key: which key it was made with; of PKCS #7 the certificate's serial number.
        hash: what was signed is the module's digest by this.
        signature: itself.
    """

    kind: bytes
    signer: bytes
    key: bytes
    hash: bytes
    signature: bytes = field(repr=False)


def parse_module_signature(data: Buffer) -> ModuleSignature | None:
    """Return the signature behind a module, unpacked; ``None`` for none, or a broken one."""
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
    """Return what the first signer's part says.

    Raises:
        ValueError, StopIteration: it is not made like that.
    """
    parts = _items(_take(_items(data), _SEQUENCE))
    if _take(parts, _OBJECT) != _SIGNED_DATA:
        raise ValueError("no signed data")
    signed = _items(_take(_items(_take(parts, _CONTEXT_0)), _SEQUENCE))
    # Of sets, the first holds algorithms and the last signers; certificates may lie between.
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
    """Return the common name, else the last part of the name."""
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
    """Yield tags and contents of what stands in ``data`` side by side."""
    here = 0
    while here + 2 <= len(data):
        tag, size = data[here], data[here + 1]
        here += 2
        if size >= 0x80:
            count = size - 0x80
            size = int.from_bytes(data[here : here + count], "big")
            here += count
        if here + size > len(data):
            raise ValueError("more than there is")
        yield tag, data[here : here + size]
        here += size
