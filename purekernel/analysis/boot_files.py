"""Check whether the root file system has what the kernel needs to start it.

Source: kernel_init() and console_on_rootfs() in init/main.c of Linux, and its
Documentation/filesystems/ramfs-rootfs-initramfs.rst; etc/devices.txt: 5:1 is /dev/console.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from purekernel.analysis.findings import BUILD, IMAGE, Finding, shown
from purekernel.analysis.system import Subject, View
from purekernel.rootfs.extensions import EXECUTABLE
from purekernel.tree import Device, DeviceKind, Tree
from purekernel.tree.path import ROOT

CONSOLE = b"dev/console"
_CONSOLE_NUMBERS = (5, 1)

# What the kernel starts instead: another program, or the system on a disk.
_OTHER_PROGRAM, _OTHER_ROOT = "rdinit=", "root="
_MEMORY = "/dev/ram"


def check_boot_files(subject: Subject) -> Iterator[Finding]:
    """Yield a finding if ``/init`` is missing or cannot run, and if ``/dev/console`` is missing.

    Nothing that the base lacks too is reported.

    Args:
        subject: the image; one without a root file system has no finding.
    """
    root, stock = subject.root, subject.stock_root
    if _is_empty(root):
        return
    owner = IMAGE if _is_empty(stock) else BUILD
    program = _first_program(subject.words)
    wrong = None if program is None else _find_fault(root, program)
    if program is not None and wrong is not None and not _has_fault(stock, program):
        yield Finding(
            code="PK602",
            owner=owner,
            path=program,
            message=f"{shown(program)}, the first program that the kernel starts, {wrong}",
            remedy="add the program, or name another one by rdinit= in the kernel line",
        )
    if not _has_console(root) and (_is_empty(stock) or _has_console(stock)):
        yield Finding(
            code="PK603",
            owner=owner,
            path=CONSOLE,
            message=f"{shown(CONSOLE)} is not the character device 5:1, so the first program has "
            "no console unless the kernel brings one",
            remedy="add the device, such as by a manifest or a tar archive",
        )


def _first_program(words: Sequence[str]) -> bytes | None:
    """Return the path of the program that the kernel starts; ``None`` if it is on a disk."""
    program = b"init"
    for word in words:
        if word.startswith(_OTHER_PROGRAM):
            program = word.removeprefix(_OTHER_PROGRAM).encode("utf-8", "surrogateescape")
        elif word.startswith(_OTHER_ROOT) and not word.startswith(_OTHER_ROOT + _MEMORY):
            return None
    return program.lstrip(b"/")


def _is_empty(tree: Tree) -> bool:
    return not tree.entries(ROOT)


def _has_fault(stock: Tree, program: bytes) -> bool:
    return not _is_empty(stock) and _find_fault(stock, program) is not None


def _find_fault(root: Tree, program: bytes) -> str | None:
    """Return why the kernel cannot start a program, for messages; ``None`` if it can."""
    node = View([root]).file(program)
    if node is None:
        return "is missing"
    if not node.metadata.mode & EXECUTABLE:
        return f"cannot be run (mode {node.metadata.mode:04o})"
    return None


def _has_console(root: Tree) -> bool:
    found = View([root]).find(CONSOLE)
    return (
        found is not None
        and isinstance(found[1], Device)
        and found[1].kind is DeviceKind.CHARACTER
        and (found[1].major, found[1].minor) == _CONSOLE_NUMBERS
    )
