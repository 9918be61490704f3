"""Build the files that a TFTP or HTTP server needs to boot an image over the network.

Source: the Syslinux Project's page on PXELINUX; the iPXE Project's pages on scripting, ``choose``
and ``initrd``; the GRUB manual, "Network".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from attrs import evolve

from purekernel.errors import BootMenuError, PurekernelError
from purekernel.formats.booted import INITRD, load_boot_menu, read_booted
from purekernel.formats.efi_loader import LoaderKind, find_grub_menu, parse_loader
from purekernel.formats.menu import (
    Menu,
    MenuEntry,
    build_grub_config,
    build_syslinux_config,
    read_menu,
)
from purekernel.formats.menu_edit import split_words
from purekernel.host.windows_names import check_windows_name
from purekernel.input import Input
from purekernel.remaster.image import Image
from purekernel.tree import Buffer, File, display, with_example
from purekernel.tree.path import name

# Names that file systems, menus and URLs accept without quoting.
_PLAIN = re.compile(rb"[0-9A-Za-z_+~-][0-9A-Za-z._+~-]*")

# The one label that the conventions of Razor have.
_MICROKERNEL = b"microkernel"
# The label of the image of a base without a menu.
_CORE = b"core"

# Loaders for UEFI, in the folder where firmware looks for them.
_LOADER = re.compile(rb"EFI/BOOT/[^/]+\.EFI", re.IGNORECASE)
# The names of GRUB's modules that read files over the network; a name ends in NUL in a loader.
_NETWORK_MODULES = re.compile(rb"(?<![a-z])(?:tftp|http)\0")
_CARD_MODULE = b"efinet\0"
# In the prefix of a GRUB that brings a menu of its own, which looks for the base's medium.
_OWN_MENU = b"(memdisk)"

# What iPXE takes for more than text: the start of a setting, a comment, operators.
_IPXE_SYNTAX = re.compile(rb"\$\{|(?<!\S)(?:#|\|\|(?!\S)|&&(?!\S))")
_MILLISECONDS_PER_TENTH = 100


def build_pxe_files(image: Image) -> dict[str, Buffer]:
    """Return the contents of a server's folder, by relative path.

    The menus have the entries of the ISO's menu that boot Linux, its default and its timeout. By
    the conventions of Razor they have the default alone, as ``microkernel``. Paths in the menus of
    pxelinux and iPXE are relative to the folder of ``pxelinux.0``, and to the script; those of GRUB
    start at the top of the server. These boot loaders are those of the server; among the files are
    only unified kernel images of the recipe, which need no menu, and a GRUB that reads its menu
    over the network: of the recipe, or else of the base.

    Raises:
        BootMenuError: the menu names a kernel or initrd that is not on the ISO, or whose name is
            not portable, or it has words that a menu cannot hold.
    """
    menu = _menu(image)
    files: dict[str, Buffer] = {}
    for entry in menu.entries:
        for path in (entry.kernel, *entry.initrds):
            node = image.iso[path]
            if isinstance(node, File):
                files[_host_path(path)] = node.content
    title = b"# " + image.name.encode() + b"\n"
    if image.generation is None:
        files["pxelinux.cfg/default"] = title + build_syslinux_config(menu, root=b"")
        files["boot.ipxe"] = _ipxe(title, menu)
        files["grub/grub.cfg"] = title + build_grub_config(menu)
        files |= _unified_images(image)
        if loaders := _network_loaders(image):
            files |= loaders
            for menu_path in ("boot/grub/grub.cfg", *_grub_menus(loaders.values())):
                files[menu_path] = files["grub/grub.cfg"]
    else:
        files["pxelinux.cfg/default"] = title + _pxelinux(menu.entries[0])
        files["boot.ipxe"] = _ipxe(title, menu)
    return files


def find_left_out(image: Image) -> Iterator[str]:
    """Yield notes about the loaders and labels that the files for the network lack."""
    if image.generation is not None:
        return
    unified = _unified_images(image)
    loaders = [path for path in _loaders(image) if _host_path(path) not in unified]
    if loaders and not _network_loaders(image):
        owner = "the base" if image.efi is None else "[boot.efi]"
        yield (
            f"{display(loaders[0])} of {owner} does not read a menu over the network, so the "
            "files for booting over the network do not include it"
        )
    yield from _left_out_labels(image)


def _left_out_labels(image: Image) -> Iterator[str]:
    if image.boot is None:
        return
    loaded = load_boot_menu(image.iso, image.boot.boot_image)
    if loaded is None:
        return
    path, menu = loaded
    known = {entry.label for entry in _menu(image).entries}
    lost = [label for label in menu.labels if label not in known]
    if lost:
        example = with_example(
            len(lost), "label", display(lost[0]), clause=" without a kernel on the ISO"
        )
        yield f"the menus for booting over the network do not include {example} of {display(path)}"


def _loaders(image: Image) -> dict[bytes, Buffer]:
    """Return the loaders for UEFI by path: those of the recipe, or else of the base."""
    tree = image.iso if image.efi is None else image.efi.partition
    return {
        path: node.content
        for path, node in tree.walk()
        if isinstance(node, File) and _LOADER.fullmatch(path)
    }


def _unified_images(image: Image) -> dict[str, Buffer]:
    """Return the unified kernel images of the recipe, which firmware starts over the network."""
    if image.efi is None:
        return {}
    return {
        _host_path(path): node.content
        for path, node in image.efi.partition.walk()
        if isinstance(node, File) and path.lower().endswith(b".efi")
        if _is_unified(node.content)
    }


def _is_unified(program: Buffer) -> bool:
    try:
        return parse_loader(Input(program, name="loader")).kind is LoaderKind.UNIFIED
    except PurekernelError:
        return False


def _grub_menus(loaders: Iterable[Buffer]) -> Iterator[str]:
    """Yield the paths from which images of GRUB read their menu."""
    for content in loaders:
        with suppress(PurekernelError):  # firmware does not start it either
            menu = find_grub_menu(parse_loader(Input(content, name="loader")))
            if menu is not None:
                yield _host_path(menu)


def _network_loaders(image: Image) -> dict[str, Buffer]:
    """Return the loaders for UEFI if there is a GRUB for the network among them.

    The others, such as shim, load it. Firmware asks for names in capitals.
    """
    loaders = _loaders(image)
    if not any(map(_reads_network, loaders.values())):
        return {}
    return {_host_path(_in_capitals(path)): content for path, content in loaders.items()}


def _reads_network(loader: Buffer) -> bool:
    data = bytes(loader)
    return _CARD_MODULE in data and bool(_NETWORK_MODULES.search(data)) and _OWN_MENU not in data


def _in_capitals(path: bytes) -> bytes:
    """Return the path of a loader as UEFI writes it: in capitals, except names that shim loads."""
    last = name(path)
    is_default = last.lower().startswith(b"boot")
    return b"EFI/BOOT/" + (last.upper() if is_default else last)


def _menu(image: Image) -> Menu:
    """Return the entries that the server's menus have, with their initrds."""
    only_default = image.generation is not None
    menu = None
    if image.boot is not None and not only_default:
        menu = read_menu(image.iso, image.boot.boot_image)
    if menu is None:
        label = _MICROKERNEL if only_default else _CORE
        menu = Menu(entries=(_default_entry(image, label),), timeout=0)
    initrds = tuple(path for path, _content in image.initrds)
    if not any(entry.initrds for entry in menu.entries):
        entries = tuple(evolve(each, initrds=initrds) for each in menu.entries)
        return evolve(menu, entries=entries)
    return menu


def _default_entry(image: Image, label: bytes) -> MenuEntry:
    """Return what the ISO's menu boots by default; without a menu, the kernel and its words."""
    booted = None if image.boot is None else read_booted(image.iso, image.boot.boot_image)
    if booted is None:
        return MenuEntry(
            label=label,
            title=image.name.encode(),
            kernel=image.kernel_path,
            words=image.kernel_words,
        )
    return MenuEntry(
        label=label,
        title=image.name.encode(),
        kernel=booted.kernel,
        initrds=booted.initrds,
        words=split_words(b" ".join(booted.words)),
    )


def _pxelinux(entry: MenuEntry) -> bytes:
    """Return the menu of a Microkernel."""
    lines = [
        b"default " + entry.label,
        b"prompt 0",
        b"",
        b"label " + entry.label,
        b"\tkernel " + entry.kernel,
        b"\tappend " + b" ".join([INITRD + b",".join(entry.initrds), *entry.words]),
        b"",
    ]
    return b"\n".join(lines)


def _ipxe(title: bytes, menu: Menu) -> bytes:
    """Return a script that boots the default entry, after a menu if there is a choice."""
    default = menu.entries[menu.default_index]
    lines = [b"#!ipxe", title.rstrip(b"\n")]
    if len(menu.entries) == 1 or menu.timeout == 0:
        return b"\n".join([*lines, *_ipxe_boot(default), b""])
    lines += [b"", b"menu " + _ipxe_text(title.removeprefix(b"# ").strip())]
    # Labels of a script cannot have blanks.
    names = [b"entry%d" % number for number in range(len(menu.entries))]
    for item, entry in zip(names, menu.entries, strict=True):
        lines.append(b" ".join([b"item", item, _ipxe_text(entry.title)]))
    choose = b"choose --default " + names[menu.default_index]
    if menu.timeout is not None:
        choose += b" --timeout %d" % (menu.timeout * _MILLISECONDS_PER_TENTH)
    lines.append(choose + b" entry && goto ${entry} || exit")
    for item, entry in zip(names, menu.entries, strict=True):
        lines += [b"", b":" + item, *_ipxe_boot(entry)]
    return b"\n".join([*lines, b""])


def _ipxe_boot(entry: MenuEntry) -> Iterator[bytes]:
    """Yield the commands that boot an entry.

    A kernel that starts through its EFI stub finds its initrds by the words ``initrd=``.
    """
    initrds = [INITRD + name(initrd) for initrd in entry.initrds]
    yield b" ".join([b"kernel", entry.kernel, *initrds, *_checked(entry.words)])
    for initrd in entry.initrds:
        yield b"initrd " + initrd
    yield b"boot"


def _checked(words: Iterable[bytes]) -> Iterator[bytes]:
    for word in words:
        if _IPXE_SYNTAX.search(word):
            raise BootMenuError(
                f"a script of iPXE cannot hold {display(word)}, which means something else there",
                hint="leave the word out of the kernel's command line",
            )
        yield word


def _ipxe_text(text: bytes) -> bytes:
    """Return text for people without what iPXE would take for more."""
    return b" ".join(_IPXE_SYNTAX.sub(b"", text).split())


def _host_path(path: bytes) -> str:
    """Convert a path on the ISO to a path that is valid on every host."""
    for part in path.split(b"/"):
        if _PLAIN.fullmatch(part) is None or check_windows_name(part):
            raise BootMenuError(
                f"the boot menu names {display(path)}, which is not a portable file name",
                hint="use letters, digits and . _ + ~ - only",
            )
    return path.decode("ascii")
