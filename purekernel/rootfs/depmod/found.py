"""Define the modules that a depmod finds in a tree, and limits of the search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from purekernel.errors import LimitError, make_chain
from purekernel.records import frozen
from purekernel.tree import Buffer, File, display

Listing = Callable[[bytes], Sequence[bytes]]
"""Return the names in a folder, in the order in which depmod reads them."""

# Links between folders may form cycles, or lead from each of many folders to all others. The real
# depmods never finish on such trees. Debian's largest kernel has 5,000 names, 8 folders deep.
MAX_DEPTH = 256
MAX_NAMES = 100_000

# The dependencies of all modules, direct and indirect, each counted once for each way to it. In a
# chain of modules they grow with the square of its length. Debian's largest kernel has 20,000.
MAX_NEEDS = 2_000_000


@frozen(kw_only=True)
class FoundModule:
    """A module that is indexed.

    Attributes:
        path: the path in modules.dep: relative to the release's folder, or absolute if outside.
        name: the kernel's name, with underscores.
        node: its file. In a root file system on the host, the content is read on access.
    """

    path: bytes
    name: bytes
    node: File

    @property
    def content(self) -> Buffer:
        """Return the bytes of the file, still compressed if it is."""
        return self.node.content


def module_name(file_name: bytes) -> bytes:
    """Return a module's kernel name: its file name up to the first dot, dashes as underscores."""
    return file_name.partition(b".")[0].replace(b"-", b"_")


def check_names(count: int, start: bytes) -> None:
    """Check the number of names that a walk has visited.

    Raises:
        LimitError: it is more than ``MAX_NAMES``.
    """
    if count > MAX_NAMES:
        raise LimitError(
            source=display(start),
            expected=f"at most {MAX_NAMES} names, including those behind links",
            got="more",
            hint="remove links from folder to folder there",
        )


def check_needs(count: int, path: bytes) -> None:
    """Check the number of dependencies that were followed up to the module at ``path``.

    Raises:
        LimitError: it is more than ``MAX_NEEDS``.
    """
    if count > MAX_NEEDS:
        raise LimitError(
            source=display(path),
            expected=f"at most {MAX_NEEDS} direct and indirect dependencies of all modules",
            got="more",
            hint="remove modules that depend on one another in long chains",
        )


def show_cycle(names: Sequence[bytes]) -> str:
    """Describe a cycle of modules, by the names on the way back to the first."""
    shown = make_chain(name.decode("ascii", "backslashreplace") for name in names)
    return f"modules depend on one another in a cycle: {' -> '.join(shown)}"
