"""The folders that are searched, in order.

Source: glibc 2.36, ``add_dir_1``, ``add_single_dir`` and
``add_glibc_hwcaps_subdirectories`` in elf/ldconfig.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from purekernel.rootfs.ldconfig.architecture import Architecture
from purekernel.rootfs.ldconfig.kinds import ELF_LIBC5, ELF_LIBC6, LIBC4
from purekernel.rootfs.ldconfig.rules import Rules
from purekernel.tree import Directory, Found, Tree, display, look_up

GLIBC_HWCAPS = b"glibc-hwcaps"

# What isspace(3) takes for white space.
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
        path: as it was written, which is how the cache names it.
        place: where it is in the tree.
        inode: by which a folder that is named twice is told.
        kind: of which C library its libraries are, ``None`` for any.
        hwcaps: its name in ``glibc-hwcaps``, ``None`` elsewhere.
        origin: the file and line that named it, as ``/etc/ld.so.conf:3``.
    """

    path: bytes
    place: bytes
    inode: int
    kind: int | None
    hwcaps: bytes | None
    origin: bytes


class SearchList:
    """Folders in the order in which they were named first, and what was wrong with others.

    Args:
        tree: where they are.
        rules: by which lines are read.

    Attributes:
        hwcaps: the names of all folders in ``glibc-hwcaps`` that were seen.
        warnings: one line each.
    """

    def __init__(self, tree: Tree, rules: Rules) -> None:
        self.hwcaps: set[bytes] = set()
        self.warnings: list[str] = []
        self._tree = tree
        self._rules = rules
        self._folders: list[SearchFolder] = []
        self._places: dict[int, int] = {}

    def __iter__(self) -> Iterator[SearchFolder]:
        """Yield the folders, and those that are added in the meantime."""
        here = 0
        while here < len(self._folders):
            yield self._folders[here]
            here += 1

    def add_line(self, line: bytes, *, origin: bytes) -> None:
        """Add the folder that a line of ``ld.so.conf`` names, as ``/lib`` or ``/lib=libc5``.

        A folder that is not there is passed over, and so, by most releases, is the root.
        """
        path, equals, word = line, b"", b""
        if self._rules.library_types:
            path, equals, word = line.partition(b"=")
        kind: int | None = None
        if equals:
            kind = _LIBRARY_TYPES.get(word)
            if kind is None:
                self.warnings.append(f"{display(origin)}: {display(word)} is no type of libraries")
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
        """Add the folder for better hardware that stands in ``above`` as ``name``."""
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
        """Add ``folder`` and return true; where it is there already, only its kind changes."""
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
            # The loader is told such names in a list parted by colons.
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
    """Return the default folders: Debian's where the tree has such, else glibc's own."""
    debian = (b"/lib/" + architecture.multiarch, b"/usr/lib/" + architecture.multiarch)
    if any(look_up(tree, folder) for folder in debian):
        return (*debian, b"/lib", b"/usr/lib")
    return architecture.folders
