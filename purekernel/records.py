"""Define frozen attrs classes that take little time to define.

attrs writes the source of a class's methods and compiles it on every import; Python's cached
bytecode does not include the result. Compiling ``__repr__``, ``__eq__`` and ``__hash__`` takes
three quarters of that time. So the classes defined here share one function for each of the three,
which returns what attrs' own returns; attrs makes the rest.

These functions are slower than compiled ones. A class whose instances are compared or hashed
millions of times should use ``attrs.frozen``.
"""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

import attrs

__all__ = ["frozen"]


@recursive_repr("...")
def _repr(self: Any) -> str:
    shown = (
        f"{name}={show(getattr(self, name, attrs.NOTHING))}"
        for name, show in _shown(self.__class__)
    )
    return f"{self.__class__.__qualname__.rpartition('>.')[2]}({', '.join(shown)})"


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    get = _compared(self.__class__)
    return get(self) == get(other)


def _hash(self: Any) -> int:
    return hash((self.__class__, _compared(self.__class__)(self)))


@cache
def _shown(cls: type) -> list[tuple[str, Any]]:
    """Return the fields of the representation, each with the function that represents its value."""
    return [
        (item.name, repr if item.repr is True else item.repr)
        for item in attrs.fields(cls)
        if item.repr
    ]


@cache
def _compared(cls: type) -> Any:
    """Return a function from an instance to the values that are compared."""
    compared = [(item.name, item.eq_key) for item in attrs.fields(cls) if item.eq]
    if any(key is not None for _name, key in compared):
        return lambda instance: tuple(
            getattr(instance, name) if key is None else key(getattr(instance, name))
            for name, key in compared
        )
    return attrgetter(*(name for name, _key in compared)) if compared else lambda _: None


if TYPE_CHECKING:
    from attrs import frozen  # noqa: TID251  # what this module replaces
else:

    def frozen(cls=None, *, kw_only=False, eq=None):
        """Define an immutable class, with the result of ``attrs.frozen``.

        Methods that the class defines itself are kept.

        Args:
            cls: the class.
            kw_only: whether ``__init__`` takes only keyword arguments.
            eq: ``False`` to compare and hash instances by identity.
        """

        def define(cls):
            own = vars(cls)
            if "__repr__" not in own:
                cls.__repr__ = _repr
            if eq is None and not {"__eq__", "__hash__"} & own.keys():
                cls.__eq__ = _eq
                cls.__hash__ = _hash
            # attrs makes no method that the class has by now.
            return attrs.frozen(cls, kw_only=kw_only, eq=eq)  # noqa: TID251

        return define if cls is None else define(cls)
