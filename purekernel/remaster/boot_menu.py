"""Change the boot menu of an image as the user asks."""

from __future__ import annotations

from attrs import evolve

from purekernel.errors import BootMenuError, UsageError
from purekernel.formats.syslinux import (
    BootMenu,
    build_boot_menu,
    extend_append,
    parse_boot_menu,
    set_default,
    set_option,
)
from purekernel.recipe.model import BootChanges
from purekernel.tree import File, Tree, display
from purekernel.tree.path import join, parent

# Core waits half a minute at its boot prompt; a Microkernel ten seconds. (Source:
# build_initial_directories.sh.)
CORE_TIMEOUT = 300
MICROKERNEL_TIMEOUT = 100


# Real ones have some hundreds; isolinux itself has less than 64 KiB for all it reads.
MAX_MENU_BYTES = 1 << 18

# Where isolinux looks, besides the folder of its own binary.
_PLACES = (b"boot/isolinux", b"isolinux", b"")
_NAME = b"isolinux.cfg"


def find_boot_menu(iso: Tree, boot_image: bytes) -> tuple[bytes, File] | None:
    """Return the menu that the isolinux at ``boot_image`` reads, and where, if there is one."""
    for folder in (parent(boot_image), *_PLACES):
        path = join(folder, _NAME)
        node = iso.get(path)
        if isinstance(node, File):
            return path, node
    return None


def change_boot_menu(
    iso: Tree, boot_image: bytes, changes: BootChanges, *, hurried: bool = True
) -> Tree:
    """Return ``iso`` with ``changes`` made to its menu.

    Args:
        iso: what lies on the ISO.
        boot_image: where its isolinux lies.
        changes: what is to be different.
        hurried: whether Core's own timeout becomes a Microkernel's.

    Raises:
        BootMenuError: there is no menu to change, it is too large, or it lacks what is to
            be changed.
        UsageError: the words to append stand on several lines.
    """
    found = find_boot_menu(iso, boot_image)
    if found is None:
        if changes == BootChanges():
            return iso
        raise BootMenuError(f"the ISO has no {_NAME.decode()}, so its boot menu cannot be changed")
    path, node = found
    if len(node.content) > MAX_MENU_BYTES:
        raise BootMenuError(
            f"{display(path)} has {len(node.content)} bytes; a boot menu has at most "
            f"{MAX_MENU_BYTES}"
        )
    menu = parse_boot_menu(bytes(node.content))
    if hurried and menu.timeout == CORE_TIMEOUT:
        menu = set_option(menu, b"timeout", str(MICROKERNEL_TIMEOUT).encode())
    if changes.timeout is not None:
        menu = set_option(menu, b"timeout", str(changes.timeout).encode())
    if changes.default is not None:
        menu = set_default(menu, _label(menu, path, changes.default))
    words = _words(changes.append or "")
    if words:
        _check_linux(menu, path)
        menu = extend_append(menu, words)
    changed = iso.copy()
    changed.replace(path, evolve(node, content=build_boot_menu(menu)))
    return changed


def _label(menu: BootMenu, path: bytes, wanted: str) -> bytes:
    label = wanted.encode("utf-8", "surrogateescape")
    if label not in menu.labels:
        known = ", ".join(display(found) for found in menu.labels) or "none"
        raise BootMenuError(
            f"there is no label {wanted!r} in {display(path)}; there are {known}",
            hint="give one of these with --boot-default",
        )
    return label


def _check_linux(menu: BootMenu, path: bytes) -> None:
    if menu.linux_labels:
        return
    included = menu.option(b"include")
    if included is None:
        raise BootMenuError(f"no label in {display(path)} boots a Linux kernel")
    raise BootMenuError(
        f"no label in {display(path)} boots a Linux kernel; it includes {display(included)}, "
        "which is not followed",
        hint="put a boot menu without INCLUDE on the base image",
    )


def _words(append: str) -> bytes:
    if "\n" in append or "\r" in append or "\0" in append:
        raise UsageError(
            "the words for the kernel's command line must stand on one line",
            hint="give --boot-append once, with blanks between the words",
        )
    return append.strip().encode("utf-8", "surrogateescape")
