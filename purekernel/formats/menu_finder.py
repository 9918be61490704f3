"""Find all boot menus of a file system.

A file system is an ISO, or the FAT image that UEFI boots from. Which of its menus a firmware reads
does not matter, if all change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from purekernel.errors import BootMenuError
from purekernel.formats.boot_menus import FoundMenu, GrubMenu, LoaderMenu, SyslinuxMenu
from purekernel.formats.booted import MAX_MENU_BYTES
from purekernel.formats.grub import Followed, GrubFile, parse_grub_config
from purekernel.formats.loader_entries import ENTRY_ENDING, parse_loader_file
from purekernel.formats.syslinux import BootMenu, Read, find_other_menus, parse_boot_menu
from purekernel.tree import File, Tree, display
from purekernel.tree.path import join, name, parent

GRUB_NAMES = (b"grub.cfg", b"loopback.cfg")
SYSLINUX_NAMES = (b"isolinux.cfg", b"syslinux.cfg", b"extlinux.conf",
                  b"syslx64.cfg", b"syslia32.cfg")  # fmt: skip
LOADER_NAME = b"loader.conf"
# Real menus have some kilobytes.
MAX_MENUS_BYTES = 1 << 22
KNOWN_NAMES = (*GRUB_NAMES, *SYSLINUX_NAMES, LOADER_NAME)


def find_menus(tree: Tree, boot_menu: bytes | None = None) -> tuple[FoundMenu, ...]:
    """Return the menus of a file system.

    Args:
        tree: the file system.
        boot_menu: the path of the menu that isolinux reads, to have it first.
    """
    finder = _Finder(tree)
    return (
        *finder.syslinux_menus(boot_menu),
        *finder.grub_menus(),
        *finder.loader_menus(),
    )


def is_loader_entry(path: bytes) -> bool:
    """Return whether a path is that of an entry of systemd-boot."""
    lower = path.lower()
    return lower.endswith(ENTRY_ENDING) and (b"/" + parent(lower)).endswith(b"/loader/entries")


class _Finder:
    """The files of a file system that may be menus."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._read_bytes = 0
        self._by_name: dict[bytes, list[bytes]] = {}
        for path, node in tree.walk():
            if isinstance(node, File) and node.size_bytes <= MAX_MENU_BYTES:
                self._by_name.setdefault(name(path).lower(), []).append(path)

    def named(self, names: Iterable[bytes]) -> list[bytes]:
        """Return the paths of files with one of some names."""
        return sorted(path for each in names for path in self._by_name.get(each, ()))

    def read(self, path: bytes) -> bytes:
        """Return the content of a file.

        Raises:
            BootMenuError: all menus together are too large, such as many that include one another.
        """
        node = self._tree[path]
        content = bytes(node.content) if isinstance(node, File) else b""
        self._read_bytes += len(content)
        if self._read_bytes > MAX_MENUS_BYTES:
            raise BootMenuError(
                f"{display(path)}: all boot menus, with what they include, must have at most "
                f"{MAX_MENUS_BYTES} bytes",
                hint="use a base with less menus",
            )
        return content

    def syslinux_menus(self, first: bytes | None) -> Iterator[SyslinuxMenu]:
        """Yield the menus of the Syslinux family, also those that others open.

        Args:
            first: the path of the one to yield first.
        """
        menus: dict[bytes, BootMenu] = {}
        included: dict[bytes, set[bytes]] = {}
        pending = sorted(self.named(SYSLINUX_NAMES), key=lambda path: path != first)
        for path in pending:  # more are added
            if path in menus:
                continue
            read = self._reader(parent(path))
            menus[path] = parse_boot_menu(self.read(path), path=path, read=read)
            sources = {line.source for line in menus[path].lines}
            included[path] = {each for each in sources if each is not None}
            for target in find_other_menus(menus[path]):
                found = read(target)
                if found is not None:
                    pending.append(found[0])
        for path in _roots(included, first):
            yield SyslinuxMenu(path=path, menu=menus[path])

    def _reader(self, folder: bytes) -> Read:
        """Return what finds the files that a menu in ``folder`` names."""

        def read(target: bytes) -> tuple[bytes, bytes] | None:
            folders = (b"",) if target.startswith(b"/") else (folder, b"")
            for each in folders:
                wanted = join(each, target.lstrip(b"/")).lower()
                for path in self._by_name.get(name(wanted), ()):
                    if path.lower() == wanted:
                        return path, self.read(path)
            return None

        return read

    def grub_menus(self) -> Iterator[GrubMenu]:
        """Yield the menus of GRUB, also those that others read."""
        files: dict[bytes, GrubFile] = {}
        parts: dict[bytes, list[bytes]] = {}
        used: set[bytes] = set()
        pending = self.named(GRUB_NAMES)
        for path in pending:  # more are added
            if path in files:
                continue
            files[path] = parse_grub_config(self.read(path))
            parts[path] = []
            for followed in dict.fromkeys(files[path].followed):
                targets = self._followed(followed)
                pending += targets
                if followed.is_part:
                    parts[path] += targets
                    used.update(each for each in targets if each != path)
        for path in files:
            if path not in used or name(path).lower() in GRUB_NAMES:
                members = _closure(path, parts)
                yield GrubMenu(path=path, files={each: files[each] for each in members})

    def _followed(self, followed: Followed) -> list[bytes]:
        """Return the files that a name in a script means: if its start is unknown, all that fit."""
        target = followed.path.lower()
        whole = b"/" + target.lstrip(b"/")
        found = []
        for each in self._by_name.get(name(target), ()):
            lower = b"/" + each.lower()
            if lower == whole or (not followed.is_whole and lower.endswith(target)):
                found.append(each)
        return found

    def loader_menus(self) -> Iterator[LoaderMenu]:
        """Yield the menus of systemd-boot."""
        configs = {parent(path): path for path in self.named([LOADER_NAME])}
        folders: dict[bytes, list[bytes]] = {}
        for paths in self._by_name.values():
            for path in filter(is_loader_entry, paths):
                folders.setdefault(parent(parent(path)), []).append(path)
        for folder, entries in sorted(folders.items()):
            config = configs.get(folder)
            yield LoaderMenu(
                path=config or join(folder, LOADER_NAME),
                config=parse_loader_file(b"" if config is None else self.read(config)),
                entries={path: parse_loader_file(self.read(path)) for path in sorted(entries)},
            )


def _roots(included: Mapping[bytes, set[bytes]], first: bytes | None) -> Iterator[bytes]:
    """Yield the files that no other includes; of files that include one another, the first."""
    parts = set().union(*included.values())
    covered: set[bytes] = set()
    for path in sorted(included, key=lambda path: (path != first, path in parts)):
        if path not in covered:
            covered |= included[path]
            yield path


def _closure(path: bytes, parts: Mapping[bytes, Sequence[bytes]]) -> list[bytes]:
    """Return a file and all files that are parts of it, in the order in which they are read."""
    members: dict[bytes, None] = {}
    pending = [path]
    for each in pending:  # more are added
        if each not in members:
            members[each] = None
            pending += parts[each]
    return list(members)
