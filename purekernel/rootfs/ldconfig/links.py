"""Create the links by which programs find libraries: from the soname to the newest version.

Source: glibc 2.36, ``create_links`` in elf/ldconfig.c.
"""

from __future__ import annotations

from enum import Enum

from purekernel.records import frozen
from purekernel.rootfs.ldconfig.folders import SearchFolder
from purekernel.rootfs.ldconfig.libraries import Library
from purekernel.tree import Metadata, Symlink, Tree, display, look_up
from purekernel.tree.path import NAME_MAX_BYTES, join


class LinkState(Enum):
    """The result for a link, in ldconfig's words."""

    KEPT = ""
    CHANGED = "changed"
    SKIPPED = "SKIPPED"


@frozen
class Linked:
    """A soname and the file that it links to.

    Attributes:
        soname: the name of the link.
        name: the name of the file.
        state: what was done.
        warning: the fault, ``None`` if there is none.
    """

    soname: bytes
    name: bytes
    state: LinkState = LinkState.KEPT
    warning: str | None = None


def link_soname(tree: Tree, folder: SearchFolder, library: Library, *, mtime: int) -> Linked:
    """Link the soname in ``folder`` to ``library``, unless it is linked already.

    Only a link is replaced, never a file. A soname with a path outside the folder gets no link;
    glibc would create it there.

    Args:
        tree: the root file system; it is changed.
        folder: the folder of the link and the library.
        library: a library in the folder.
        mtime: the time of the link, in seconds since 1970, UTC.
    """
    soname = library.soname
    if not _is_name(soname):
        return _skipped(
            library,
            f"{display(folder.path)}: the soname of {display(library.name)} must be a file name, "
            f"got {display(soname)}",
        )
    link_path = join(folder.place, soname)
    target = look_up(tree, join(folder.place, library.name))
    if target is None:
        return _skipped(
            library, f"{display(library.name)} in {display(folder.path)}: broken symbolic link"
        )
    linked_file = look_up(tree, link_path)
    if linked_file is not None and linked_file.inode == target.inode:
        return Linked(soname, library.name)
    old_node = tree.get(link_path)
    if old_node is not None and not isinstance(old_node, Symlink):
        path = folder.path + b"/" + soname
        return Linked(
            soname,
            library.name,
            warning=f"{display(path)}: kept: not a symbolic link",
        )
    if old_node is not None:
        tree.remove(link_path)
    tree.add(link_path, Symlink(metadata=Metadata(mode=0o777, mtime=mtime), target=library.name))
    return Linked(soname, library.name, LinkState.CHANGED)


def _skipped(library: Library, warning: str) -> Linked:
    return Linked(library.soname, library.name, LinkState.SKIPPED, warning)


def _is_name(soname: bytes) -> bool:
    return soname not in (b"", b".", b"..") and b"/" not in soname and len(soname) <= NAME_MAX_BYTES
