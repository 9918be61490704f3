"""The files that a TFTP or HTTP server needs to boot an image over the network."""

from __future__ import annotations

from purekernel.build.boot_menu import find_boot_menu, load_boot_menu
from purekernel.build.image import Image
from purekernel.errors import BootMenuError
from purekernel.formats.syslinux import BootMenu
from purekernel.tree import Buffer, File, display, resolve
from purekernel.tree.path import name

_INITRD = b"initrd="


def build_pxe_files(image: Image) -> dict[str, Buffer]:
    """Return the contents of a server's folder, by relative path.

    What boots is what the ISO's menu boots when nobody chooses, with all its initrds. Paths in
    both menus are relative: to the folder of ``pxelinux.0`` (which the image does not have,
    and a server's own Syslinux brings), and to the iPXE script.

    Raises:
        BootMenuError: the menu names an initrd that is not on the ISO.
    """
    words = _default_words(image)
    named = [word.removeprefix(_INITRD) for word in words if word.startswith(_INITRD)]
    initrds: dict[bytes, Buffer] = dict(
        _find(image, path) for path in b",".join(named).split(b",") if path
    ) or {image.core_path: image.core}
    command_line = [word for word in words if not word.startswith(_INITRD)]
    files: dict[str, Buffer] = {image.kernel_path.decode(): image.kernel}
    files |= {path.decode("utf-8", "surrogateescape"): data for path, data in initrds.items()}
    files["pxelinux.cfg/default"] = _pxelinux(image, list(initrds), command_line)
    files["boot.ipxe"] = _ipxe(image, list(initrds), command_line)
    return files


def _pxelinux(image: Image, initrds: list[bytes], command_line: list[bytes]) -> bytes:
    append = [_INITRD + b",".join(initrds), *command_line]
    lines = [
        b"# " + image.name.encode(),
        b"default microkernel",
        b"prompt 0",
        b"",
        b"label microkernel",
        b"\tkernel " + image.kernel_path,
        b"\tappend " + b" ".join(append),
        b"",
    ]
    return b"\n".join(lines)


def _ipxe(image: Image, initrds: list[bytes], command_line: list[bytes]) -> bytes:
    # A kernel started through its EFI stub finds its initrds by these words.
    words = [_INITRD + name(initrd) for initrd in initrds]
    lines = [
        b"#!ipxe",
        b"# " + image.name.encode(),
        b" ".join([b"kernel", image.kernel_path, *words, *command_line]),
        *(b"initrd " + initrd for initrd in initrds),
        b"boot",
        b"",
    ]
    return b"\n".join(lines)


def _default_words(image: Image) -> list[bytes]:
    """Return the command line of what boots when nobody chooses."""
    path = find_boot_menu(image.iso, image.boot.boot_image)
    if path is None:
        return []
    menu = load_boot_menu(image.iso, path)
    # DEFAULT is a command line: a label, and words for the end of the label's own.
    first, *more = (menu.option(b"ontimeout") or menu.default or b"").split() or [b""]
    if first in menu.linux_labels:
        return [*menu.append(first).split(), *more]
    marked = _marked_label(menu)
    return [] if marked is None else menu.append(marked).split()


def _marked_label(menu: BootMenu) -> bytes | None:
    for line in menu.lines:
        if line.keyword == b"menu" and line.argument.lower() == b"default":
            return line.label
    return menu.linux_labels[0] if menu.linux_labels else None


def _find(image: Image, path: bytes) -> tuple[bytes, Buffer]:
    """Return an initrd's place on the ISO and its content."""
    place = resolve(image.iso, path)
    node = image.iso.get(place)
    if not isinstance(node, File):
        raise BootMenuError(f"the boot menu names the initrd {display(path)}, not on the ISO")
    return place, node.content
