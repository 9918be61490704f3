"""Check whether the files that boot menus name are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from purekernel.analysis.contents import Contents, Part, PartMenu
from purekernel.analysis.findings import FileOwner, Finding, shown
from purekernel.errors import PurekernelError
from purekernel.formats.address import SEPARATOR
from purekernel.formats.boot_menus import SyslinuxMenu
from purekernel.formats.booted import find_boot_menu
from purekernel.formats.iso import IsoBoot
from purekernel.formats.menu_finder import find_menus
from purekernel.tree import Tree, display
from purekernel.tree.path import name

# Places that are not in the image: other disks and the network.
_ELSEWHERE = re.compile(rb"\((?!cd|\$)|[a-z]+://|[^/]*::")

_PROGRAM_KEYWORDS = (b"ui", b"kernel", b"linux", b"com32", b"boot", b"bss", b"fdimage")

OwnerOf = Callable[[bytes], FileOwner]


def check_menus(contents: Contents, owner_of: OwnerOf) -> Iterator[Finding]:
    """Yield a finding for each file that a boot menu of an image names and that is missing.

    A file counts as present if any file system of the image that has a menu has it: GRUB in an
    image for UEFI looks for its files on the disc.

    Args:
        contents: the image.
        owner_of: returns whose a file is, given its path on the disc.
    """
    yield from _check(contents.menus, owner_of)


def check_disc_menus(
    disc: Tree, stock: Tree, boot: IsoBoot | None, owner_of: OwnerOf
) -> Iterator[Finding]:
    """Yield the findings of the menus on a disc that is not written yet, but not the base's own.

    Args:
        disc: the files of the disc.
        stock: the files of the base's disc.
        boot: how the disc boots.
        owner_of: returns whose a file of the disc is.
    """
    old = {(each.path, each.subject) for each in _check(_menus_of(stock, boot), owner_of)}
    for finding in _check(_menus_of(disc, boot), owner_of):
        if (finding.path, finding.subject) not in old:
            yield finding


def _menus_of(disc: Tree, boot: IsoBoot | None) -> list[PartMenu]:
    first = None
    if boot is not None and boot.is_bootable:
        found = find_boot_menu(disc, boot.boot_image)
        first = None if found is None else found[0]
    part = Part(place="", tree=disc)
    try:
        return [PartMenu(part=part, menu=menu) for menu in find_menus(disc, first)]
    except PurekernelError:  # the change of the menus reports it
        return []


def _check(menus: Sequence[PartMenu], owner_of: OwnerOf) -> Iterator[Finding]:
    parts = {menu.part.place: menu.part for menu in menus}
    names = {
        name(path).lower() for part in parts.values() for path, _node in part.tree.walk() if path
    }
    for menu in menus:
        seen: set[bytes] = set()
        everywhere = [PartMenu(part=part, menu=menu.menu) for part in parts.values()]
        missing = [
            (title, named)
            for title, named in _booted_files(menu)
            if _ELSEWHERE.match(named) is None
            and all(each.find(named) is None for each in everywhere)
        ]
        # Syslinux searches programs in several folders.
        missing += [
            (title, named)
            for title, named in _programs(menu)
            if _ELSEWHERE.match(named) is None and name(named).lower() not in names
        ]
        place = menu.part.place
        path = f"{place}{SEPARATOR}".encode() + menu.menu.path if place else menu.menu.path
        for title, named in missing:
            if named not in seen:
                seen.add(named)
                yield Finding(
                    code="PK601",
                    owner=owner_of(menu.menu.path if not place else place.encode()),
                    path=path,
                    message=f"{shown(path)} names {display(named)} for {display(title)}, which is "
                    "missing",
                    remedy="correct the name, or add the file",
                    subject=display(named)[1:-1],
                )


def _booted_files(menu: PartMenu) -> Iterator[tuple[bytes, bytes]]:
    """Yield the title of each entry with each kernel and initrd that it names."""
    for entry in menu.menu.found:
        for named in (entry.kernel, *entry.initrds):
            if named:
                yield entry.title, named


def _programs(menu: PartMenu) -> Iterator[tuple[bytes, bytes]]:
    """Yield the title of each entry of a menu of Syslinux with another program that it names."""
    if not isinstance(menu.menu, SyslinuxMenu):
        return
    lines = menu.menu.menu
    kernels = {entry.kernel for entry in menu.menu.found}
    for label in (None, *lines.labels):
        title = b"the menu" if label is None else lines.option(b"menu label", label) or label
        for keyword in _PROGRAM_KEYWORDS:
            named = (lines.option(keyword, label) or b"").split(b" ")[0]
            if named and named not in kernels:
                yield title, named
