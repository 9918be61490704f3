"""Read Ruby's Marshal format.

Source: doc/marshal.rdoc of Ruby; what it leaves out (which values are counted for links, and
when) from Marshal.load's behaviour.
"""

from __future__ import annotations

from collections.abc import Callable

from purekernel.errors import FormatError, LimitError
from purekernel.formats.ruby_marshal.values import (
    MAGIC,
    Hash,
    Object,
    Symbol,
    UserDefined,
    UserMarshal,
    Value,
    Variables,
)
from purekernel.tree import Buffer

# Gem indexes are eight deep. Each level takes two or three of Python's.
MAX_DEPTH = 64

# 12,000 digits: Python itself refuses to print longer numbers than some thousand.
MAX_BIGNUM_BYTES = 4096

# Names of classes, symbols and instance variables. They are looked up by value.
MAX_SYMBOL_BYTES = 1024


class _Unfinished:
    """Stands for a value whose parts are still being read."""


UNFINISHED = _Unfinished()


def parse_marshal(data: Buffer, *, source: str) -> Value:
    """Return the value that ``data`` holds.

    Reads what gem indexes are made of. Classes, modules, structs, regular expressions,
    extended objects and subclasses of built-in classes are refused, as RubyGems itself does
    since 3.5, and so is a value that contains itself. A part that is linked to more than
    once is one Python object.

    Raises:
        FormatError: the data is damaged, ends early, holds another kind of value, or
            something follows its end.
        LimitError: it is nested too deeply, or a number or symbol is too long.
    """
    reader = _Reader(bytes(data), source)
    if reader.take(len(MAGIC), "the version") != MAGIC:
        raise reader.refuse("version 4.8 of Ruby's Marshal format", data[:2].hex(" "), 0)
    value = reader.value(0)
    if reader.here < len(data):
        raise reader.refuse("the end", f"{len(data) - reader.here} more bytes", reader.here)
    return value


class _Reader:
    """Steps through the bytes and never past their end."""

    def __init__(self, data: bytes, source: str) -> None:
        self.here = 0
        self._data = data
        self._source = source
        self._symbols: list[Symbol] = []
        # What links count: all but nil, true, false, small integers and symbols.
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
        """Return the value at hand."""
        start = self.here
        if depth > MAX_DEPTH:
            raise LimitError(
                source=self._source,
                offset=start,
                expected=f"values at most {MAX_DEPTH} deep",
                got="more",
                hint="the file is damaged or hostile: no index of gems is that deep",
            )
        kind = self.take(1, "a value")[0]
        read = self._read.get(kind)
        if read is None:
            raise self.refuse("a kind of value that gem indexes hold", _kind(kind), start)
        return read(depth + 1)

    def take(self, size: int, what: str) -> bytes:
        """Return the next ``size`` bytes."""
        start = self.here
        end = start + size
        if not start <= end <= len(self._data):
            raise self.refuse(
                f"{what} of at most {len(self._data) - start} bytes", f"{size}", start
            )
        self.here = end
        return self._data[start:end]

    def refuse(self, expected: str, got: str, offset: int) -> FormatError:
        """Return the error to raise."""
        return FormatError(source=self._source, offset=offset, expected=expected, got=got)

    def _integer(self) -> int:
        first = self.take(1, "an integer")[0]
        signed = first - 256 if first > 127 else first
        if signed == 0:
            return 0
        # One to four bytes follow, or the byte itself is the number, five away from zero.
        if -4 <= signed <= 4:
            number = int.from_bytes(self.take(abs(signed), "an integer"), "little")
            return number if signed > 0 else number - (1 << 8 * -signed)
        return signed - 5 if signed > 0 else signed + 5

    def _count(self, what: str, *, least_bytes: int) -> int:
        """Return how many parts follow, each of ``least_bytes`` or more."""
        start = self.here
        count = self._integer()
        most = (len(self._data) - self.here) // least_bytes
        if not 0 <= count <= most:
            raise self.refuse(f"at most {most} {what}", f"{count}", start)
        return count

    def _bytes(self, what: str) -> bytes:
        return self.take(self._count("bytes", least_bytes=1), what)

    def _keep(self, value: Value) -> Value:
        self._objects.append(value)
        return value

    def _reserve(self) -> int:
        """Number the value at hand, which comes before its parts; return the number."""
        self._objects.append(UNFINISHED)
        return len(self._objects) - 1

    def _finish(self, number: int, value: Value) -> Value:
        self._objects[number] = value
        return value

    def _known_object(self) -> Value:
        start = self.here
        number = self._integer()
        if not 0 <= number < len(self._objects):
            raise self.refuse(
                f"a link to one of {len(self._objects)} values before it", f"{number}", start
            )
        found = self._objects[number]
        if isinstance(found, _Unfinished):
            raise self.refuse("a link to a whole value", "one to a value around it", start)
        return found

    def _symbol(self) -> Symbol:
        """Return the symbol at hand, where nothing else may stand."""
        start = self.here
        kind = self.take(1, "a symbol")
        if kind == b":":
            return self._new_symbol()
        if kind == b";":
            return self._known_symbol()
        raise self.refuse("a symbol", _kind(kind[0]), start)

    def _new_symbol(self) -> Symbol:
        start = self.here
        raw = self._bytes("a symbol")
        if len(raw) > MAX_SYMBOL_BYTES:
            raise LimitError(
                source=self._source,
                offset=start,
                expected=f"a symbol of at most {MAX_SYMBOL_BYTES} bytes",
                got=f"{len(raw)}",
                hint="the file is damaged or hostile: no index of gems has such symbols",
            )
        symbol = Symbol(raw.decode("utf-8", "backslashreplace"))
        self._symbols.append(symbol)
        return symbol

    def _known_symbol(self) -> Symbol:
        start = self.here
        number = self._integer()
        if not 0 <= number < len(self._symbols):
            raise self.refuse(
                f"a link to one of {len(self._symbols)} symbols before it", f"{number}", start
            )
        return self._symbols[number]

    def _bignum(self) -> int:
        start = self.here
        sign = self.take(1, "a sign")
        if sign not in (b"+", b"-"):
            raise self.refuse("'+' or '-'", sign.hex(), start)
        size = 2 * self._count("pairs of bytes", least_bytes=2)
        if size > MAX_BIGNUM_BYTES:
            raise LimitError(
                source=self._source,
                offset=start,
                expected=f"a number of at most {MAX_BIGNUM_BYTES} bytes",
                got=f"{size}",
                hint="the file is damaged or hostile: no index of gems has such numbers",
            )
        number = int.from_bytes(self.take(size, "a number"), "little")
        return number if sign == b"+" else -number

    def _float(self) -> float:
        start = self.here
        # Ruby 1.8 put the last bits of the mantissa behind a NUL.
        text = self._bytes("a float").partition(b"\0")[0]
        try:
            # Python reads Ruby's "inf", "-inf" and "nan" too; underscores are Python's alone.
            return float(text.replace(b"_", b"?"))
        except ValueError:
            raise self.refuse("a float", repr(text[:40]), start) from None

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
        data = self._bytes("a value's own bytes")
        variables = self._variables(depth) if with_variables else ()
        # Ruby makes it of its bytes only now, and numbers it after its variables.
        return self._keep(UserDefined(class_name=name, data=data, variables=variables))

    def _with_variables(self, depth: int) -> Value:
        start = self.here
        kind = self.take(1, "a value")
        if kind == b"u":
            return self._user_defined(depth, with_variables=True)
        if kind == b":":
            symbol = self._new_symbol()
            self._variables(depth)
            return symbol
        if kind != b'"':
            raise self.refuse("a string, a symbol or a value's own bytes", _kind(kind[0]), start)
        number = self._reserve()
        raw = self._bytes("a string")
        # A link to the string from among its own variables is of no use to anybody.
        return self._finish(number, _text(raw, self._variables(depth)))

    def _variables(self, depth: int) -> Variables:
        count = self._count("variables", least_bytes=2)
        return tuple([(self._symbol().name, self.value(depth)) for _ in range(count)])


def _text(raw: bytes, variables: Variables) -> str | bytes:
    """Return a string in the encoding that its variables name; without one, its bytes."""
    for name, value in variables:
        # E stands for the two that nearly all have: true for UTF-8, false for US-ASCII.
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
