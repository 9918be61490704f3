"""Apply the user's changes to the boot menu of an image."""

from __future__ import annotations

from attrs import evolve

from purekernel.errors import BootMenuError, UsageError, inside
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

# Core waits half a minute at its boot prompt.
CORE_TIMEOUT = 300


# Real menus have some hundred bytes; isolinux has less than 64 KiB for all that it reads.
MAX_MENU_BYTES = 1 << 18

# Folders that isolinux searches after the folder of its own binary.
_FOLDERS = (b"boot/isolinux", b"isolinux", b"")
_NAME = b"isolinux.cfg"


def find_boot_menu(iso: Tree, boot_image: bytes) -> tuple[bytes, File] | None:
    """Return path and file of the menu that the isolinux at ``boot_image`` reads, or ``None``."""
    for folder in (parent(boot_image), *_FOLDERS):
        path = join(folder, _NAME)
        node = iso.get(path)
        if isinstance(node, File):
            return path, node
    return None


def change_boot_menu(
    iso: Tree, boot_image: bytes, changes: BootChanges, *, timeout: int | None = None
) -> Tree:
    """Return a copy of ``iso`` with ``changes`` applied to its menu.

    Args:
        iso: the tree of the ISO.
        boot_image: path of its isolinux.
        changes: the changes to apply.
        timeout: replaces Core's own timeout, in tenths of a second; ``None`` keeps it.

    Raises:
        BootMenuError: the menu is missing or too large, or lacks the label or kernel to change.
        UsageError: the text to append contains a line break.
    """
    found = find_boot_menu(iso, boot_image)
    if found is None:
        if changes == BootChanges():
            return iso
        places = map(changes.place, ("append", "timeout", "default"))
        raise BootMenuError(
            f"{_NAME.decode()} not found on the ISO: its boot menu cannot be changed"
        ).within(next(filter(None, places), ""))
    path, node = found
    if len(node.content) > MAX_MENU_BYTES:
        raise BootMenuError(
            f"{display(path)} is too large: a boot menu must have at most {MAX_MENU_BYTES} "
            f"bytes, got {len(node.content)}"
        )
    menu = parse_boot_menu(bytes(node.content))
    if timeout is not None and menu.timeout == CORE_TIMEOUT:
        menu = set_option(menu, b"timeout", str(timeout).encode())
    if changes.timeout is not None:
        menu = set_option(menu, b"timeout", str(changes.timeout).encode())
    if changes.default is not None:
        with inside(changes.place("default")):
            menu = set_default(menu, _label(menu, path, changes.default))
    with inside(changes.place("append")):
        words = _words(changes.append or "")
        if words:
            _check_linux(menu, path)
            menu = extend_append(menu, words)
    changed = iso.copy()
    changed.replace(path, evolve(node, content=build_boot_menu(menu)))
    return changed


def _label(menu: BootMenu, path: bytes, wanted: str) -> bytes:
    label = wanted.encode("utf-8", "surrogateescape")
    command = menu.command(b"default")
    if not menu.labels and command is not None:
        if command[0] == label:
            return menu.default or label
        raise BootMenuError(
            f"{display(path)} has no labels: it boots {display(command[0])}, got {wanted!r}",
            hint=f"leave the default out, or name {display(command[0])}",
        )
    if label not in menu.labels:
        known = ", ".join(display(known_label) for known_label in menu.labels) or "none"
        raise BootMenuError(
            f"{display(path)}: label not found: must be one of {known}, got {wanted!r}",
            hint="name one of these with --boot-default",
        )
    return label


def _check_linux(menu: BootMenu, path: bytes) -> None:
    if menu.boots_linux:
        return
    included = menu.option(b"include")
    if included is None:
        raise BootMenuError(f"{display(path)}: no label boots a Linux kernel")
    raise BootMenuError(
        f"{display(path)}: no label boots a Linux kernel; it includes {display(included)}, "
        "which purekernel does not read",
        hint="use a base image whose boot menu has no INCLUDE",
    )


def _words(append: str) -> bytes:
    if "\n" in append or "\r" in append or "\0" in append:
        raise UsageError(
            "the text to append to the kernel's command line must be one line",
            hint="give --boot-append once, with spaces between the words",
        )
    return append.strip().encode("utf-8", "surrogateescape")
