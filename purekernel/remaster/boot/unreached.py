"""Find boot menus that a change does not reach.

Menus of the Syslinux family, of GRUB and of systemd-boot are changed. A base may have menus of
other boot loaders, and menus that are not understood or not in plain files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from purekernel.errors import PurekernelError
from purekernel.formats.boot_losses import BootLoss
from purekernel.formats.boot_menus import plain_menu_path
from purekernel.formats.booted import MAX_MENU_BYTES
from purekernel.formats.efi_loader import LoaderKind, find_scripts, parse_loader
from purekernel.formats.grub import GrubFile, parse_grub_config
from purekernel.formats.iso import IsoBoot
from purekernel.formats.menu_edit import Part
from purekernel.formats.menu_finder import KNOWN_NAMES, is_loader_entry
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.remaster.boot.menu import MenuChange
from purekernel.remaster.boot.volumes import Volume, open_volumes
from purekernel.tree import Buffer, File, Tree, display
from purekernel.tree.path import join, name, parent

# Menus of GRUB legacy and GRUB4DOS, rEFInd and Limine.
_OTHER_NAMES = (b"grub.conf", b"menu.lst", b"refind.conf", b"limine.conf", b"limine.cfg")

_LINUX_PARTS = Part.LINUX | Part.INITRDS

# Only this much of them is read. Real menus have some kilobytes.
_MENU_BYTES = 1 << 18

# Not "^\\s*", which at each of many blank lines would match all that follow.
_NEEDS = {
    _LINUX_PARTS: re.compile(
        rb"^[ \t]*(linux|kernel|initrd|append|options|cmdline|kernel_cmdline|loader)\b",
        re.IGNORECASE | re.MULTILINE,
    ),
    Part.TIMEOUT: re.compile(
        rb"^[ \t]*(menuentry|title|label|timeout)\b", re.IGNORECASE | re.MULTILINE
    ),
    Part.DEFAULT: re.compile(
        rb"^[ \t]*(menuentry|title|label|default|default_selection|default_entry)\b",
        re.IGNORECASE | re.MULTILINE,
    ),
}


def find_unreached_menus(
    iso: Tree, boot: IsoBoot, change: MenuChange, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[BootLoss, ...]:
    """Return the menus that a change concerns but does not reach.

    Args:
        iso: the tree of the output ISO.
        boot: how it boots.
        change: the change.
        limits: limits on parsed input.
    """
    parts = change.parts
    volumes = open_volumes(iso, boot, limits=limits)
    unreached = [what for volume in volumes for what in _unreached(volume, parts, limits)]
    places = (*change.changes.given_places, *filter(None, [change.cde_place]))
    others = [
        what
        for volume in volumes
        if volume.entry is not None and volume.tree is not None
        for what in _other_systems(volume, volume.tree, change.initrds)
    ]
    what = f"the change to the boot menu{''.join(f' ({place})' for place in places)}"
    return (
        *(
            BootLoss(
                refusal=f"{what} would not reach {menu}",
                note=f"the change to the boot menu does not reach {menu}",
            )
            for menu in dict.fromkeys(unreached)
        ),
        *(
            BootLoss(
                refusal=f"the new system would not reach {menu}",
                note=f"the new system does not reach {menu}",
            )
            for menu in others
        ),
    )


def _unreached(volume: Volume, parts: Part, limits: Limits) -> Iterator[str]:
    if volume.tree is None:
        if parts:
            yield (
                f"a menu inside {volume.name}, if it has one: it is not a readable FAT file system"
            )
        return
    for menu in volume.menus:
        for path, unclear in menu.unclear:
            if unclear.concerns & parts:
                yield f"{volume.describe(path)}, line {unclear.line}: {unclear.reason}"
    for path, node in volume.tree.walk():
        if isinstance(node, File):
            base, is_entry = name(path).lower(), is_loader_entry(path)
            for what in _inside_file(base, is_entry, node, parts, limits):
                yield what.replace("{}", volume.describe(path))


def _inside_file(
    base: bytes, is_entry: bool, node: File, parts: Part, limits: Limits
) -> Iterator[str]:
    """Yield what is not reached in a file, with "{}" for the file.

    Args:
        base: the name of the file, in lower case.
        is_entry: whether it is an entry of systemd-boot.
        node: the file.
        parts: what must change.
        limits: limits on parsed input.
    """
    if base.endswith(b".efi"):
        yield from _inside_loader(node, parts, limits)
    elif base in _OTHER_NAMES:
        if _needs(bytes(node.content[:_MENU_BYTES]), parts):
            yield "{}"
    elif (base in KNOWN_NAMES or is_entry) and node.size_bytes > MAX_MENU_BYTES and parts:
        yield f"{{}}, which is larger than {MAX_MENU_BYTES} bytes"


def _inside_loader(node: File, parts: Part, limits: Limits) -> Iterator[str]:
    """Yield what a program for UEFI has in itself, where nothing is changed: it may be signed."""
    try:
        # The unpacked files are not kept.
        loader = parse_loader(Input(node.content, name="loader", limits=limits.unbudgeted()))
    except PurekernelError:
        return  # firmware does not start it either
    if loader.kind is LoaderKind.UNIFIED:
        if loader.image.section(b".initrd"):
            yield "the initrd inside {}"
        if parts & Part.LINUX:
            yield "the command line inside {}"
    scripts = map(parse_grub_config, find_scripts(loader))
    if any(_concerns(script, parts) for script in scripts):
        yield "a menu of GRUB inside {}"


def _concerns(script: GrubFile, parts: Part) -> bool:
    """Return whether a script would need a change of any of ``parts``."""
    boots = any(entry.kernel is not None for entry in script.found)
    return bool(
        (boots and parts & _LINUX_PARTS)
        or (script.entries and parts & (Part.TIMEOUT | Part.DEFAULT))
        or any(each.concerns & parts & _LINUX_PARTS for each in script.unclear if script.entries)
    )


def _other_systems(volume: Volume, tree: Tree, initrds: Sequence[Buffer]) -> Iterator[str]:
    """Yield the menus inside an image for UEFI that boot other initrds inside it, and no others."""
    paths = {path.lower(): path for path, node in tree.walk() if isinstance(node, File)}
    copies = {path for content in initrds for path in volume.find_copies(content)}
    for menu in volume.menus:
        named = {
            join(parent(menu.path).lower(), plain) if plain not in paths else plain
            for entry in menu.found
            for plain in map(plain_menu_path, entry.initrds)
        }
        inside = [paths[each] for each in sorted(named) if each in paths]
        if inside and len(inside) == len(named) and copies.isdisjoint(inside):
            yield (
                f"{volume.describe(menu.path)}, which boots {display(inside[0])} inside that "
                "image, and not the base's initrds"
            )


def _needs(menu: bytes, parts: Part) -> bool:
    """Say whether a menu needs a change of any of ``parts``."""
    return any(concerned & parts and words.search(menu) for concerned, words in _NEEDS.items())
