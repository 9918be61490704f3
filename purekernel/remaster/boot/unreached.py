"""Find boot menus that a change does not reach.

Menus of the Syslinux family, of GRUB and of systemd-boot are changed. A base may have menus of
other boot loaders, and menus that are not understood or not in plain files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

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
from purekernel.tree import File, Tree
from purekernel.tree.path import name

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
    unreached = [
        what
        for volume in open_volumes(iso, boot, limits=limits)
        for what in _unreached(volume, parts, limits)
    ]
    places = (*change.changes.given_places, *filter(None, [change.cde_place]))
    what = f"the change to the boot menu{''.join(f' ({place})' for place in places)}"
    return tuple(
        BootLoss(
            refusal=f"{what} would not reach {menu}",
            note=f"the change to the boot menu does not reach {menu}",
        )
        for menu in dict.fromkeys(unreached)
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
    if volume.entry is not None:
        yield from _not_added(volume, volume.tree, parts)
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


def _not_added(volume: Volume, tree: Tree, parts: Part) -> Iterator[str]:
    """Yield what would need more files in an image for UEFI, to which none are added."""
    paths = {path.lower() for path, _node in tree.walk()}
    for menu in volume.menus:
        if menu.path not in tree and parts & (Part.TIMEOUT | Part.DEFAULT):
            yield f"{volume.describe(menu.path)}, which is missing"
        initrds = {plain_menu_path(path) for entry in menu.found for path in entry.initrds}
        if parts & Part.INITRDS and initrds & paths:
            yield f"{volume.describe(menu.path)}, which boots initrds inside that image"


def _needs(menu: bytes, parts: Part) -> bool:
    """Say whether a menu needs a change of any of ``parts``."""
    return any(concerned & parts and words.search(menu) for concerned, words in _NEEDS.items())
