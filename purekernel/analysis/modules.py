"""Check whether kernel modules are for the image's kernel."""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.analysis.findings import FileOwner, Finding, shown
from purekernel.analysis.system import OwnedFiles
from purekernel.errors import PurekernelError
from purekernel.formats.compression import unpack
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.kernel_module import LIMITS
from purekernel.input import Input
from purekernel.rootfs.modules import LOCAL_MODULES, MODULES
from purekernel.tree import File, display
from purekernel.tree.path import join

_FOLDERS = (MODULES, b"usr/" + MODULES, LOCAL_MODULES)
SUFFIXES = (b".ko", b".ko.gz", b".ko.xz", b".ko.zst")
_VERMAGIC = b"\0vermagic="
_MOST_MAGIC_BYTES = 256


def check_modules(part: OwnedFiles, release: str | None) -> Iterator[Finding]:
    """Yield a finding for each folder of modules that are for another kernel.

    Of the modules in the kernel's own folder, the first of each part is read, which shows for
    which kernel it was built: the modules of an extension are built together.

    Args:
        part: the files to check.
        release: the release of the image's kernel; nothing is found if it is unknown.
    """
    if release is None:
        return
    folders: dict[bytes, list[bytes]] = {}
    for path in part.files:
        if path.endswith(SUFFIXES):
            folder = release_folder(path)
            if folder is not None:
                folders.setdefault(folder, []).append(path)
    for folder, paths in folders.items():
        found = folder.rpartition(b"/")[2].decode("utf-8", "backslashreplace")
        if found != release:
            count = "1 module" if len(paths) == 1 else f"{len(paths)} modules"
            yield Finding(
                code="PK201",
                owner=part.owner,
                path=folder,
                message=f"{shown(folder)} has {count} for kernel {found}, and the image's kernel "
                f"is {release}",
                remedy="use modules that are built for the image's kernel",
                subject=found,
            )
        else:
            yield from _check_built(part.owner, paths[0], part.files[paths[0]], release)


def _check_built(owner: FileOwner, path: bytes, node: File, release: str) -> Iterator[Finding]:
    built = _built_for(path, node)
    if built is not None and built != release:
        yield Finding(
            code="PK202",
            owner=owner,
            path=path,
            message=f"{shown(path)} was built for kernel {built}, and the image's kernel is "
            f"{release}",
            remedy="use modules that are built for the image's kernel",
            subject=built,
        )


def release_folder(path: bytes) -> bytes | None:
    """Return the folder of a release that a module is in; ``None`` if it is elsewhere."""
    for folder in _FOLDERS:
        if path.startswith(folder + b"/"):
            release, slash, _rest = path[len(folder) + 1 :].partition(b"/")
            return join(folder, release) if slash else None
    return None


def read_module(path: bytes, node: File) -> bytes | None:
    """Return the content of a kernel module, unpacked; ``None`` if it cannot be read."""
    try:
        file = Input(node.content, name=display(path), limits=LIMITS)
        if detect(file.data) in (FileKind.GZIP, FileKind.XZ, FileKind.ZSTD):
            file = file.unpacked(unpack(file))
    except PurekernelError:
        return None
    return bytes(file.data)


def _built_for(path: bytes, node: File) -> str | None:
    """Return the kernel release in a module's vermagic; ``None`` if it cannot be read."""
    content = read_module(path, node)
    start = -1 if content is None else content.find(_VERMAGIC)
    if content is None or start < 0:
        return None
    start += len(_VERMAGIC)
    magic = content[start : start + _MOST_MAGIC_BYTES].partition(b"\0")[0]
    return magic.partition(b" ")[0].decode("utf-8", "backslashreplace") or None
