"""Find the boot menu of an ISO, and the kernel and initrds that its default entry boots.

Source: the Syslinux Project's pages on ISOLINUX and on its configuration files.
"""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.errors import BootMenuError, TreeError
from purekernel.formats.syslinux import BootMenu, parse_boot_menu
from purekernel.records import frozen
from purekernel.tree import ROOT, Directory, File, Tree, display, resolve
from purekernel.tree.path import join, name, parent

# Real menus have some hundred bytes; isolinux has less than 64 KiB for all that it reads.
MAX_MENU_BYTES = 1 << 18

# Folders that isolinux searches after the folder of its own binary.
_FOLDERS = (b"boot/isolinux", b"isolinux", b"")
MENU_NAME = b"isolinux.cfg"
INITRD = b"initrd="

# The names on Core for x86, and on CorePure64 for x86_64, for an ISO whose menu names none.
CORES = (b"boot/core.gz", b"boot/corepure64.gz")
KERNELS = (b"boot/vmlinuz", b"boot/vmlinuz64")


@frozen(kw_only=True)
class Booted:
    """A boot entry.

    Attributes:
        kernel: path of the kernel on the ISO.
        initrds: paths of the initrds on the ISO, in order.
        words: the rest of the command line.
    """

    kernel: bytes
    initrds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


def find_boot_menu(iso: Tree, boot_image: bytes) -> tuple[bytes, File] | None:
    """Return path and file of the menu that the isolinux at ``boot_image`` reads, or ``None``."""
    for folder in (parent(boot_image), *_FOLDERS):
        path = join(folder, MENU_NAME)
        node = iso.get(path)
        if isinstance(node, File):
            return path, node
    return None


def load_boot_menu(iso: Tree, boot_image: bytes) -> tuple[bytes, BootMenu] | None:
    """Return path and content of the menu that isolinux reads, or ``None`` without one.

    Raises:
        BootMenuError: the menu is too large.
    """
    found = find_boot_menu(iso, boot_image)
    if found is None:
        return None
    path, node = found
    if len(node.content) > MAX_MENU_BYTES:
        raise BootMenuError(
            f"{display(path)} is too large: a boot menu must have at most {MAX_MENU_BYTES} "
            f"bytes, got {len(node.content)}"
        )
    return path, parse_boot_menu(bytes(node.content))


def read_booted(iso: Tree, boot_image: bytes) -> Booted | None:
    """Return what the default entry of the ISO's menu boots, or ``None`` if no entry boots Linux.

    Raises:
        BootMenuError: the menu is too large, or the entry names a file that is not on the ISO.
    """
    loaded = load_boot_menu(iso, boot_image)
    menu = BootMenu() if loaded is None else loaded[1]
    label, kernel, words = _default(menu)
    if kernel is None:
        return None
    return Booted(
        kernel=find_booted(iso, boot_image, kernel),
        initrds=tuple(
            dict.fromkeys(
                find_booted(iso, boot_image, initrd) for initrd in initrd_names(menu, label, words)
            )
        ),
        words=tuple(word for word in words if not word.startswith(INITRD)),
    )


def read_entries(iso: Tree, boot_image: bytes) -> Iterator[tuple[bytes, Booted]]:
    """Yield the labels of the ISO's menu that boot Linux from files of the ISO, and what they boot.

    Raises:
        BootMenuError: the menu is too large.
    """
    loaded = load_boot_menu(iso, boot_image)
    menu = BootMenu() if loaded is None else loaded[1]
    for label in menu.linux_labels:
        words = menu.append(label).split()
        try:
            yield (
                label,
                Booted(
                    kernel=find_booted(iso, boot_image, menu.kernel(label) or b""),
                    initrds=tuple(
                        find_booted(iso, boot_image, initrd)
                        for initrd in initrd_names(menu, label, words)
                    ),
                    words=tuple(word for word in words if not word.startswith(INITRD)),
                ),
            )
        except BootMenuError:  # it cannot boot
            continue


@frozen(kw_only=True)
class FoundMenu:
    """What the menu of isolinux offers.

    Attributes:
        entries: label, title and files of each entry that boots Linux, in order.
        default: the label that boots without a choice by the user.
        timeout: tenths of a second until it does; 0 for at once, ``None`` for never.
    """

    entries: tuple[tuple[bytes, bytes, Booted], ...]
    default: bytes | None
    timeout: int | None


def read_menu_entries(iso: Tree, boot_image: bytes) -> FoundMenu | None:
    """Return what the menu of isolinux offers, or ``None`` if no entry boots Linux.

    An entry of a menu without labels gets the name of its kernel's file as label.

    Raises:
        BootMenuError: the menu is too large.
    """
    loaded = load_boot_menu(iso, boot_image)
    menu = BootMenu() if loaded is None else loaded[1]
    entries: dict[bytes, tuple[bytes, bytes, Booted]] = {}
    for label, booted in read_entries(iso, boot_image):
        title = (menu.option(b"menu label", label) or label).replace(b"^", b"", 1)
        entries.setdefault(label, (label, title, booted))
    if not entries:
        try:
            command = read_booted(iso, boot_image)
        except BootMenuError:  # it cannot boot
            command = None
        if command is None:
            return None
        label = name(command.kernel)
        entries[label] = label, label, command
    default = named_label(menu) or marked_label(menu)
    waits = menu.interface is not None or menu.option(b"prompt") not in (None, b"0")
    return FoundMenu(
        entries=tuple(entries.values()),
        default=default if default in entries else next(iter(entries)),
        timeout=(menu.timeout or None) if waits else 0,
    )


def initrd_names(menu: BootMenu, label: bytes | None, words: list[bytes]) -> list[bytes]:
    """Return the initrds of an entry as the menu writes them: of INITRD, or in its command line."""
    names = [word.removeprefix(INITRD) for word in words if word.startswith(INITRD)]
    directive = menu.option(b"initrd", label) if label is not None else None
    names += [directive or menu.option(b"initrd") or b""]
    return [name for name in b",".join(names).split(b",") if name]


def find_booted(iso: Tree, boot_image: bytes, path: bytes) -> bytes:
    """Return the path on the ISO of a file that the menu names.

    isolinux starts in the folder of its own binary, and ignores the case of names.

    Raises:
        BootMenuError: the ISO has no such file.
    """
    folders = (ROOT,) if path.startswith(b"/") else (parent(boot_image), ROOT)
    for folder in folders:
        for candidate in (join(folder, path), _in_any_case(iso, join(folder, path))):
            try:
                iso_path = resolve(iso, candidate)
            except TreeError:
                continue
            if isinstance(iso.get(iso_path), File):
                return iso_path
    raise BootMenuError(f"the boot menu names {display(path)}, which is not a file on the ISO")


def _in_any_case(iso: Tree, path: bytes) -> bytes:
    """Return the path on the ISO that differs from ``path`` only in case, or ``path``."""
    found = ROOT
    for part in path.split(b"/"):
        if part in (b"", b"."):
            continue
        entries = iso.entries(found) if isinstance(iso.get(found), Directory) else ()
        same = (entry for entry in entries if entry.lower() == part.lower())
        found = join(found, next(same, part))
    return found


def _default(menu: BootMenu) -> tuple[bytes | None, bytes | None, list[bytes]]:
    """Return the default label, its kernel and its command line."""
    keyword = _keyword(menu)
    named = named_label(menu)
    if named is not None:
        # DEFAULT is a command line: a label, and words for the end of the label's own.
        more = (menu.option(keyword) or b"").split()[1:]
        return named, menu.kernel(named), [*menu.append(named).split(), *more]
    command = menu.command(keyword)
    if command is not None:
        kernel, own = command
        return None, kernel, [*menu.shared_append.split(), *own.split()]
    label = marked_label(menu)
    if label is None:
        return None, None, []
    return label, menu.kernel(label), menu.append(label).split()


def _keyword(menu: BootMenu) -> bytes:
    """Return the option that says what boots without a choice by the user."""
    return b"default" if menu.option(b"ontimeout") is None else b"ontimeout"


def named_label(menu: BootMenu) -> bytes | None:
    """Return the label that DEFAULT or ONTIMEOUT names, if it boots Linux."""
    words = (menu.option(_keyword(menu)) or b"").split()
    return words[0] if words and words[0] in menu.linux_labels else None


def marked_label(menu: BootMenu) -> bytes | None:
    """Return the label with MENU DEFAULT, or else the first, of those that boot Linux."""
    for line in menu.lines:
        if line.marks_default and line.label in menu.linux_labels:
            return line.label
    return menu.linux_labels[0] if menu.linux_labels else None
