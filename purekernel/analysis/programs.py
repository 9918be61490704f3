"""Check whether programs and libraries can be loaded: machine, loader, libraries, versions.

Source: execve(2), ld.so(8); glibc, ``match_symbol`` in elf/dl-version.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from purekernel.analysis.findings import FileOwner, Finding, shown
from purekernel.analysis.libraries import (
    FoundLibrary,
    LoadableLibraries,
    Machine,
    machine_name,
    machine_of,
    open_object,
    read_file,
)
from purekernel.analysis.system import OwnedFiles, View
from purekernel.errors import FormatError
from purekernel.formats.elf import ElfClass, ElfObject
from purekernel.formats.elf.layout import EM_386, EM_X86_64
from purekernel.records import frozen
from purekernel.rootfs.extensions import EXECUTABLE
from purekernel.rootfs.ldconfig.glibc import LIBC
from purekernel.tree import File, Tree, display
from purekernel.tree.path import name

# Programs of the root file system that show for which machine it is.
_SHOWING = (b"bin/busybox", b"sbin/init", b"bin/sh", b"lib/libc.so.6", b"init", b"usr/bin/env")

# What is loaded by something other than Linux: firmware, and modules of syslinux.
_FOREIGN_FOLDERS = (b"firmware/", b"boot/", b"syslinux/", b"grub/")
_FOREIGN_SUFFIXES = (b".c32", b".elf", b".bin", b".img", b".debug", b".o", b".ko")

GLIBC = b"GLIBC"

# A version of a library: GLIBC_2.28, GLIBCXX_3.4.21, OPENSSL_1_1_1d.
_VERSION = re.compile(rb"([A-Za-z][A-Za-z_+]{0,60}?)_?([0-9][0-9._]{0,60})([0-9A-Za-z]{0,8})")


@frozen(kw_only=True)
class Runs:
    """What the kernel and the root file system of an image run.

    Attributes:
        machine: the machine of the root file system; ``None`` if it has no programs.
        is_64_bit: whether the kernel also runs x86_64 programs.
    """

    machine: Machine | None
    is_64_bit: bool = False


def machine_of_root(*roots: Tree) -> Machine | None:
    """Return the machine of the programs of the first root file system that has some."""
    for root in roots:
        view = View([root])
        for path in _SHOWING:
            node = view.file(path)
            found = None if node is None else read_file(node, path)
            if found is not None:
                return machine_of(found)
    return None


def check_programs(part: OwnedFiles, libraries: LoadableLibraries, runs: Runs) -> Iterator[Finding]:
    """Yield a finding for each program or library that cannot be loaded.

    Args:
        part: the files to check.
        libraries: the libraries that they see.
        runs: what the image runs.
    """
    for path, node in part.files.items():
        if not _may_be_loaded(path, node):
            continue
        try:
            found = open_object(node, path)
        except FormatError as error:
            yield Finding(
                code="PK105",
                owner=part.owner,
                path=path,
                message=f"{shown(path)} is damaged: expected {error.expected}, got {error.got}",
                remedy="use another copy of the file",
            )
            continue
        if found is not None:
            yield from _ObjectCheck(part.owner, path, found, libraries, runs).check()


def _may_be_loaded(path: bytes, node: File) -> bool:
    if not node.metadata.mode & EXECUTABLE and b".so" not in name(path):
        return False
    return not path.endswith(_FOREIGN_SUFFIXES) and not any(
        b"/" + folder in b"/" + path for folder in _FOREIGN_FOLDERS
    )


class _ObjectCheck:
    """Check one program or library."""

    def __init__(
        self,
        owner: FileOwner,
        path: bytes,
        found: ElfObject,
        libraries: LoadableLibraries,
        runs: Runs,
    ) -> None:
        self._owner = owner
        self._path = path
        self._object = found
        self._libraries = libraries
        self._runs = runs

    def check(self) -> Iterator[Finding]:
        """Yield its findings."""
        loader = self._object.interpreter
        has_loader = loader is not None and self._has_loader(loader)
        if self._is_foreign(has_loader=has_loader):
            yield self._foreign()
            return
        if loader is not None and not has_loader:
            yield self._finding(
                "PK104",
                loader,
                f"{shown(self._path)} needs the loader {display(loader)}, which is missing",
                "use a program that is built for Tiny Core, or link the loader to that path",
            )
            return
        if loader is not None and not name(loader).startswith((b"ld-linux", b"ld.so", b"ld64")):
            return  # of another C library, which has rules of its own
        yield from self._check_libraries()

    def _check_libraries(self) -> Iterator[Finding]:
        found: dict[bytes, FoundLibrary] = {}
        for needed in dict.fromkeys(self._object.needed):
            library = self._libraries.find(needed, self._object, self._path)
            if library is not None:
                found[needed] = library
            elif not self._libraries.has_elsewhere(name(needed)):
                yield self._finding(
                    "PK102",
                    needed,
                    f"{shown(self._path)} needs {_text(needed)}, which is missing",
                    "add an extension that has it",
                )
            elif self._object.interpreter is not None:
                yield self._finding(
                    "PK106",
                    needed,
                    f"{shown(self._path)} needs {_text(needed)}, which is in a folder that the "
                    "loader does not search",
                    "if no script sets LD_LIBRARY_PATH, add the folder to /etc/ld.so.conf",
                )
        yield from self._check_versions(found)

    def _check_versions(self, found: dict[bytes, FoundLibrary]) -> Iterator[Finding]:
        # The newest missing version of each family, such as GLIBC, and the library that lacks it.
        newest: dict[bytes, tuple[bytes, FoundLibrary]] = {}
        for needed in self._object.needed_versions:
            library = found.get(needed.library)
            # The loader only warns about a weak version, and about a library without versions.
            if needed.is_weak or library is None or not library.object.versions:
                continue
            if needed.name in library.object.versions:
                continue
            family = _family(needed.name)
            known = newest.get(family)
            if known is None or _order(known[0]) < _order(needed.name):
                newest[family] = needed.name, library
        for family, (version, lacking) in newest.items():
            # The libraries of a glibc are of one release, and libc defines all versions.
            library = found.get(LIBC, lacking) if family == GLIBC else lacking
            available = [each for each in library.object.versions if _family(each) == family]
            has = (
                f"has none newer than {_text(max(available, key=_order))}"
                if available
                else "does not have it"
            )
            yield self._finding(
                "PK103",
                version,
                f"{shown(self._path)} needs {_text(version)}, and {shown(library.path)} {has}",
                "use an extension for this release of Tiny Core, or a newer base"
                if family == GLIBC
                else f"use extensions of one release of Tiny Core, with a newer "
                f"{_text(name(library.path))}",
            )

    def _is_foreign(self, *, has_loader: bool) -> bool:
        """Say whether the kernel or the loader refuses the file because of its machine."""
        own, root = machine_of(self._object), self._runs.machine
        if root is None or own == root:
            return False
        if self._object.interpreter is not None:
            return not (has_loader and self._kernel_runs(own))
        if self._object.is_dynamic:
            # A library elsewhere belongs to a program, which is checked itself.
            return self._libraries.is_searched(self._path) and not self._libraries.has_loader(own)
        return not self._kernel_runs(own)

    def _kernel_runs(self, machine: Machine) -> bool:
        """Say whether the kernel runs programs of another machine than the root's."""
        root = self._runs.machine
        if root == (ElfClass.BITS_64, EM_X86_64) or self._runs.is_64_bit:
            return machine[1] in (EM_386, EM_X86_64)
        return machine == root

    def _has_loader(self, loader: bytes) -> bool:
        found = self._libraries.object_at(loader.lstrip(b"/"))
        return found is not None and machine_of(found) == machine_of(self._object)

    def _foreign(self) -> Finding:
        own, root = machine_of(self._object), self._runs.machine
        machine = machine_name(own)
        image = "another" if root is None else machine_name(root)
        return self._finding(
            "PK101",
            machine.encode(),
            f"{shown(self._path)} is for {machine}, and the image is for {image}",
            f"use one that is built for {image}",
        )

    def _finding(self, code: str, subject: bytes, message: str, remedy: str) -> Finding:
        return Finding(
            code=code,
            owner=self._owner,
            path=self._path,
            message=message,
            remedy=remedy,
            subject=_text(subject),
        )


def _text(value: bytes) -> str:
    """Return a name for a message, without quotes if it is printable."""
    return display(value)[1:-1] if display(value).endswith("'") else display(value)


def _family(version: bytes) -> bytes:
    match = _VERSION.fullmatch(version)
    return version if match is None else match[1]


def _order(version: bytes) -> tuple[tuple[int, ...], bytes]:
    match = _VERSION.fullmatch(version)
    if match is None:
        return (), version
    numbers = tuple(int(part) for part in re.split(rb"[._]", match[2]) if part)
    return numbers, match[3]
