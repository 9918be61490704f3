"""The files that a TFTP or HTTP server needs to boot an image over the network."""

from __future__ import annotations

from purekernel.build.boot_menu import find_boot_menu, load_boot_menu
from purekernel.build.image import Image
from purekernel.formats.syslinux import BootMenu
from purekernel.tree import Buffer
from purekernel.tree.path import name

KERNEL = "boot/vmlinuz"
INITRD = "boot/core.gz"


def build_pxe_files(image: Image) -> dict[str, Buffer]:
    """Return the contents of a server's folder, by relative path.

    Paths in both menus are relative: to the folder of ``pxelinux.0`` (which the image does
    not have, and a server's own Syslinux brings), and to the iPXE script.
    """
    command_line = _command_line(image)
    return {
        KERNEL: image.kernel,
        INITRD: image.core,
        "pxelinux.cfg/default": _pxelinux(image, command_line),
        "boot.ipxe": _ipxe(image, command_line),
    }


def _pxelinux(image: Image, command_line: bytes) -> bytes:
    lines = [
        b"# " + image.name.encode(),
        b"default microkernel",
        b"prompt 0",
        b"",
        b"label microkernel",
        b"\tkernel " + KERNEL.encode(),
        b"\tappend " + b" ".join(filter(None, (b"initrd=" + INITRD.encode(), command_line))),
        b"",
    ]
    return b"\n".join(lines)


def _ipxe(image: Image, command_line: bytes) -> bytes:
    # A kernel started through its EFI stub finds its initrd by this word.
    initrd = b"initrd=" + name(INITRD.encode())
    lines = [
        b"#!ipxe",
        b"# " + image.name.encode(),
        b"kernel " + KERNEL.encode() + b" " + b" ".join(filter(None, (initrd, command_line))),
        b"initrd " + INITRD.encode(),
        b"boot",
        b"",
    ]
    return b"\n".join(lines)


def _command_line(image: Image) -> bytes:
    """Return the default label's command line, without its initrd."""
    path = find_boot_menu(image.iso, image.boot.boot_image)
    if path is None:
        return b""
    menu = load_boot_menu(image.iso, path)
    label = _default_label(menu)
    if label is None:
        return b""
    words = menu.append(label).split()
    return b" ".join(word for word in words if not word.startswith(b"initrd="))


def _default_label(menu: BootMenu) -> bytes | None:
    linux = [label for label in menu.labels if menu.kernel(label) is not None]
    if menu.default in linux:
        return menu.default
    return linux[0] if linux else None
