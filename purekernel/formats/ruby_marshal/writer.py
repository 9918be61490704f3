"""Write Ruby's Marshal format, version 4.8.

Links are written only to symbols; each value is written in full. For values that never change, two
equal objects are as good as one. The numbering of values, in which readers of different ages
differ, then does not matter.

Source: doc/marshal.rdoc of Ruby.
"""

from __future__ import annotations

from purekernel.errors import UnrepresentableError
from purekernel.formats.ruby_marshal.reader import (
    MAGIC,
    Hash,
    Object,
    Symbol,
    UserDefined,
    UserMarshal,
    Value,
    Variables,
)

# The range of small integers: 31 bits, for Ruby on 32-bit machines. Others are written as bignums.
SMALL = range(-(1 << 30), 1 << 30)

# Marks a string as UTF-8. Ruby 1.8 treats it as an ordinary instance variable.
UTF8: Variables = (("E", True),)

MAX_DEPTH = 64


def build_marshal(value: Value) -> bytes:
    """Return ``value`` in Ruby's format; equal values give equal bytes.

    Raises:
        UnrepresentableError: the value is nested too deeply, or has a float or a symbol outside of
            ASCII, which gem indexes do not have.
    """
    writer = _MarshalWriter()
    writer.value(value, 0)
    return MAGIC + b"".join(writer.pieces)


class _MarshalWriter:
    """The output so far, in pieces."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._symbols: dict[str, int] = {}

    def value(self, value: Value, depth: int) -> None:
        """Write one value."""
        if depth > MAX_DEPTH:
            raise UnrepresentableError(f"a value for Ruby is nested more than {MAX_DEPTH} deep")
        match value:
            case None:
                self.pieces.append(b"0")
            case bool():
                self.pieces.append(b"T" if value else b"F")
            case int():
                self._integer(value)
            case bytes():
                self._counted(b'"', value)
            case str():
                self._counted(b'I"', value.encode("utf-8", "replace"))
                self._variables(UTF8, depth)
            case Symbol():
                self._symbol(value.name)
            case tuple():
                self.pieces += (b"[", _long(len(value)))
                for part in value:
                    self.value(part, depth + 1)
            case _:
                self._composed(value, depth)

    def _composed(self, value: Value, depth: int) -> None:
        match value:
            case Hash():
                self._hash(value, depth)
            case Object():
                self._named(b"o", value.class_name)
                self._variables(value.variables, depth)
            case UserMarshal():
                self._named(b"U", value.class_name)
                self.value(value.value, depth + 1)
            case UserDefined():
                self._named(b"Iu" if value.variables else b"u", value.class_name)
                self._counted(b"", value.data)
                if value.variables:
                    self._variables(value.variables, depth)
            case _:
                raise UnrepresentableError(f"an index of gems cannot hold {value!r}")

    def _hash(self, value: Hash, depth: int) -> None:
        self.pieces += (b"{" if value.default is None else b"}", _long(len(value.pairs)))
        for key, part in value.pairs:
            self.value(key, depth + 1)
            self.value(part, depth + 1)
        if value.default is not None:
            self.value(value.default, depth + 1)

    def _variables(self, variables: Variables, depth: int) -> None:
        self.pieces.append(_long(len(variables)))
        for name, value in variables:
            self._symbol(name)
            self.value(value, depth + 1)

    def _named(self, kind: bytes, class_name: str) -> None:
        self.pieces.append(kind)
        self._symbol(class_name)

    def _symbol(self, name: str) -> None:
        known = self._symbols.get(name)
        if known is not None:
            self.pieces += (b";", _long(known))
            return
        if not name.isascii():
            raise UnrepresentableError(f"an index of gems cannot hold {name!r}")
        self._symbols[name] = len(self._symbols)
        self._counted(b":", name.encode("ascii"))

    def _counted(self, kind: bytes, data: bytes) -> None:
        self.pieces += (kind, _long(len(data)), data)

    def _integer(self, value: int) -> None:
        if value in SMALL:
            self.pieces += (b"i", _long(value))
            return
        size = (abs(value).bit_length() + 15) // 16
        sign = b"+" if value > 0 else b"-"
        self.pieces += (b"l", sign, _long(size), abs(value).to_bytes(2 * size, "little"))


def _long(value: int) -> bytes:
    """Return an encoded integer of at most 31 bits and a sign."""
    if value == 0:
        return b"\0"
    if 0 < value < 123:
        return bytes((value + 5,))
    if -124 < value < 0:
        return bytes((256 + value - 5,))
    size = next(size for size in (1, 2, 3, 4) if -(1 << 8 * size) <= value < 1 << 8 * size)
    marker = size if value > 0 else 256 - size
    return bytes((marker,)) + (value % (1 << 8 * size)).to_bytes(size, "little")
