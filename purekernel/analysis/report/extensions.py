"""Find the extensions of an image, what they depend on, and how each is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from purekernel.analysis.contents import Contents, Part
from purekernel.analysis.nested import EXTENSION_FOLDERS
from purekernel.errors import PurekernelError
from purekernel.formats.address import SEPARATOR
from purekernel.formats.bzimage import kernel_release
from purekernel.formats.extension_info import LICENCE, VERSION, parse_info
from purekernel.formats.tinycore import TCZ, is_extension_name, parse_dependencies
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.rootfs.modules import kernel_releases
from purekernel.rootfs.ownership import START_SCRIPTS
from purekernel.tree import Directory, File, Tree
from purekernel.tree.path import escape, join, name, parent

ONBOOT = b"onboot.lst"
_KERNEL = "-KERNEL"


class Loading(Enum):
    """How the system gets an extension."""

    AT_BOOT = "at boot"
    """It is in a list of extensions that are loaded at boot, or one there depends on it."""
    STORED = "stored"
    """It is in the image, for loading by hand."""
    MERGED = "merged"
    """Its files are in the root file system, which says that it is installed."""
    MISSING = "missing"
    """Another one depends on it, or a list names it, and the image does not have it."""


@frozen(kw_only=True)
class Extension:
    """An extension of an image.

    Attributes:
        name: its file name.
        place: where it is in the image; empty if it is missing or merged.
        loading: how the system gets it.
        packed_bytes: its size; 0 if it is missing or merged.
        files: how many files it has.
        needs: the names of those that it depends on.
        version: from its ``.info``; empty if unknown.
        licence: likewise.
    """

    name: str
    place: str
    loading: Loading
    packed_bytes: int = 0
    files: int = 0
    needs: tuple[str, ...] = ()
    version: str = ""
    licence: str = ""


def find_extensions(contents: Contents) -> tuple[tuple[Extension, ...], list[PurekernelError]]:
    """Return the extensions of an image, by name, and what could not be read.

    Those that are only named, in a list or by another one, are missing.
    """
    finder = _Finder(contents)
    finder.find()
    found = finder.found
    return tuple(found[each] for each in sorted(found)), finder.faults


class _Finder:
    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self.found: dict[str, Extension] = {}
        self.faults: list[PurekernelError] = []
        self._release = _release(contents)

    def find(self) -> None:
        parts = {part.place: part for part in self._contents.parts}
        merged = set(self._merged())
        at_boot: list[str] = []
        needs: dict[str, tuple[str, ...]] = {}
        for part in self._contents.parts:
            at_boot += self._listed(part)
        stored: dict[str, tuple[Part, Tree, bytes]] = {}
        for extension in self._contents.extensions:
            holder, path = _holder(extension, parts)
            file_name = escape(name(path)) if path else extension.place or self._own_name()
            stored.setdefault(file_name, (extension, holder, path))
        for file_name, (_extension, holder, path) in stored.items():
            needs[file_name] = self._needs(holder, path) if path else ()
        loaded = _closure(at_boot, needs)
        for file_name, (extension, holder, path) in stored.items():
            fields = self._info(holder, path) if path else ("", "")
            self.found[file_name] = Extension(
                name=file_name,
                place=extension.place,
                loading=Loading.AT_BOOT if file_name in loaded else Loading.STORED,
                packed_bytes=extension.packed_bytes or 0,
                files=sum(not isinstance(node, Directory) for _path, node in extension.tree.walk()),
                needs=needs[file_name],
                version=fields[0],
                licence=fields[1],
            )
        for file_name in merged - stored.keys():
            self.found[file_name] = Extension(name=file_name, place="", loading=Loading.MERGED)
        named = [*at_boot, *(need for each in needs.values() for need in each)]
        for file_name in named:
            if file_name not in self.found:
                self.found[file_name] = Extension(name=file_name, place="", loading=Loading.MISSING)

    def _own_name(self) -> str:
        return self._contents.address.replace("\\", "/").rpartition("/")[2]

    def _merged(self) -> Iterator[str]:
        """Yield the extensions that the root file system says are installed."""
        root = self._contents.root
        if root is not None and isinstance(root.get(START_SCRIPTS), Directory):
            for entry in root.entries(START_SCRIPTS):
                file_name = escape(entry) + TCZ
                if is_extension_name(file_name):
                    yield file_name

    def _listed(self, part: Part) -> list[str]:
        """Return the extensions that the lists in a part load at boot."""
        names: list[str] = []
        for folder in dict.fromkeys(parent(each) for each in EXTENSION_FOLDERS):
            node = part.tree.get(join(folder, ONBOOT))
            if isinstance(node, File):
                names += self._parse(part.place, join(folder, ONBOOT), node)
        return names

    def _needs(self, tree: Tree, path: bytes) -> tuple[str, ...]:
        node = tree.get(path + b".dep")
        return tuple(self._parse("", path + b".dep", node)) if isinstance(node, File) else ()

    def _parse(self, place: str, path: bytes, node: File) -> list[str]:
        shown = f"{place}{SEPARATOR}{escape(path)}" if place else escape(path)
        try:
            names = parse_dependencies(
                Input(node.content, name=f"{self._contents.address}{SEPARATOR}{shown}")
            )
        except PurekernelError as error:
            self.faults.append(error)
            return []
        return [self._resolved(each) for each in names]

    def _resolved(self, wanted: str) -> str:
        wanted = wanted if wanted.endswith(TCZ) else wanted + TCZ
        if self._release is not None and wanted.endswith(_KERNEL + TCZ):
            return f"{wanted.removesuffix(_KERNEL + TCZ)}-{self._release}{TCZ}"
        return wanted

    def _info(self, tree: Tree, path: bytes) -> tuple[str, str]:
        node = tree.get(path + b".info")
        if not isinstance(node, File):
            return "", ""
        try:
            info = parse_info(Input(node.content, name=escape(path)))
        except PurekernelError as error:
            self.faults.append(error)
            return "", ""
        version, licence = info.value(VERSION), info.value(LICENCE)
        return _first_line(version), _first_line(licence)


def _first_line(text: str) -> str:
    first = text.split("\n", maxsplit=1)[0][:200]
    return "".join(char if char.isprintable() else " " for char in first)


def _holder(extension: Part, parts: dict[str, Part]) -> tuple[Tree, bytes]:
    """Return the tree that an extension is in, and its path there; empty if it is no file in it."""
    place = extension.place
    above = ""
    for each in parts:
        if place.startswith(f"{each}{SEPARATOR}") and len(each) > len(above):
            above = each
    inner = place[len(above) + len(SEPARATOR) :] if above else place
    tree, path = parts[above].tree, inner.encode()
    return tree, path if path in tree else b""


def _closure(wanted: list[str], needs: dict[str, tuple[str, ...]]) -> set[str]:
    """Return the extensions called ``wanted``, and those that they depend on."""
    found: set[str] = set()
    pending = list(wanted)
    while pending:
        each = pending.pop()
        if each not in found:
            found.add(each)
            pending += needs.get(each, ())
    return found


def _release(contents: Contents) -> str | None:
    if contents.kernel is not None:
        release = kernel_release(contents.kernel.data)
        if release is not None:
            return release
    if contents.root is None:
        return None
    folders = kernel_releases(contents.root)
    return folders[0].decode("ascii", "replace") if len(folders) == 1 else None
