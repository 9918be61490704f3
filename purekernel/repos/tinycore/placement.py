"""Put extensions into an image: those that are loaded at boot, and the image's own mirror."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from purekernel.repos.tinycore.extension import Extension
from purekernel.rootfs.overlay import OverlayTree
from purekernel.tree import Buffer
from purekernel.tree.path import join

BUILTIN = b"tmp/builtin"
OPTIONAL = BUILTIN + b"/optional"
ONBOOT = BUILTIN + b"/onboot.lst"
MIRROR = b"tmp/tinycorelinux"


def add_builtins(
    overlay: OverlayTree, extensions: Iterable[Extension[Buffer]], onboot: Sequence[str]
) -> None:
    """Add the extensions that are loaded at boot.

    Args:
        overlay: the tree to add to.
        extensions: all extensions that must be present, with their dependencies.
        onboot: names of the extensions to load, in order. Core loads the dependencies of each
            first.
    """
    overlay.folder(OPTIONAL)
    for extension in extensions:
        _add_extension(overlay, OPTIONAL, extension)
    overlay.file(ONBOOT, "".join(f"{name}\n" for name in onboot).encode())


def add_mirror(overlay: OverlayTree, folder: str, extensions: Iterable[Extension[Buffer]]) -> None:
    """Add the image's own mirror of extensions.

    Args:
        overlay: the tree to add to.
        folder: path of the extensions in the mirror, such as ``4.x/x86/tcz``.
        extensions: the extensions in the mirror.
    """
    path = join(MIRROR, folder.encode())
    overlay.folder(path)
    for extension in extensions:
        _add_extension(overlay, path, extension)


def _add_extension(overlay: OverlayTree, folder: bytes, extension: Extension[Buffer]) -> None:
    path = join(folder, extension.name.encode())
    overlay.file(path, extension.file)
    for suffix, content in extension.companions.items():
        overlay.file(path + suffix.encode(), content)
