"""The links by which programs find libraries: from the soname to the newest version.

Source: glibc 2.36, ``create_links`` in elf/ldconfig.c.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from purekernel.rootfs.ldconfig.folders import SearchFolder
from purekernel.rootfs.ldconfig.libraries import Library
from purekernel.tree import Metadata, Symlink, Tree, display, look_up
from purekernel.tree.path import NAME_MAX_BYTES, join


class LinkState(Enum):
    """What became of a link, under ldconfig's names."""

    KEPT = ""
    CHANGED = "changed"
    SKIPPED = "SKIPPED"


@frozen
class Linked:
    """A soname, and the file that it stands for.

    Attributes:
        warning: what was wrong, ``None`` if nothing was.
    """

    soname: bytes
    name: bytes
    state: LinkState = LinkState.KEPT
    warning: str | None = None


def link_soname(tree: Tree, folder: SearchFolder, library: Library, *, mtime: int) -> Linked:
    """Make the soname in ``folder`` a link to ``library`` in ``tree``, if it is none yet.

    Only a link is replaced, never a file. A soname that leads out of the folder gets no link:
    glibc would make it, wherever that is.

    Args:
        tree: is changed.
        folder: where both are.
        library: of the folder.
        mtime: of the link, in seconds since 1970, UTC.
    """
    soname = library.soname
    if not _is_name(soname):
        return _skipped(
            library,
            f"{display(folder.path)}: no link can be named {display(soname)}, the soname of "
            + display(library.name),
        )
    place = join(folder.place, soname)
    target = look_up(tree, join(folder.place, library.name))
    if target is None:
        return _skipped(
            library, f"{display(library.name)} in {display(folder.path)} leads nowhere any more"
        )
    there = look_up(tree, place)
    if there is not None and there.inode == target.inode:
        return Linked(soname, library.name)
    standing = tree.get(place)
    if standing is not None and not isinstance(standing, Symlink):
        path = folder.path + b"/" + soname
        return Linked(
            soname,
            library.name,
            warning=f"{display(path)} is not a symbolic link, and stays",
        )
    if standing is not None:
        tree.remove(place)
    tree.add(place, Symlink(metadata=Metadata(mode=0o777, mtime=mtime), target=library.name))
    return Linked(soname, library.name, LinkState.CHANGED)


def _skipped(library: Library, warning: str) -> Linked:
    return Linked(library.soname, library.name, LinkState.SKIPPED, warning)


def _is_name(soname: bytes) -> bool:
    return soname not in (b"", b".", b"..") and b"/" not in soname and len(soname) <= NAME_MAX_BYTES
