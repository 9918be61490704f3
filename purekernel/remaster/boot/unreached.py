"""Find boot menus that a change does not reach.

A build changes the menu of isolinux. A base may have more menus, which other loaders or other
firmware read: on the ISO, or inside the file system that UEFI boots from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import evolve

from purekernel.errors import PurekernelError
from purekernel.formats.boot_losses import BootLoss
from purekernel.formats.booted import find_boot_menu
from purekernel.formats.fat import parse_fat
from purekernel.formats.iso import EFI, BootEntry, IsoBoot
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.recipe.boot import BootChanges
from purekernel.tree import Buffer, File, Tree, display
from purekernel.tree.path import name, parent

# Names of boot menus: GRUB, GRUB legacy, the syslinux family,
# systemd-boot, rEFInd and Limine.
_MENU_NAMES = (
    *(b"grub.cfg", b"grub.conf", b"menu.lst"),
    *(b"isolinux.cfg", b"syslinux.cfg", b"extlinux.conf"),
    *(b"loader.conf", b"refind.conf", b"limine.conf", b"limine.cfg"),
)
_ENTRIES_FOLDER = b"loader/entries"

# Only this much of a menu is read. Real menus have some kilobytes.
_MENU_BYTES = 1 << 18

# Not "^\\s*", which at each of many blank lines would match all that follow.
_BOOTS_LINUX = re.compile(
    rb"^[ \t]*(linux|linux16|linuxefi|kernel|append|options|cmdline|loader)\b",
    re.IGNORECASE | re.MULTILINE,
)
_HAS_ENTRIES = re.compile(
    rb"^[ \t]*(menuentry|label|timeout|set\s+timeout)\b", re.IGNORECASE | re.MULTILINE
)
_HAS_DEFAULT = re.compile(
    rb"^[ \t]*(menuentry|label|default|set\s+default|ontimeout)\b", re.IGNORECASE | re.MULTILINE
)
_INCLUDE = re.compile(
    rb"^[ \t]*(?:menu\s+)?(?:include|config)\s+(\S+)", re.IGNORECASE | re.MULTILINE
)

# The word for which Core loads extensions from a disc.
_CDE = re.compile(rb"(?<!\S)cde(?!\S)")

Needs = Callable[[bytes], bool]
"""Says whether a menu with this content needs a change."""


def find_unreached_menus(
    iso: Tree,
    boot: IsoBoot,
    changes: BootChanges,
    *,
    new_initrds: bool = False,
    cde_place: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[BootLoss, ...]:
    """Return the menus that ``changes`` concern but do not reach.

    Args:
        iso: the tree of the output ISO.
        boot: how it boots. The menu of its isolinux is changed; file systems for UEFI may hold
            others.
        changes: the changes that the user asks for.
        new_initrds: whether the menus must name other initrds, too.
        cde_place: where extensions on the disc are given, for which entries need the word ``cde``;
            ``None`` without any.
        limits: limits on parsed input.
    """
    if changes == BootChanges() and not new_initrds and cde_place is None:
        return ()
    if new_initrds:
        # Every menu that boots Linux must change, as for more words on its command line.
        changes = evolve(changes, append=changes.append or "initrd=")

    def needs(menu: bytes) -> bool:
        lacks_cde = cde_place is not None and _BOOTS_LINUX.search(menu) and not _CDE.search(menu)
        return bool(lacks_cde) or _needs(changes, menu)

    changed = find_boot_menu(iso, boot.boot_image)
    unreached = [
        display(path)
        for path, content in _menus(iso)
        if (changed is None or path != changed[0]) and needs(content)
    ]
    if changed is not None:
        unreached += _included(iso, *changed, needs)
    for entry in boot.entries:
        if entry.platform == EFI:
            unreached += _inside_efi(entry, boot.image_of(entry, iso), needs, limits)
    places = (*changes.given_places, *filter(None, [cde_place]))
    change = f"the change to the boot menu{''.join(f' ({place})' for place in places)}"
    return tuple(
        BootLoss(
            refusal=f"{change} would not reach {menu}",
            note=f"the change to the boot menu does not reach {menu}",
        )
        for menu in dict.fromkeys(unreached)
    )


def _menus(tree: Tree) -> Iterator[tuple[bytes, bytes]]:
    """Yield path and content of each menu in a tree."""
    for path, node in tree.walk():
        if not isinstance(node, File):
            continue
        lower = path.lower()
        is_entry = lower.endswith(b".conf") and parent(lower).endswith(_ENTRIES_FOLDER)
        if is_entry or name(lower) in _MENU_NAMES:
            yield path, bytes(node.content[:_MENU_BYTES])


def _needs(changes: BootChanges, menu: bytes) -> bool:
    """Say whether a menu needs any of ``changes``."""
    return bool(
        ((changes.append or changes.serial) and _BOOTS_LINUX.search(menu))
        or (changes.timeout is not None and _HAS_ENTRIES.search(menu))
        or (changes.default is not None and _HAS_DEFAULT.search(menu))
    )


def _included(iso: Tree, path: bytes, node: File, needs: Needs) -> Iterator[str]:
    """Yield the menus on the ISO that the menu at ``path`` includes and that need changes."""
    for target in _INCLUDE.findall(bytes(node.content[:_MENU_BYTES])):
        for candidate in (parent(path) + b"/" + target.lstrip(b"/"), target.lstrip(b"/")):
            included = iso.get(candidate.lstrip(b"/"))
            if isinstance(included, File):
                if needs(bytes(included.content[:_MENU_BYTES])):
                    yield f"{display(candidate.lstrip(b'/'))}, which {display(path)} includes"
                break


def _inside_efi(entry: BootEntry, image: Buffer, needs: Needs, limits: Limits) -> Iterator[str]:
    try:
        # The unpacked files are not kept.
        file = Input(image, name=entry.location, limits=limits.unbudgeted())
        tree = parse_fat(file)
    except PurekernelError:
        yield f"a menu inside {entry.location}, if it has one: it is not a readable FAT file system"
        return
    for path, content in _menus(tree):
        if needs(content):
            yield f"{display(path)} inside {entry.location}"
