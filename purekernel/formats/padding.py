"""Zeros between and behind what a file holds."""

from __future__ import annotations

STEP_BYTES = 4096


def skip_zeros(view: memoryview, start: int) -> int:
    """Return the first place from ``start`` on that holds no zero, or the end."""
    here = start
    while here < len(view):
        block = bytes(view[here : here + STEP_BYTES])
        rest = block.lstrip(b"\0")
        here += len(block) - len(rest)
        if rest:
            break
    return here
