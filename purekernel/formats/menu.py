"""Describe a boot menu apart from its file, and write it for GRUB, systemd-boot and Syslinux.

Source: the GRUB manual; the Boot Loader Specification (UAPI.1) and loader.conf(5); the Syslinux
Project's config reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import evolve

from purekernel.errors import BootMenuError
from purekernel.formats.booted import MAX_MENU_BYTES, read_menu_entries
from purekernel.formats.grub import parse_grub_config
from purekernel.formats.grub_script import quote_parameter, quote_word
from purekernel.formats.menu_edit import FoundEntry, split_words
from purekernel.records import frozen
from purekernel.tree import File, Tree, display
from purekernel.tree.path import name as name_of

# Tenths of a second in a second, in which all but the Syslinux family count.
_TENTHS = 10

# What a name of a systemd-boot entry may hold. It takes a "+" for a count of boots.
_NOT_IN_NAME = re.compile(rb"[^a-z0-9._-]+")
MAX_NAME_BYTES = 64

# The menu of GRUB, and the device in front of a path in it.
GRUB_MENU = b"grub.cfg"
_DEVICE = re.compile(rb"\([^()]*\)")
# Real images have a few.
_MOST_MENUS = 16
_LINE_BREAKS = re.compile(rb"[\r\n\0]")


@frozen(kw_only=True)
class MenuEntry:
    """An entry that boots a Linux kernel.

    Attributes:
        label: a short name, which no other entry of the menu has: the label for Syslinux, the id
            for GRUB, the name of the file for systemd-boot.
        title: what the menu shows.
        kernel: the path of the kernel on the boot medium, without a leading slash.
        initrds: the paths of the initrds, in the order in which the kernel unpacks them.
        words: the words of the kernel's command line, without ``initrd=``.
    """

    label: bytes
    title: bytes
    kernel: bytes
    initrds: tuple[bytes, ...] = ()
    words: tuple[bytes, ...] = ()


@frozen(kw_only=True)
class Menu:
    """A boot menu.

    Attributes:
        entries: the entries in the order in which the menu shows them.
        default: the label of the entry that boots if the user chooses none; ``None`` for the first
            entry.
        timeout: tenths of a second until it boots: 0 boots it at once, ``None`` waits for the user.
            (In a recipe and in Syslinux's files, 0 waits for the user.)
    """

    entries: tuple[MenuEntry, ...]
    default: bytes | None = None
    timeout: int | None = None

    @property
    def default_index(self) -> int:
        """The index of the default entry; 0 if no entry has its label."""
        labels = [entry.label for entry in self.entries]
        return labels.index(self.default) if self.default in labels else 0

    @property
    def timeout_seconds(self) -> int | None:
        """The timeout in whole seconds, rounded up, so that only 0 boots at once."""
        return None if self.timeout is None else -(-self.timeout // _TENTHS)


def read_menu(iso: Tree, boot_image: bytes) -> Menu | None:
    """Return the menu of an ISO, with the entries that boot Linux from its files.

    It is that of isolinux, or where that boots no Linux, the first of GRUB that does.

    Args:
        iso: the tree of the ISO.
        boot_image: the path of what boots it by BIOS.

    Returns:
        The menu; ``None`` if no entry boots Linux.

    Raises:
        BootMenuError: the menu is too large.
    """
    found = read_menu_entries(iso, boot_image)
    if found is None:
        return _read_grub_menu(iso)
    entries = tuple(
        MenuEntry(
            label=label,
            title=title,
            kernel=booted.kernel,
            initrds=booted.initrds,
            words=split_words(b" ".join(booted.words)),
        )
        for label, title, booted in found.entries
    )
    return Menu(entries=entries, default=found.default, timeout=found.timeout)


def _read_grub_menu(iso: Tree) -> Menu | None:
    paths = [
        path
        for path, node in iso.walk()
        if name_of(path).lower() == GRUB_MENU
        and isinstance(node, File)
        and node.size_bytes <= MAX_MENU_BYTES
    ]
    for path in sorted(paths)[:_MOST_MENUS]:
        node = iso[path]
        assert isinstance(node, File)  # noqa: S101  # only files are listed
        file = parse_grub_config(bytes(node.content))
        entries = {
            index: entry
            for index, found in enumerate(file.found)
            for entry in [_grub_entry(iso, found)]
            if entry is not None
        }
        if entries:
            labels = _entry_names(entry.label for entry in entries.values())
            named = [
                evolve(entry, label=label)
                for entry, label in zip(entries.values(), labels, strict=True)
            ]
            default = dict(zip(entries, labels, strict=True)).get(file.default or 0)
            return Menu(entries=tuple(named), default=default, timeout=file.timeout)
    return None


def _grub_entry(iso: Tree, found: FoundEntry) -> MenuEntry | None:
    """Return an entry of GRUB that boots Linux from files of the ISO, else ``None``."""
    if found.kernel is None:
        return None
    paths = [
        _DEVICE.sub(b"", path, count=1).lstrip(b"/") for path in (found.kernel, *found.initrds)
    ]
    if not all(isinstance(iso.get(path), File) for path in paths):
        return None
    title = found.title or name_of(paths[0])
    return MenuEntry(
        label=found.names[0] if found.names else title,
        title=title,
        kernel=paths[0],
        initrds=tuple(paths[1:]),
        words=found.words,
    )


# Writers.


def build_grub_config(menu: Menu, *, search: bytes | None = None) -> bytes:
    """Return ``menu`` as a grub.cfg.

    Args:
        menu: the menu.
        search: the path of a file that only the boot medium has. GRUB then looks for the medium,
            and not only on the device that it was loaded from.

    Raises:
        BootMenuError: GRUB's language cannot express a title or a path.
    """
    _check_menu(menu)
    seconds = menu.timeout_seconds
    lines = [
        # A number, because old releases take an id that starts with a digit for a number.
        b"set default=%d" % menu.default_index,
        b"set timeout=%d" % (-1 if seconds is None else seconds),
    ]
    if search is not None:
        path = quote_word(b"/" + search)
        lines += [b"", b"search --no-floppy --set=root --file " + path]
    for entry in menu.entries:
        title, label = quote_word(entry.title), quote_word(entry.label)
        words = [quote_parameter(word) for word in entry.words]
        lines += [
            b"",
            b"menuentry " + title + b" --id " + label + b" {",
            b"  " + b" ".join([b"linux", quote_word(b"/" + entry.kernel), *words]),
        ]
        if entry.initrds:
            initrds = [quote_word(b"/" + path) for path in entry.initrds]
            lines.append(b"  " + b" ".join([b"initrd", *initrds]))
        lines.append(b"}")
    return b"\n".join((*lines, b""))


def build_loader_config(menu: Menu) -> dict[bytes, bytes]:
    """Return ``menu`` as the files of systemd-boot: their contents by path.

    The paths are ``loader/loader.conf`` and ``loader/entries/NAME.conf``, on the file system that
    systemd-boot is loaded from, which must also have kernels and initrds.

    Raises:
        BootMenuError: a title or a path has a line break.
    """
    _check_menu(menu)
    names = _entry_names(entry.label for entry in menu.entries)
    seconds = menu.timeout_seconds
    lines = [b"timeout " + (b"menu-force" if seconds is None else b"%d" % seconds)]
    if menu.entries:
        lines.insert(0, b"default " + names[menu.default_index] + b".conf")
    files = {b"loader/loader.conf": b"\n".join((*lines, b""))}
    width = len(str(len(menu.entries)))
    for index, (name, entry) in enumerate(zip(names, menu.entries, strict=True)):
        lines = [
            b"title " + entry.title,
            # Without a key, entries are in the order of their names.
            b"sort-key %0*d" % (width, index),
            b"linux /" + entry.kernel,
            *(b"initrd /" + path for path in entry.initrds),
        ]
        if entry.words:
            lines.append(b"options " + b" ".join(entry.words))
        files[b"loader/entries/" + name + b".conf"] = b"\n".join((*lines, b""))
    return files


def build_syslinux_config(
    menu: Menu, *, interface: bytes | None = None, root: bytes = b"/"
) -> bytes:
    """Return ``menu`` as a file for isolinux, syslinux, extlinux or pxelinux.

    Args:
        menu: the menu.
        interface: the program that shows the menu, such as ``menu.c32``; ``None`` for a prompt.
        root: what precedes the paths; empty for paths from the folder of pxelinux.

    Raises:
        BootMenuError: a label or a path has blanks, or a title a line break.
    """
    _check_menu(menu)
    for entry in menu.entries:
        for text in (entry.label, entry.kernel, *entry.initrds):
            if len(text.split()) != 1 or (text is not entry.kernel and b"," in text):
                raise BootMenuError(
                    f"a menu of Syslinux cannot hold the name {display(text)}, which has blanks or "
                    "commas",
                    hint="use another boot loader, or rename the file",
                )
        if entry.words == (b"-",):
            raise BootMenuError(
                f'{display(entry.label)}: the command line must be more than "-", which empties '
                "it in a menu of Syslinux",
                hint="leave the word out",
            )
    waits = menu.timeout != 0
    lines = []
    if interface is not None and waits:
        lines.append(b"ui " + interface)
    lines.append(b"prompt %d" % (waits and interface is None))
    lines.append(b"timeout %d" % (menu.timeout or 0))
    if menu.entries:
        lines.append(b"default " + menu.entries[menu.default_index].label)
    for index, entry in enumerate(menu.entries):
        lines += [b"", b"label " + entry.label, b"\tmenu label " + entry.title]
        if index == menu.default_index:
            lines.append(b"\tmenu default")
        lines.append(b"\tlinux " + root + entry.kernel)
        if entry.initrds:
            lines.append(b"\tinitrd " + b",".join(root + path for path in entry.initrds))
        if entry.words:
            lines.append(b"\tappend " + b" ".join(entry.words))
    return b"\n".join((*lines, b""))


def _check_menu(menu: Menu) -> None:
    """Refuse what no menu can hold, before it ends a line and starts one of its own."""
    for entry in menu.entries:
        for text in (entry.label, entry.title, entry.kernel, *entry.initrds, *entry.words):
            if _LINE_BREAKS.search(text):
                raise BootMenuError(
                    f"a boot menu cannot hold {display(text)}, which has a line break",
                    hint="rename the file, or correct the menu of the base",
                )


def _entry_names(labels: Iterable[bytes]) -> list[bytes]:
    """Return a name for each label that differs from the others, also on FAT, in any case."""
    names: dict[bytes, None] = {}
    for label in labels:
        base = _NOT_IN_NAME.sub(b"-", label.lower())[:MAX_NAME_BYTES].strip(b"-.") or b"entry"
        name, number = base, 1
        while name in names:
            number += 1
            name = base + b"-%d" % number
        names[name] = None
    return list(names)
