"""Regular expressions that users give, with a limit on the work that they cause."""

from purekernel.rootfs.expressions.search import (
    Expression,
    Match,
    expand,
    parse_expression,
    parse_replacement,
)

__all__ = ["Expression", "Match", "expand", "parse_expression", "parse_replacement"]
