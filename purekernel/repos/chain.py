"""Describe how a name in a list leads to a name that it depends on, directly or not."""

from __future__ import annotations

from collections.abc import Iterable

# The longest chain in a message. Real chains have up to ten names. Each of thousands of names has a
# chain, which in a hostile index may have thousands of names.
MAX_NAMES = 20
_FIRST = 10

LEFT_OUT = "…"


def extend_chain(chain: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return ``chain`` with ``name`` at its end; leave out names in the middle of a long one."""
    if len(chain) < MAX_NAMES:
        return (*chain, name)
    return (*chain[:_FIRST], LEFT_OUT, *chain[_FIRST + 2 :], name)


def make_chain(names: Iterable[str]) -> tuple[str, ...]:
    """Return the chain of ``names``, from the name in a list on; see :func:`extend_chain`."""
    chain: tuple[str, ...] = ()
    for name in names:
        chain = extend_chain(chain, name)
    return chain
