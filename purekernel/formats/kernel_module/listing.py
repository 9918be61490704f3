"""Say what a module says of itself as modinfo does.

Source: tools/modinfo.c and kmod_module_get_info() in libkmod/libkmod-module.c of kmod 30.
"""

from __future__ import annotations

from collections.abc import Iterable

from purekernel.formats.kernel_module.signature import ModuleSignature

NEWLINE, NUL = b"\n", b"\0"

_KEY_CHARACTERS = 16
_HEX_BYTES_IN_A_LINE = 20
_PARAMETERS = (b"parm", b"parmtype")

Information = Iterable[tuple[bytes, bytes]]


def with_signature(
    information: Information, signature: ModuleSignature | None
) -> list[tuple[bytes, bytes]]:
    """Return keys and values with those of a signature behind them."""
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


def list_module(information: Information, *, file_name: bytes, separator: bytes = NEWLINE) -> bytes:
    """Return all that modinfo prints of a module.

    Args:
        information: keys and values in order.
        file_name: of the module.
        separator: behind each entry; with NUL, keys are parted from values by ``=``.
    """
    pairs = list(information)
    entries = [b"filename:".ljust(_KEY_CHARACTERS) + file_name]
    for key, value in pairs:
        if key in _PARAMETERS:
            continue
        if separator == NUL:
            entries.append(key + b"=" + value)
        else:
            # A key that is longer than its column gets as many blanks as it is too long: to
            # printf(3), a width below zero is one to the left.
            blanks = abs(_KEY_CHARACTERS - 1 - len(key))
            entries.append(key + b":" + b" " * blanks + value)
    entries += [
        b"parm:".ljust(_KEY_CHARACTERS) + text for text in _parameters(pairs, untyped=b"%s:%s")
    ]
    return b"".join(entry + separator for entry in entries)


def list_field(
    information: Information, name: bytes, *, file_name: bytes, separator: bytes = NEWLINE
) -> bytes:
    """Return the values of one field as modinfo prints them, without their key."""
    pairs = list(information)
    if name == b"filename":
        values = [file_name]
    elif name == b"parm":
        values = _parameters(pairs, untyped=b"%s: (%s)")
    else:
        values = [value for key, value in pairs if key == name]
    return b"".join(value + separator for value in values)


def _parameters(pairs: list[tuple[bytes, bytes]], *, untyped: bytes) -> list[bytes]:
    """Return each parameter with its words and its type, that named last first.

    Args:
        pairs: of the module.
        untyped: the form of one with a type and no words.
    """
    found: dict[bytes, dict[bytes, bytes]] = {}
    for key, value in pairs:
        name, colon, text = value.partition(b":")
        if key in _PARAMETERS and colon:
            found.setdefault(name, {})[key] = text
    lines = []
    for name, said in reversed(found.items()):
        if b"parm" not in said:
            lines.append(untyped % (name, said[b"parmtype"]))
        elif b"parmtype" in said:
            lines.append(b"%s:%s (%s)" % (name, said[b"parm"], said[b"parmtype"]))
        else:
            lines.append(b"%s:%s" % (name, said[b"parm"]))
    return lines


def _hex(data: bytes) -> bytes:
    rows = [
        data[here : here + _HEX_BYTES_IN_A_LINE].hex(":").upper()
        for here in range(0, len(data), _HEX_BYTES_IN_A_LINE)
    ]
    return ":\n\t\t".join(rows).encode()
