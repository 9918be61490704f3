"""Detect the architecture of a tree."""

from __future__ import annotations

from collections import Counter

from purekernel.errors import FormatError
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.elf import ElfClass, ElfHeader, parse_elf_header
from purekernel.formats.elf.layout import (
    EM_386,
    EM_AARCH64,
    EM_ARM,
    EM_PPC64,
    EM_RISCV,
    EM_S390,
    EM_X86_64,
)
from purekernel.input import Input
from purekernel.rootfs.ldconfig.architecture import ARCHITECTURES, Architecture
from purekernel.rootfs.ldconfig.kinds import ARM_FLOAT_HARD
from purekernel.tree import Directory, File, Tree, look_up
from purekernel.tree.path import join

_MACHINES = {
    EM_386: "i386",
    EM_AARCH64: "aarch64",
    EM_PPC64: "ppc64le",
    EM_RISCV: "riscv64",
    EM_S390: "s390x",
}

_FOLDERS = (
    b"lib",
    b"lib64",
    b"usr/lib",
    b"usr/lib64",
    b"usr/local/lib",
    *(
        above + architecture.multiarch
        for architecture in ARCHITECTURES.values()
        for above in (b"lib/", b"usr/lib/")
    ),
)

# The architecture of Tiny Core, which most trees are.
DEFAULT = "i386"


def detect_architecture(tree: Tree) -> Architecture:
    """Return the architecture of the loader in ``tree``, else of most libraries.

    If there are two loaders, the 64-bit one counts. A tree without libraries counts as i386.
    """
    for architecture in ARCHITECTURES.values():
        if any(_header(tree, loader) for loader in architecture.loaders):
            return architecture
    counts: Counter[str] = Counter()
    for folder in _FOLDERS:
        found = look_up(tree, folder)
        if found is None or not isinstance(found.node, Directory):
            continue
        for entry in tree.entries(found.path):
            header = _header(tree, join(found.path, entry)) if b".so" in entry else None
            name = _name(header) if header is not None else None
            if name is not None:
                counts[name] += 1
    return ARCHITECTURES[counts.most_common(1)[0][0] if counts else DEFAULT]


def _header(tree: Tree, path: bytes) -> ElfHeader | None:
    found = look_up(tree, path)
    if found is None or not isinstance(found.node, File):
        return None
    try:
        content = found.node.content
        return (
            parse_elf_header(Input(content, name="")) if detect(content) is FileKind.ELF else None
        )
    except FormatError:
        return None


def _name(header: ElfHeader) -> str | None:
    if header.machine == EM_X86_64:
        return "x86_64" if header.elf_class is ElfClass.BITS_64 else "x32"
    if header.machine == EM_ARM:
        return "armhf" if header.flags & ARM_FLOAT_HARD else "arm"
    return _MACHINES.get(header.machine)
