"""Check whether the boot waits for compressed swap (zram) that the kernel does not have.

Tiny Core's start script waits for ``/dev/zram0`` without a limit, unless the kernel line says
``nozswap``. Its own kernels have the driver built in, or the script loads it.

Source: etc/init.d/tc-config of Tiny Core 4.4 to 17.0; drivers/block/zram/zram_drv.c of Linux, whose
parameter ``num_devices`` has the prefix ``zram.`` only if the driver is built in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from purekernel.analysis.findings import BUILD, Finding, shown
from purekernel.analysis.system import Subject
from purekernel.formats.bzimage import unpack_kernel
from purekernel.input import Input
from purekernel.rootfs.modules import LOCAL_MODULES, MODULES
from purekernel.tree import Directory, File, Tree, look_up
from purekernel.tree.path import join

START_SCRIPT = b"etc/init.d/tc-config"
_WAITS = re.compile(rb"^[ \t]*while[^\n#]{0,80}/dev/zram0", re.MULTILINE)

# Scripts that run before the wait. One that names the module, not only its device, loads it.
_EARLY = (START_SCRIPT, b"init", b"etc/init.d/rcS", b"etc/init.d/tc-functions")
_LOADS = re.compile(rb"(?m)^[^#\n]{0,400}?\bzram\b")

# The lines of boot menus that have the kernel's parameters.
_KERNEL_LINE = re.compile(rb"(?im)^[ \t]*(?:append|linux\w{0,8}|options)\b([^\n]*)")
_MENUS = (b".cfg", b".conf")
_MENU_FOLDERS = (b"boot", b"EFI", b"isolinux", b"loader")
_MOST_MENU_BYTES = 1 << 20

# The word of the kernel line with which the start script does not wait.
NO_SWAP = "nozswap"

_PARAMETER = b"zram.num_devices\0"
_NAME = b"zram"


def check_zram(subject: Subject, release: str | None) -> Iterator[Finding]:
    """Yield a finding if the boot waits for ever, or if that cannot be told.

    Args:
        subject: the image.
        release: the release of its kernel.
    """
    script = look_up(subject.root, START_SCRIPT)
    if script is None or not isinstance(script.node, File) or subject.kernel is None:
        return
    text = bytes(script.node.content)
    if _WAITS.search(text) is None or NO_SWAP in subject.words or _has_word(subject.disc):
        return
    if _has_module(subject.root, release) and _loads_module(subject.root):
        return
    built_in = has_zram(subject.kernel, subject.root, release)
    if built_in:
        return
    waits = f"{shown(START_SCRIPT)} waits for /dev/zram0"
    name = release or "of unknown release"
    yield Finding(
        code="PK402" if built_in is None else "PK401",
        owner=BUILD,
        path=START_SCRIPT,
        message=f"{waits}, and it is unknown whether the kernel {name} has zram built in"
        if built_in is None
        else f"{waits} for ever, because the kernel {name} has no built-in zram",
        remedy="add nozswap to the kernel line (append under [boot], or --boot-append), or use a "
        "kernel with zram built in",
        subject="zram",
    )


def has_zram(kernel: Input, root: Tree, release: str | None) -> bool | None:
    """Return whether zram is built into a kernel; ``None`` if that cannot be told.

    Args:
        kernel: a bzImage.
        root: a root file system, which may list the kernel's drivers.
        release: the release of the kernel.
    """
    if release is not None:
        listed = look_up(root, join(join(MODULES, release.encode()), b"modules.builtin"))
        if listed is not None and isinstance(listed.node, File):
            return b"/zram.ko" in bytes(listed.node.content)
        if _has_module(root, release):
            return False
    unpacked = unpack_kernel(kernel)
    if unpacked is None:
        return None
    content = bytes(unpacked)
    if _PARAMETER in content:
        return True
    return None if _NAME in content else False


def _has_module(root: Tree, release: str | None) -> bool:
    """Say whether the root file system has zram as a module."""
    if release is None:
        return False
    for above in (MODULES, LOCAL_MODULES):
        found = look_up(root, join(above, release.encode()))
        if found is not None and isinstance(found.node, Directory):
            for path, _node in root.walk(found.path):
                if path.rpartition(b"/")[2].startswith(b"zram.ko"):
                    return True
    return False


def _loads_module(root: Tree) -> bool:
    """Say whether a script that runs before the wait loads zram."""
    found = (look_up(root, path) for path in _EARLY)
    return any(
        _LOADS.search(each.node.content) is not None
        for each in found
        if each is not None and isinstance(each.node, File)
    )


def _has_word(disc: Tree) -> bool:
    """Say whether a boot menu of the disc gives the kernel the word that ends the wait."""
    for path, node in disc.walk():
        if (
            isinstance(node, File)
            and path.endswith(_MENUS)
            and path.partition(b"/")[0] in _MENU_FOLDERS
            and node.size_bytes <= _MOST_MENU_BYTES
            and any(
                NO_SWAP.encode() in match[1].split()
                for match in _KERNEL_LINE.finditer(node.content)
            )
        ):
            return True
    return False
