"""Tell how a disk image boots: the entry that BIOS boots, and the files that UEFI boots from."""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.formats.fat import parse_fat
from purekernel.formats.iso import IsoBoot
from purekernel.formats.menu import Menu, MenuEntry, read_menu
from purekernel.input import Input, Limits
from purekernel.tree import Tree, display

# How long Core waits for a USB stick, in seconds; it goes on as soon as it finds the file system.
_WAIT_SECONDS = 15

# Words of the user's own with which Core needs no others to find the folder tce.
_TCE, _BASE, _WAIT = b"tce=", b"base", b"waitusb"


def find_bios_entry(iso: Tree, boot: IsoBoot | None) -> MenuEntry | None:
    """Return the default entry of the menu of isolinux; ``None`` if no entry boots Linux.

    Raises:
        BootMenuError: the menu is too large.
    """
    menu = None if boot is None else read_menu(iso, boot.boot_image)
    return None if menu is None or not menu.entries else menu.entries[menu.default_index]


def words_for_tce(words: tuple[bytes, ...], volume_id: int) -> tuple[bytes, ...]:
    """Return the words of a command line with which Core finds ``tce`` on its own disk.

    Without them it takes the first such folder on any disk, and does not wait for USB sticks.

    Source: etc/init.d/tc-config and usr/bin/tce-setup of Core 4.4 and of 17.0.
    """
    if _BASE in words or any(word.startswith(_TCE) for word in words):
        return words
    place = b"UUID=%04X-%04X" % divmod(volume_id, 1 << 16)
    waits = any(word.startswith(_WAIT) for word in words)
    wait = () if waits else (b"%s=%d:%s" % (_WAIT, _WAIT_SECONDS, place),)
    return (*words, *wait, _TCE + place)


def has_efi(boot: IsoBoot | None) -> bool:
    """Return whether UEFI boots an ISO with these settings."""
    return boot is not None and bool(boot.efi_entries)


def efi_trees(iso: Tree, boot: IsoBoot | None, *, limits: Limits) -> Iterator[Tree]:
    """Yield the files of each file system that UEFI boots an ISO from.

    Raises:
        FormatError: one is not FAT, or is damaged.
        LimitError: one exceeds the limits.
    """
    if boot is None:
        return
    for entry in boot.efi_entries:
        yield parse_fat(Input(boot.image_of(entry, iso), name=entry.location, limits=limits))


def disk_notes(menu: Menu | None, *, by_uefi: bool) -> Iterator[str]:
    """Yield a note for each way to boot that the disk has not.

    Args:
        menu: the menu of isolinux, if the ISO has one.
        by_uefi: whether UEFI boots it.
    """
    if not by_uefi:
        yield (
            "the disk image boots by BIOS only: the base has no boot loader for UEFI; [boot.efi] "
            "in a recipe adds one"
        )
    if menu is None or not menu.entries:
        return
    default = menu.entries[menu.default_index]
    others = [entry for entry in menu.entries if _boots(entry) != _boots(default)]
    if others:
        yield (
            f"BIOS boots the entry {display(default.label)} from the disk image, and shows no "
            f"menu; {display(others[0].label)} is left out"
            + (f", and {len(others) - 1} more" if len(others) > 1 else "")
        )


def _boots(entry: MenuEntry) -> tuple[object, ...]:
    return entry.kernel, entry.initrds, entry.words
