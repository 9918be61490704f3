"""Ruby's values as ours, without a class of Ruby's ever being made.

``nil``, ``true``, ``false``, integers and floats are Python's; arrays are tuples. A string
with an encoding is a ``str``, one without is ``bytes``: Ruby 1.8 knew no encodings, and wrote
none.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import field, frozen

MAGIC = b"\x04\x08"


@frozen
class Symbol:
    """A name, such as ``:runtime``."""

    name: str


@frozen(kw_only=True)
class Hash:
    """A hash.

    Attributes:
        pairs: keys and values, in order.
        default: what missing keys give.
    """

    pairs: tuple[tuple[Value, Value], ...] = ()
    default: Value = None


Variables: TypeAlias = "tuple[tuple[str, Value], ...]"


@frozen(kw_only=True)
class Object:
    """An instance of a class, by its instance variables, ``@`` and all."""

    class_name: str
    variables: Variables = ()


@frozen(kw_only=True)
class UserDefined:
    """An instance of a class that has its own bytes (``_dump``).

    Attributes:
        class_name: of the class that reads them.
        data: the bytes.
        variables: of the string that holds them; a Time's zone stands there.
    """

    class_name: str
    data: bytes = field(repr=False)
    variables: Variables = ()


@frozen(kw_only=True)
class UserMarshal:
    """An instance of a class that gives another value in its place (``marshal_dump``)."""

    class_name: str
    value: Value


Value: TypeAlias = (
    "bool | int | float | str | bytes | Symbol | tuple[Value, ...] | Hash | Object | UserDefined"
    " | UserMarshal | None"
)
