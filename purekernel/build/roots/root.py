"""What a root file system is to those who change one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from purekernel.tree import Tree


class Root(Protocol):
    """A root file system that was read, and can be written again.

    Attributes:
        tree: as it was read; leave it as it is.
        notes: what could not be read, one line each.
        is_whole: whether all of its names could be read.
        mtime: the time of what is made in it, in seconds since 1970, UTC.
    """

    @property
    def tree(self) -> Tree:
        """Return the tree."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the notes."""
        ...

    @property
    def is_whole(self) -> bool:
        """Return whether it is."""
        ...

    @property
    def mtime(self) -> int:
        """Return the time."""
        ...

    def save(self, changed: Tree, output: Path | None = None) -> tuple[str, ...]:
        """Write ``changed``, which came of :attr:`tree`, to where that lies, or to ``output``.

        Returns:
            What was dropped, one line each.

        Raises:
            UsageError: that kind of root cannot be written elsewhere.
            OutputError: something cannot be written.
            BootLossError: a way to boot would be lost.
            UnrepresentableError: its format has no room for something in the tree, or is one
                that is not written.
        """
        ...
