"""Read Ruby's Marshal format, version 4.8, without creating objects of Ruby's classes.

``nil``, ``true``, ``false``, integers and floats become Python's; arrays become tuples. A string
with an encoding becomes ``str``, one without becomes ``bytes``: Ruby 1.8 had no encodings and wrote
none.

Source: doc/marshal.rdoc of Ruby; for the numbering of values by links, which that omits, the
behaviour of Marshal.load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import field

from purekernel.input import Input
from purekernel.records import frozen

MAGIC = b"\x04\x08"

# Gem indexes are nested eight deep. Each level takes two or three calls in Python.
MAX_DEPTH = 64

# This is about 10,000 digits. Python refuses to print numbers with more than a few thousand.
MAX_BIGNUM_BYTES = 4096

# The limit for names of classes, symbols and instance variables, which are dictionary keys.
MAX_SYMBOL_BYTES = 1024


@frozen
class Symbol:
    """A symbol, such as ``:runtime``."""

    name: str


@frozen(kw_only=True)
class Hash:
    """A hash.

    Attributes:
        pairs: keys and values, in order.
        default: the value of missing keys.
    """

    pairs: tuple[tuple[Value, Value], ...] = ()
    default: Value = None


Variables: TypeAlias = "tuple[tuple[str, Value], ...]"


@frozen(kw_only=True)
class Object:
    """An instance of a class, as its instance variables; their names include the ``@``."""

    class_name: str
    variables: Variables = ()


@frozen(kw_only=True)
class UserDefined:
    """An instance of a class that encodes itself as bytes (``_dump``).

    Attributes:
        class_name: the name of the class.
        data: the encoded bytes.
        variables: the instance variables of the encoded string, such as the zone of a Time.
    """

    class_name: str
    data: bytes = field(repr=False)
    variables: Variables = ()


@frozen(kw_only=True)
class UserMarshal:
    """An instance of a class that is encoded as another value (``marshal_dump``)."""

    class_name: str
    value: Value


Value: TypeAlias = (
    "bool | int | float | str | bytes | Symbol | tuple[Value, ...] | Hash | Object | UserDefined"
    " | UserMarshal | None"
)

_HOSTILE = "the file is damaged or hostile: real indexes of gems have smaller values"


class _Unfinished:
    """A placeholder for a value whose parts are not complete yet."""


UNFINISHED = _Unfinished()


def parse_marshal(file: Input) -> Value:
    """Return the value in ``file``.

    Supports the kinds of values in gem indexes. Classes, modules, structs, regular expressions,
    extended objects and subclasses of built-in classes are refused, as RubyGems does since 3.5, and
    so is a value that contains itself. A value with several links to it is one Python object.

    Raises:
        FormatError: the data is damaged or truncated, has another kind of value, or other data
            follows.
        LimitError: values are nested too deeply, or a number or symbol is too long.
    """
    reader = _MarshalReader(file)
    if reader.take(len(MAGIC), "the version") != MAGIC:
        raise file.fail(0, "version 4.8 of Ruby's Marshal format", bytes(file.data[:2]).hex(" "))
    value = reader.value(0)
    if reader.position < len(file):
        more = f"{len(file) - reader.position} more bytes"
        raise file.fail(reader.position, "the end", more)
    return value


class _MarshalReader:
    """The data and the position of the next byte to read."""

    def __init__(self, file: Input) -> None:
        self.position = 0
        self._file = file
        self._data = bytes(file.data)
        self._symbols: list[Symbol] = []
        # The values that links refer to: all but nil, true, false, small integers and symbols.
        self._objects: list[Value | _Unfinished] = []
        self._read: dict[int, Callable[[int], Value]] = {
            ord("0"): lambda _depth: None,
            ord("T"): lambda _depth: True,
            ord("F"): lambda _depth: False,
            ord("i"): lambda _depth: self._integer(),
            ord("l"): lambda _depth: self._keep(self._bignum()),
            ord("f"): lambda _depth: self._keep(self._float()),
            ord('"'): lambda _depth: self._keep(self._bytes("a string")),
            ord(":"): lambda _depth: self._new_symbol(),
            ord(";"): lambda _depth: self._known_symbol(),
            ord("@"): lambda _depth: self._known_object(),
            ord("["): self._array,
            ord("{"): self._hash,
            ord("}"): self._hash_with_default,
            ord("o"): self._object,
            ord("u"): lambda depth: self._user_defined(depth, with_variables=False),
            ord("U"): self._user_marshal,
            ord("I"): self._with_variables,
        }

    def value(self, depth: int) -> Value:
        """Return the next value."""
        start = self.position
        if depth > MAX_DEPTH:
            expected = f"values nested at most {MAX_DEPTH} deep"
            raise self._file.exceed(start, expected, "more", hint=_HOSTILE)
        kind = self.take(1, "a value")[0]
        read = self._read.get(kind)
        if read is None:
            raise self._file.fail(start, "a kind of value that gem indexes hold", _kind(kind))
        return read(depth + 1)

    def take(self, size: int, what: str) -> bytes:
        """Return the next ``size`` bytes."""
        start = self.position
        end = start + size
        if not start <= end <= len(self._data):
            expected = f"{what} of at most {len(self._data) - start} bytes"
            raise self._file.fail(start, expected, f"{size}")
        self.position = end
        return self._data[start:end]

    def _integer(self) -> int:
        first = self.take(1, "an integer")[0]
        signed = first - 256 if first > 127 else first
        if signed == 0:
            return 0
        # One to four bytes follow, or the byte itself is the number, shifted by five.
        if -4 <= signed <= 4:
            number = int.from_bytes(self.take(abs(signed), "an integer"), "little")
            return number if signed > 0 else number - (1 << 8 * -signed)
        return signed - 5 if signed > 0 else signed + 5

    def _count(self, what: str, *, least_bytes: int) -> int:
        """Return the number of parts that follow, each of at least ``least_bytes``."""
        start = self.position
        count = self._integer()
        most = (len(self._data) - self.position) // least_bytes
        if not 0 <= count <= most:
            raise self._file.fail(start, f"at most {most} {what}", f"{count}")
        return count

    def _bytes(self, what: str) -> bytes:
        return self.take(self._count("bytes", least_bytes=1), what)

    def _keep(self, value: Value) -> Value:
        self._objects.append(value)
        return value

    def _reserve(self) -> int:
        """Assign a number to a value before its parts get theirs; return the number."""
        self._objects.append(UNFINISHED)
        return len(self._objects) - 1

    def _finish(self, number: int, value: Value) -> Value:
        self._objects[number] = value
        return value

    def _known_object(self) -> Value:
        start = self.position
        number = self._integer()
        if not 0 <= number < len(self._objects):
            expected = f"a link to one of {len(self._objects)} earlier values"
            raise self._file.fail(start, expected, f"{number}")
        value = self._objects[number]
        if isinstance(value, _Unfinished):
            raise self._file.fail(start, "a link to a complete value", "one to a value around it")
        return value

    def _symbol(self) -> Symbol:
        """Return the next value, which must be a symbol."""
        start = self.position
        kind = self.take(1, "a symbol")
        if kind == b":":
            return self._new_symbol()
        if kind == b";":
            return self._known_symbol()
        raise self._file.fail(start, "a symbol", _kind(kind[0]))

    def _new_symbol(self) -> Symbol:
        start = self.position
        raw = self._bytes("a symbol")
        if len(raw) > MAX_SYMBOL_BYTES:
            expected = f"a symbol of at most {MAX_SYMBOL_BYTES} bytes"
            raise self._file.exceed(start, expected, f"{len(raw)}", hint=_HOSTILE)
        symbol = Symbol(raw.decode("utf-8", "backslashreplace"))
        self._symbols.append(symbol)
        return symbol

    def _known_symbol(self) -> Symbol:
        start = self.position
        number = self._integer()
        if not 0 <= number < len(self._symbols):
            expected = f"a link to one of {len(self._symbols)} earlier symbols"
            raise self._file.fail(start, expected, f"{number}")
        return self._symbols[number]

    def _bignum(self) -> int:
        start = self.position
        sign = self.take(1, "a sign")
        if sign not in (b"+", b"-"):
            raise self._file.fail(start, "'+' or '-'", sign.hex())
        size = 2 * self._count("pairs of bytes", least_bytes=2)
        if size > MAX_BIGNUM_BYTES:
            expected = f"a number of at most {MAX_BIGNUM_BYTES} bytes"
            raise self._file.exceed(start, expected, f"{size}", hint=_HOSTILE)
        number = int.from_bytes(self.take(size, "a number"), "little")
        return number if sign == b"+" else -number

    def _float(self) -> float:
        start = self.position
        # Ruby 1.8 wrote the last bits of the mantissa after a NUL.
        text = self._bytes("a float").partition(b"\0")[0]
        try:
            # Python accepts Ruby's "inf", "-inf" and "nan", but also underscores, unlike Ruby.
            return float(text.replace(b"_", b"?"))
        except ValueError:
            raise self._file.fail(start, "a float", repr(text[:40])) from None

    def _array(self, depth: int) -> Value:
        number = self._reserve()
        count = self._count("elements", least_bytes=1)
        return self._finish(number, tuple([self.value(depth) for _ in range(count)]))

    def _hash(self, depth: int) -> Value:
        number = self._reserve()
        return self._finish(number, Hash(pairs=self._pairs(depth)))

    def _hash_with_default(self, depth: int) -> Value:
        number = self._reserve()
        pairs = self._pairs(depth)
        return self._finish(number, Hash(pairs=pairs, default=self.value(depth)))

    def _pairs(self, depth: int) -> tuple[tuple[Value, Value], ...]:
        count = self._count("pairs", least_bytes=2)
        return tuple([(self.value(depth), self.value(depth)) for _ in range(count)])

    def _object(self, depth: int) -> Value:
        name = self._symbol().name
        number = self._reserve()
        return self._finish(number, Object(class_name=name, variables=self._variables(depth)))

    def _user_marshal(self, depth: int) -> Value:
        name = self._symbol().name
        number = self._reserve()
        return self._finish(number, UserMarshal(class_name=name, value=self.value(depth)))

    def _user_defined(self, depth: int, *, with_variables: bool) -> Value:
        name = self._symbol().name
        data = self._bytes("the bytes of a value")
        variables = self._variables(depth) if with_variables else ()
        # Ruby creates the object only now, and numbers it after its variables.
        return self._keep(UserDefined(class_name=name, data=data, variables=variables))

    def _with_variables(self, depth: int) -> Value:
        start = self.position
        kind = self.take(1, "a value")
        if kind == b"u":
            return self._user_defined(depth, with_variables=True)
        if kind == b":":
            symbol = self._new_symbol()
            self._variables(depth)
            return symbol
        if kind != b'"':
            raise self._file.fail(
                start, "a string, a symbol or the bytes of a value", _kind(kind[0])
            )
        number = self._reserve()
        raw = self._bytes("a string")
        # A link from the variables to their string is refused; no gem index has one.
        return self._finish(number, _text(raw, self._variables(depth)))

    def _variables(self, depth: int) -> Variables:
        count = self._count("variables", least_bytes=2)
        return tuple([(self._symbol().name, self.value(depth)) for _ in range(count)])


def _text(raw: bytes, variables: Variables) -> str | bytes:
    """Return a string in the encoding of its variables; without one, its bytes."""
    for name, value in variables:
        # E is short for the most common encodings: true for UTF-8, false for US-ASCII.
        if name == "E" or (name == "encoding" and _names_utf8(value)):
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                return raw
    return raw


def _names_utf8(value: Value) -> bool:
    return isinstance(value, (bytes, str)) and value in (b"UTF-8", "UTF-8")


def _kind(byte: int) -> str:
    return f"one of kind {chr(byte)!r}" if 0x20 < byte < 0x7F else f"one of kind {byte:#04x}"
