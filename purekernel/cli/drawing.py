"""Draw trees as text."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from attrs import field, frozen

# A branch, the last branch, and what goes on beside and below them.
UNICODE = ("├── ", "└── ", "│   ", "    ")
ASCII = ("|-- ", "`-- ", "|   ", "    ")


@frozen(kw_only=True)
class Drawn:
    """A line of a tree, and what hangs from it."""

    text: str
    below: tuple[Drawn, ...] = field(default=())


def draw(top: Drawn, guides: tuple[str, str, str, str] = UNICODE) -> Iterator[str]:
    """Yield the lines of a tree; its top has no guide before it."""
    branch, last_branch, beside, under = guides
    yield top.text
    pending = [(one, "", one is top.below[-1]) for one in reversed(top.below)]
    while pending:
        node, indent, last = pending.pop()
        yield indent + (last_branch if last else branch) + node.text
        deeper = indent + (under if last else beside)
        pending.extend((one, deeper, one is node.below[-1]) for one in reversed(node.below))


def guides() -> tuple[str, str, str, str]:
    """Return the guides that standard output can show."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "".join(UNICODE).encode(encoding)
    except UnicodeEncodeError:
        return ASCII
    return UNICODE


def megabytes(size_bytes: int | None) -> str:
    """Return a size for people: kB under a million bytes, MB above; nothing for none."""
    if size_bytes is None:
        return ""
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1e3:.1f} kB"
    return f"{size_bytes / 1e6:.2f} MB"
