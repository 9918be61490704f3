"""Put extensions into an image: into its core, its own mirror, and folders that Core loads from.

Source: Tiny Core's usr/bin/tce-setup, tce-load and ondemand, of Core 4.4 and of 17.0. tce-setup
loads what /tmp/builtin/onboot.lst lists, then that of the folder tce on a partition, then that of
cde on a disc. tce-load copies an extension into memory if the folder above optional has
copy2fs.flg, or copy2fs.lst with its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from purekernel.formats.tinycore import TCZ, build_md5
from purekernel.records import frozen
from purekernel.repos.tinycore.extension import MD5, Extension
from purekernel.rootfs.overlay import OverlayTree
from purekernel.tree import Buffer
from purekernel.tree.path import join

BUILTIN = b"tmp/builtin"
CDE, TCE = b"cde", b"tce"
OPTIONAL, ONDEMAND = b"optional", b"ondemand"
ONBOOT, COPIED, COPY_ALL = b"onboot.lst", b"copy2fs.lst", b"copy2fs.flg"
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
    folder = join(BUILTIN, OPTIONAL)
    overlay.folder(folder)
    for extension in extensions:
        _add_extension(overlay, folder, extension)
    overlay.file(join(BUILTIN, ONBOOT), build_list(onboot))


@frozen(kw_only=True)
class Loading:
    """How the extensions of a folder are loaded.

    Attributes:
        onboot: names of the extensions to load at boot, in order.
        ondemand: names of those with a script that loads them.
        copied: names of those that loading copies into memory.
        copy_all: whether loading copies all of them.
    """

    onboot: Sequence[str] = ()
    ondemand: Sequence[str] = ()
    copied: Sequence[str] = ()
    copy_all: bool = False


def add_folder(
    overlay: OverlayTree, extensions: Iterable[Extension[Buffer]], loading: Loading
) -> None:
    """Add what Core expects in ``cde`` or ``tce``, to the root of ``overlay``.

    Args:
        overlay: the tree to add to.
        extensions: all extensions that must be present, with their dependencies. An extension
            without ``.md5.txt`` gets one, which Core's tools compare with.
        loading: how they are loaded.
    """
    overlay.folder(OPTIONAL)
    for extension in extensions:
        _add_extension(overlay, OPTIONAL, extension)
        if MD5 not in extension.companions:
            digest = hashlib.md5(extension.file, usedforsecurity=False).hexdigest()
            path = join(OPTIONAL, (extension.name + MD5).encode())
            overlay.file(path, build_md5(digest, extension.name))
    overlay.file(ONBOOT, build_list(loading.onboot))
    if loading.copy_all:
        overlay.file(COPY_ALL, b"")
    if loading.copied:
        overlay.file(COPIED, build_list(loading.copied))
    for name in loading.ondemand:
        program = name.removesuffix(TCZ)
        script = _ON_DEMAND.format(name=name, program=program).encode()
        overlay.file(join(ONDEMAND, program.encode()), script, mode=0o755)


def build_list(names: Iterable[str]) -> bytes:
    """Return a list that Core reads, such as ``onboot.lst``."""
    return "".join(f"{name}\n" for name in names).encode()


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


# Core's own scripts know only the folder tce. This one works in cde too.
_ON_DEMAND = """\
#!/bin/sh
# Load {name} from the folder beside this one, then run its program.
folder=$(dirname "$(readlink -f "$0")")
if [ ! -e /usr/local/tce.installed/{program} ]; then
  tce-load -is "${{folder%/*}}/optional/{name}" || exit 1
fi
for program in /usr/local/bin/{program} /usr/local/sbin/{program}; do
  [ -x "$program" ] && exec "$program" "$@"
done
exit 0
"""


def _add_extension(overlay: OverlayTree, folder: bytes, extension: Extension[Buffer]) -> None:
    path = join(folder, extension.name.encode())
    overlay.file(path, extension.file)
    for suffix, content in extension.companions.items():
        overlay.file(path + suffix.encode(), content)
