"""Define the types of option values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # generic only from click 8.4 on
    ParamType = click.ParamType

# Python's int() also accepts 1_000, blanks, and the digits of all scripts.
_INTEGER = re.compile(r"[+-]?[0-9]+")


class PathParameter(ParamType):
    """A path on this host. An empty value is an error, not the current folder."""

    name = "path"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Return the path."""
        if isinstance(value, Path):
            return value
        if not value:
            self.fail("the path is empty", param, ctx)
        return Path(str(value))


class OutputParameter(PathParameter):
    """A path, or - for stdout. It stays text: a slash at its end means a folder."""

    def convert(  # type: ignore[override]  # text, not a path
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the text."""
        super().convert(value, param, ctx)
        return str(value)


class Words(ParamType):
    """A list of known words, separated by commas."""

    name = "list"

    def __init__(self, *known: str) -> None:
        """Accept the words in ``known``."""
        self._known = known

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the words, without duplicates."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        for name in names:
            if name not in self._known:
                self.fail(f"{name!r} is not one of {', '.join(self._known)}", param, ctx)
        return names


class Size(ParamType):
    """A number of bytes, with an optional suffix K, M, G or T (powers of 1024)."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number of bytes."""
        if isinstance(value, int):
            return value
        from purekernel.recipe.kinds import parse_size  # noqa: PLC0415  # too slow for --help

        size_bytes = parse_size(str(value).strip())
        if size_bytes is None:
            self.fail(f"must be a number of bytes, such as 500M or 2G, got {value!r}", param, ctx)
        return size_bytes


class Integer(click.types.IntParamType):
    """A number in ASCII digits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        _check_digits(self, value, param, ctx)
        return int(super().convert(value, param, ctx))


class IntegerRange(click.IntRange):
    """A number in ASCII digits, in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        _check_digits(self, value, param, ctx)
        return int(super().convert(value, param, ctx))


def _check_digits(
    kind: ParamType, value: object, param: click.Parameter | None, ctx: click.Context | None
) -> None:
    if isinstance(value, str) and _INTEGER.fullmatch(value) is None:
        kind.fail(f"must be a number in the digits 0 to 9, got {value!r}", param, ctx)
