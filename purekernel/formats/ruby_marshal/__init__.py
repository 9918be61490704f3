"""Read and write Ruby's Marshal format, version 4.8, the format of gem indexes."""

from purekernel.formats.ruby_marshal.reader import (
    Hash,
    Object,
    Symbol,
    UserDefined,
    UserMarshal,
    Value,
    parse_marshal,
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
