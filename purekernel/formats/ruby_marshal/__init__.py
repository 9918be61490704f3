"""Ruby's Marshal format, 4.8: what RubyGems' indexes are written in."""

from purekernel.formats.ruby_marshal.reader import parse_marshal
from purekernel.formats.ruby_marshal.values import (
    Hash,
    Object,
    Symbol,
    UserDefined,
    UserMarshal,
    Value,
)
from purekernel.formats.ruby_marshal.writer import build_marshal

__all__ = [
    "Hash",
    "Object",
    "Symbol",
    "UserDefined",
    "UserMarshal",
    "Value",
    "build_marshal",
    "parse_marshal",
]
