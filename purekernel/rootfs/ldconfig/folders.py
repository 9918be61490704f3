"""Collect the folders to search, in order.

Source: glibc 2.36, ``add_dir_1``, ``add_single_dir`` and
``add_glibc_hwcaps_subdirectories`` in elf/ldconfig.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from purekernel.records import frozen
from purekernel.rootfs.ldconfig.architecture import Architecture
from purekernel.rootfs.ldconfig.kinds import ELF_LIBC5, ELF_LIBC6, LIBC4
from purekernel.rootfs.ldconfig.rules import Rules
from purekernel.tree import Directory, Found, Tree, display, look_up

GLIBC_HWCAPS = b"glibc-hwcaps"

# White space according to isspace(3).
WHITE_SPACE = b" \t\n\v\f\r"

_LIBRARY_TYPES = {
    b"libc4": LIBC4,
    b"libc5": ELF_LIBC5,
    b"libc6": ELF_LIBC6,
    b"glibc2": ELF_LIBC6,
}


@frozen(kw_only=True)
class SearchFolder:
    """A folder to search.

    Attributes:
        path: the path as configured, which is also its path in the cache.
        place: the path in the tree, links resolved.
        inode: the inode number, by which duplicates are detected.
        kind: the C library of its libraries, ``None`` for any.
        hwcaps: its name in ``glibc-hwcaps``, ``None`` elsewhere.
        origin: the file and line that configures it, as ``/etc/ld.so.conf:3``.
    """

    path: bytes
    place: bytes
    inode: int
    kind: int | None
    hwcaps: bytes | None
    origin: bytes


class SearchList:
    """The folders to search, each at its first position, and warnings.

    Args:
        tree: the root file system.
        rules: the rules of the glibc release.

    Attributes:
        hwcaps: the names of all folders found in ``glibc-hwcaps``.
        warnings: one line for each invalid line.
    """

    def __init__(self, tree: Tree, rules: Rules) -> None:
        self.hwcaps: set[bytes] = set()
        self.warnings: list[str] = []
        self._tree = tree
        self._rules = rules
        self._folders: list[SearchFolder] = []
        self._places: dict[int, int] = {}

    def __iter__(self) -> Iterator[SearchFolder]:
        """Yield the folders, including those that are added during iteration."""
        index = 0
        while index < len(self._folders):
            yield self._folders[index]
            index += 1

    def add_line(self, line: bytes, *, origin: bytes) -> None:
        """Add the folder in a line of ``ld.so.conf``, such as ``/lib`` or ``/lib=libc5``.

        A missing folder is skipped. Most releases also skip the root folder.
        """
        path, equals, word = line, b"", b""
        if self._rules.library_types:
            path, equals, word = line.partition(b"=")
        kind: int | None = None
        if equals:
            kind = _LIBRARY_TYPES.get(word)
            if kind is None:
                self.warnings.append(
                    f"{display(origin)}: unknown type of libraries {display(word)}"
                )
        path = path.rstrip(WHITE_SPACE)
        path = path[:1] + path[1:].rstrip(b"/") if self._rules.searches_root else path.rstrip(b"/")
        found = look_up(self._tree, path) if path else None
        if found is None:
            return
        folder = SearchFolder(
            path=path,
            place=found.path,
            inode=found.inode,
            kind=kind,
            hwcaps=None,
            origin=origin,
        )
        if self._add(folder) and self._rules.glibc_hwcaps:
            self._add_glibc_hwcaps(folder)

    def add_below(self, above: SearchFolder, name: bytes, found: Found) -> None:
        """Add the hardware folder ``name`` in the folder ``above``."""
        self._add(
            evolve(
                above,
                path=above.path + b"/" + name,
                place=found.path,
                inode=found.inode,
                hwcaps=None,
            )
        )

    def _add(self, folder: SearchFolder) -> bool:
        """Add ``folder`` and return true; if it is a duplicate, change only its kind."""
        place = self._places.get(folder.inode)
        if place is None:
            self._places[folder.inode] = len(self._folders)
            self._folders.append(folder)
            return True
        self._folders[place] = evolve(self._folders[place], kind=folder.kind)
        return False

    def _add_glibc_hwcaps(self, folder: SearchFolder) -> None:
        found = look_up(self._tree, folder.path + b"/" + GLIBC_HWCAPS)
        if found is None or not isinstance(found.node, Directory):
            return
        for name in self._tree.entries(found.path):
            # The loader's list of such names is separated by colons.
            if name.startswith(b".") or b":" in name:
                continue
            below = look_up(self._tree, found.path + b"/" + name)
            if below is None or not isinstance(below.node, Directory):
                continue
            self.hwcaps.add(name)
            self._add(
                evolve(
                    folder,
                    path=folder.path + b"/" + GLIBC_HWCAPS + b"/" + name,
                    place=below.path,
                    inode=below.inode,
                    hwcaps=name,
                )
            )


def system_folders(tree: Tree, architecture: Architecture) -> tuple[bytes, ...]:
    """Return the default folders: Debian's if the tree has them, else those of glibc."""
    debian = (b"/lib/" + architecture.multiarch, b"/usr/lib/" + architecture.multiarch)
    if any(look_up(tree, folder) for folder in debian):
        return (*debian, b"/lib", b"/usr/lib")
    return architecture.folders
