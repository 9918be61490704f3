"""Apply the user's changes to the boot menu of an image."""

from __future__ import annotations

from collections.abc import Sequence

from purekernel.errors import BootMenuError, UsageError, inside
from purekernel.formats.booted import (
    MENU_NAME,
    find_booted,
    load_boot_menu,
    marked_label,
    named_label,
)
from purekernel.formats.syslinux import (
    BootMenu,
    build_boot_menu,
    drop_parameters,
    extend_append,
    labels_with,
    map_initrds,
    set_default,
    set_option,
)
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.system import SerialLine, parse_serial
from purekernel.tree import File, Tree, display

# Core waits half a minute at its boot prompt.
CORE_TIMEOUT = 300


# The word on the kernel's command line for which tce-setup loads extensions from a disc.
CDE = b"cde"


def change_boot_menu(
    iso: Tree,
    boot_image: bytes,
    changes: BootChanges,
    *,
    timeout: int | None = None,
    cde_place: str | None = None,
) -> Tree:
    """Return a copy of ``iso`` with ``changes`` applied to its menu.

    Args:
        iso: the tree of the ISO.
        boot_image: path of its isolinux.
        changes: the changes to apply.
        timeout: replaces Core's own timeout, in tenths of a second; ``None`` keeps it.
        cde_place: where extensions on the disc are given, for messages. The default entry then has
            the word ``cde``, and if no entry had it, all entries have it. ``None`` adds no word.

    Raises:
        BootMenuError: the menu is missing or too large, or lacks the label or kernel to change.
        UsageError: the text to append contains a line break.
    """
    loaded = load_boot_menu(iso, boot_image)
    if loaded is None:
        if changes == BootChanges() and cde_place is None:
            return iso
        raise _no_menu().within(next(iter(changes.given_places), cde_place or ""))
    path, menu = loaded
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
    if changes.serial is not None:
        with inside(changes.place("serial")):
            _check_linux(menu, path)
            menu = _with_consoles(menu, parse_serial(changes.serial))
    if cde_place is not None:
        with inside(cde_place):
            _check_linux(menu, path)
            menu = _with_cde(menu)
    return _with_menu(iso, path, menu)


def change_initrds(
    iso: Tree, boot_image: bytes, old: Sequence[bytes], new: Sequence[bytes]
) -> Tree:
    """Return a copy of ``iso`` whose menu boots the initrds ``new`` where it booted ``old``.

    Entries that boot other initrds stay as they are.

    Args:
        iso: the tree of the ISO.
        boot_image: path of its isolinux.
        old: paths of initrds on the ISO, in order.
        new: the paths that replace them.

    Raises:
        BootMenuError: the menu is missing or too large, or has no such list in one place.
    """
    loaded = load_boot_menu(iso, boot_image)
    if loaded is None:
        raise _no_menu()
    path, menu = loaded

    def change(names: bytes) -> bytes:
        listed = [name for name in names.split(b",") if name]
        try:
            paths = [find_booted(iso, boot_image, name) for name in listed]
        except BootMenuError:  # an entry that cannot boot
            return names
        if paths != list(old):
            return names
        known = dict(zip(paths, listed, strict=True))
        return b",".join(known.get(path, b"/" + path) for path in new)

    changed = _with_menu(iso, path, map_initrds(menu, change))
    if changed == iso:
        listed = ",".join(map(display, old))
        raise BootMenuError(
            f"{display(path)} has no list of the initrds {listed}, to add to or to shorten",
            hint='use layout = "as-base", or correct the menu',
        )
    return changed


def _no_menu() -> BootMenuError:
    return BootMenuError(
        f"{MENU_NAME.decode()} not found on the ISO: its boot menu cannot be changed"
    )


def _with_menu(iso: Tree, path: bytes, menu: BootMenu) -> Tree:
    changed = iso.copy()
    old = iso[path]
    changed.replace(path, File(metadata=old.metadata, content=build_boot_menu(menu)))
    return changed


def _with_cde(menu: BootMenu) -> BootMenu:
    """Return ``menu`` with the word ``cde`` in its default entry.

    If some entries have the word, the base chose which, and the others stay as they are. Otherwise
    all entries get it.
    """
    known = labels_with(menu, CDE)
    if known:
        return extend_append(menu, CDE, labels={_default_label(menu)} - {*known})
    return menu if loads_cde(menu) else extend_append(menu, CDE)


def loads_cde(menu: BootMenu) -> bool:
    """Return whether an entry of ``menu`` has the word ``cde``."""
    if labels_with(menu, CDE):
        return True
    commands = filter(None, map(menu.command, (b"default", b"ontimeout")))
    return any(CDE in [*menu.shared_append.split(), *own.split()] for _kernel, own in commands)


def _default_label(menu: BootMenu) -> bytes:
    """Return the label of a menu with labels that boots without a choice by the user."""
    return named_label(menu) or marked_label(menu) or menu.linux_labels[0]


def _with_consoles(menu: BootMenu, line: SerialLine) -> BootMenu:
    """Return ``menu`` with the screen and a serial port as the last consoles of each kernel.

    Messages appear on all consoles; the last one is /dev/console, where start scripts print.
    """
    words = [word.encode() for word in line.consoles]
    port = f"console={line.tty}".encode()
    menu = drop_parameters(
        menu, lambda word: word in (*words, port) or word.startswith(port + b",")
    )
    return extend_append(menu, b" ".join(words))


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
