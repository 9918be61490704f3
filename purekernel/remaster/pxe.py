"""Build the files that a TFTP or HTTP server needs to boot an image over the network."""

from __future__ import annotations

import re

from purekernel.errors import BootMenuError, TreeError
from purekernel.formats.syslinux import BootMenu, parse_boot_menu
from purekernel.host.windows_names import check_windows_name
from purekernel.records import frozen
from purekernel.remaster.boot_menu import find_boot_menu
from purekernel.remaster.image import Image
from purekernel.tree import Buffer, File, display, resolve
from purekernel.tree.path import join, name, parent

_INITRD = b"initrd="

# Names that file systems, menus and URLs accept without quoting.
_PLAIN = re.compile(rb"[0-9A-Za-z_+~-][0-9A-Za-z._+~-]*")


def build_pxe_files(image: Image) -> dict[str, Buffer]:
    """Return the contents of a server's folder, by relative path.

    The menus boot the default of the ISO's menu, with all its initrds. Paths in the menus are
    relative to the folder of ``pxelinux.0``, and to the iPXE script. The image does not contain
    ``pxelinux.0``; use the one of the server's Syslinux.

    Raises:
        BootMenuError: the menu names a kernel or initrd that is not on the ISO, or whose name is
            not portable.
    """
    booted = _booted(image)
    files: dict[str, Buffer] = {_host_path(path): data for path, data in booted.files.items()}
    files["pxelinux.cfg/default"] = _pxelinux(image, booted)
    files["boot.ipxe"] = _ipxe(image, booted)
    return files


@frozen(kw_only=True)
class _Booted:
    """The default boot entry.

    Attributes:
        kernel: path of the kernel on the ISO.
        initrds: paths of the initrds on the ISO, in order.
        words: the rest of the command line.
        files: content of the kernel and the initrds, by path.
    """

    kernel: bytes
    initrds: list[bytes]
    words: list[bytes]
    files: dict[bytes, Buffer]


def _booted(image: Image) -> _Booted:
    found = find_boot_menu(image.iso, image.boot.boot_image)
    menu = BootMenu() if found is None else parse_boot_menu(bytes(found[1].content))
    label, kernel, words = _default(menu)
    names = [word.removeprefix(_INITRD) for word in words if word.startswith(_INITRD)]
    directive = menu.option(b"initrd", label) if label is not None else None
    names += [directive or menu.option(b"initrd") or b""]
    kernel_path, content = _find(image, kernel) if kernel else (image.kernel_path, image.kernel)
    initrds = dict(_find(image, initrd) for initrd in b",".join(names).split(b",") if initrd)
    initrds = initrds or {image.core_path: image.core}
    return _Booted(
        kernel=kernel_path,
        initrds=list(initrds),
        words=[word for word in words if not word.startswith(_INITRD)],
        files={kernel_path: content, **initrds},
    )


def _pxelinux(image: Image, booted: _Booted) -> bytes:
    lines = [
        b"# " + image.name.encode(),
        b"default microkernel",
        b"prompt 0",
        b"",
        b"label microkernel",
        b"\tkernel " + booted.kernel,
        b"\tappend " + b" ".join([_INITRD + b",".join(booted.initrds), *booted.words]),
        b"",
    ]
    return b"\n".join(lines)


def _ipxe(image: Image, booted: _Booted) -> bytes:
    # A kernel that starts through its EFI stub finds its initrds by these words.
    arguments = [_INITRD + name(initrd) for initrd in booted.initrds]
    lines = [
        b"#!ipxe",
        b"# " + image.name.encode(),
        b" ".join([b"kernel", booted.kernel, *arguments, *booted.words]),
        *(b"initrd " + initrd for initrd in booted.initrds),
        b"boot",
        b"",
    ]
    return b"\n".join(lines)


def _default(menu: BootMenu) -> tuple[bytes | None, bytes | None, list[bytes]]:
    """Return the default label, its kernel and its command line."""
    keyword = b"default" if menu.option(b"ontimeout") is None else b"ontimeout"
    # DEFAULT is a command line: a label, and words for the end of the label's own.
    first, *more = (menu.option(keyword) or b"").split() or [b""]
    if first in menu.linux_labels:
        return first, menu.kernel(first), [*menu.append(first).split(), *more]
    command = menu.command(keyword)
    if command is not None:
        kernel, own = command
        return None, kernel, [*menu.shared_append.split(), *own.split()]
    label = _marked_label(menu)
    if label is None:
        return None, None, []
    return label, menu.kernel(label), menu.append(label).split()


def _marked_label(menu: BootMenu) -> bytes | None:
    for line in menu.lines:
        if line.marks_default and line.label in menu.linux_labels:
            return line.label
    return menu.linux_labels[0] if menu.linux_labels else None


def _find(image: Image, path: bytes) -> tuple[bytes, Buffer]:
    """Return the path on the ISO of a file that the menu names, and its content."""
    # isolinux starts in the folder of its own binary.
    folders = (b"",) if path.startswith(b"/") else (parent(image.boot.boot_image), b"")
    for folder in folders:
        try:
            iso_path = resolve(image.iso, join(folder, path))
        except TreeError:
            continue
        node = image.iso.get(iso_path)
        if isinstance(node, File):
            break
    else:
        raise BootMenuError(f"the boot menu names {display(path)}, which is not a file on the ISO")
    return iso_path, node.content


def _host_path(path: bytes) -> str:
    """Convert a path on the ISO to a path that is valid on every host."""
    for part in path.split(b"/"):
        if _PLAIN.fullmatch(part) is None or check_windows_name(part):
            raise BootMenuError(
                f"the boot menu names {display(path)}, which is not a portable file name",
                hint="use letters, digits and . _ + ~ - only",
            )
    return path.decode("ascii")
