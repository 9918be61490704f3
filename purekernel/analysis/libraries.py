"""Find the library that the dynamic loader would load for a name.

Source: ld.so(8); glibc, ``_dl_map_object`` in elf/dl-load.c. The loader's cache has the libraries
of the folders in ld.so.conf, where ldconfig also makes links with their sonames.
"""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.analysis.system import View
from purekernel.errors import FormatError
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.elf import ElfClass, ElfObject, read_object
from purekernel.formats.elf.layout import EM_386, EM_X86_64
from purekernel.records import frozen
from purekernel.rootfs.ldconfig.configure import CONFIGURATION
from purekernel.tree import Directory, File, Tree, display
from purekernel.tree.path import join, parent

# The folders that glibc searches by default, and those that ldconfig of x86-64 always puts into the
# cache. Tiny Core's loader for x86_64 has no lib64.
DEFAULT_FOLDERS = (b"lib", b"usr/lib")
FURTHER_FOLDERS = (b"lib64", b"usr/lib64")

# Bounds the folders that one file can have searched.
MOST_FOLDERS = 64

Machine = tuple[ElfClass, int]
"""The class of a file and the number of its machine, which must be those of its libraries."""

_NAMES = {
    (ElfClass.BITS_32, EM_386): "x86",
    (ElfClass.BITS_64, EM_X86_64): "x86_64",
    (ElfClass.BITS_32, EM_X86_64): "x32",
    (ElfClass.BITS_32, 40): "ARM",
    (ElfClass.BITS_64, 183): "AArch64",
    (ElfClass.BITS_32, 8): "MIPS",
    (ElfClass.BITS_64, 243): "RISC-V",
}


def machine_of(found: ElfObject) -> Machine:
    """Return class and machine of an object."""
    return found.header.elf_class, found.header.machine


def machine_name(machine: Machine) -> str:
    """Return the name of a machine: ``x86_64``, or ``machine 8 of 32 bits``."""
    bits = 64 if machine[0] is ElfClass.BITS_64 else 32
    return _NAMES.get(machine, f"machine {machine[1]} of {bits} bits")


@frozen
class FoundLibrary:
    """A library, and its path in the image."""

    path: bytes
    object: ElfObject


class LoadableLibraries:
    """The libraries that programs of a view can load.

    Args:
        view: the files that programs see.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._folders = tuple(self._searched())
        self._objects: dict[bytes, ElfObject | None] = {}
        self._found: dict[tuple[bytes, Machine], FoundLibrary | None] = {}
        self._sonames: dict[tuple[bytes, Machine], bytes] | None = None

    def find(self, wanted: bytes, asking: ElfObject, origin: bytes) -> FoundLibrary | None:
        """Return the library that the loader loads for ``wanted``, or ``None``.

        Args:
            wanted: the name of the library, or a path.
            asking: the object that needs it.
            origin: the path of that object in the image.
        """
        machine = machine_of(asking)
        if b"/" in wanted:
            return self._at(wanted, machine)
        for folder in _own_folders(asking, origin):
            found = self._at(join(folder.strip(b"/"), wanted), machine)
            if found is not None:
                return found
        if asking.skips_default_folders and asking.runpath is None and not asking.rpath:
            return None
        if (wanted, machine) not in self._found:
            self._found[wanted, machine] = self._find(wanted, machine)
        return self._found[wanted, machine]

    def has_elsewhere(self, wanted: bytes) -> bool:
        """Say whether any file is called ``wanted``, in whatever folder."""
        return wanted in self.view.names

    def is_searched(self, path: bytes) -> bool:
        """Say whether the loader searches the folder of ``path``."""
        return parent(path) in self._folders

    def has_loader(self, machine: Machine) -> bool:
        """Say whether there is a dynamic loader for ``machine``."""
        paths = (
            join(folder, entry)
            for folder in (*DEFAULT_FOLDERS, *FURTHER_FOLDERS)
            for tree in self.view.trees
            if isinstance(tree.get(folder), Directory)
            for entry in tree.entries(folder)
            if entry.startswith(b"ld-")
        )
        return any(self._at(path, machine) is not None for path in paths)

    def object_at(self, path: bytes) -> ElfObject | None:
        """Return the program or library at ``path``; ``None`` if there is no valid one."""
        if path not in self._objects:
            node = self.view.file(path)
            self._objects[path] = None if node is None else read_file(node, path)
        return self._objects[path]

    def _find(self, wanted: bytes, machine: Machine) -> FoundLibrary | None:
        for folder in self._folders:
            found = self._at(join(folder, wanted), machine)
            if found is not None:
                return found
        if self._sonames is None:
            self._sonames = dict(self._read_sonames())
        path = self._sonames.get((wanted, machine))
        return None if path is None else self._at(path, machine)

    def _at(self, path: bytes, machine: Machine) -> FoundLibrary | None:
        found = self.object_at(path.lstrip(b"/"))
        # The loader skips libraries for other machines.
        if found is None or machine_of(found) != machine:
            return None
        return FoundLibrary(path.lstrip(b"/"), found)

    def _searched(self) -> Iterator[bytes]:
        configuration = self.view.file(CONFIGURATION)
        lines = b"" if configuration is None else bytes(configuration.content)
        configured = (line.split(b"#")[0].strip() for line in lines.split(b"\n"))
        folders = [line.strip(b"/") for line in configured if line.startswith(b"/")]
        yield from dict.fromkeys((*folders[:MOST_FOLDERS], *DEFAULT_FOLDERS, *FURTHER_FOLDERS))

    def _read_sonames(self) -> Iterator[tuple[tuple[bytes, Machine], bytes]]:
        """Yield the libraries in the searched folders for which ldconfig makes a link."""
        for folder in reversed(self._folders):
            for tree in reversed(self.view.trees):
                for path in _libraries_in(tree, folder):
                    found = self.object_at(path)
                    if found is not None and found.soname:
                        yield (found.soname, machine_of(found)), path


def read_file(node: File, path: bytes) -> ElfObject | None:
    """Return the program or library in a file; ``None`` if it is none, or is damaged."""
    try:
        return open_object(node, path)
    except FormatError:
        return None


def open_object(node: File, path: bytes) -> ElfObject | None:
    """Return the program or library in a file; ``None`` if it is none.

    Raises:
        FormatError: it is damaged.
    """
    if detect(node.part(0, 4)) is not FileKind.ELF:
        return None
    return read_object(node.part, node.size_bytes, name=display(path))


def _libraries_in(tree: Tree, folder: bytes) -> list[bytes]:
    if not isinstance(tree.get(folder), Directory):
        return []
    return [join(folder, entry) for entry in tree.entries(folder) if b".so" in entry]


def _own_folders(asking: ElfObject, origin: bytes) -> list[bytes]:
    """Return the folders that an object itself names."""
    folders = asking.rpath if asking.runpath is None else asking.runpath
    above = b"/" + parent(origin)
    lib = b"lib64" if asking.header.elf_class is ElfClass.BITS_64 else b"lib"
    expanded = []
    for given in folders.split(b":")[:MOST_FOLDERS]:
        folder = given
        for token, value in ((b"ORIGIN", above), (b"LIB", lib)):
            folder = folder.replace(b"${" + token + b"}", value).replace(b"$" + token, value)
        if folder.startswith(b"/"):
            expanded.append(folder)
    return expanded
