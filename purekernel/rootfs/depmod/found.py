"""Modules as a depmod finds them in a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from purekernel.errors import LimitError
from purekernel.tree import Buffer, File, display

Listing = Callable[[bytes], Sequence[bytes]]
"""Gives the names in a folder, in the order in which a depmod would read them."""

# Links to folders may lead around in circles, and from each of many to all others: the real
# depmods never come back from there. Debian's largest kernel has 5,000 names, 8 folders deep.
MAX_DEPTH = 256
MAX_NAMES = 100_000


@frozen(kw_only=True)
class FoundModule:
    """A module that counts.

    Attributes:
        path: as modules.dep names it: relative to the release's folder, or, outside of it,
            absolute.
        name: as the kernel knows it, with underscores.
        node: its file. Of a root file system on the host it is read when it is asked for.
    """

    path: bytes
    name: bytes
    node: File

    @property
    def content(self) -> Buffer:
        """Return the module, packed if it is packed."""
        return self.node.content


def module_name(file_name: bytes) -> bytes:
    """Return the kernel's name of a module by its file's: up to the first dot, no dashes."""
    return file_name.partition(b".")[0].replace(b"-", b"_")


def check_names(count: int, start: bytes) -> None:
    """Hold how many names a walk has come by against what any honest one does.

    Raises:
        LimitError: it is more.
    """
    if count > MAX_NAMES:
        raise LimitError(
            source=display(start),
            expected=f"at most {MAX_NAMES} names, by all ways that links lead",
            got="more",
            hint="look for links there that lead from folder to folder",
        )
