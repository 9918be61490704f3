"""Build the files that a TFTP or HTTP server needs to boot an image over the network."""

from __future__ import annotations

import re

from attrs import evolve

from purekernel.errors import BootMenuError
from purekernel.formats.booted import INITRD, Booted, read_booted
from purekernel.host.windows_names import check_windows_name
from purekernel.remaster.image import Image
from purekernel.tree import Buffer, File, display
from purekernel.tree.path import name

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
    booted, contents = _booted(image)
    files: dict[str, Buffer] = {_host_path(path): data for path, data in contents.items()}
    files["pxelinux.cfg/default"] = _pxelinux(image, booted)
    files["boot.ipxe"] = _ipxe(image, booted)
    return files


def _booted(image: Image) -> tuple[Booted, dict[bytes, Buffer]]:
    """Return what the ISO's menu boots by default, and the content of its files."""
    found = None if image.boot is None else read_booted(image.iso, image.boot.boot_image)
    booted = found or Booted(kernel=image.kernel_path, initrds=(), words=image.kernel_words)
    if not booted.initrds:
        booted = evolve(booted, initrds=tuple(path for path, _content in image.initrds))
    nodes = ((path, image.iso[path]) for path in (booted.kernel, *booted.initrds))
    return booted, {path: node.content for path, node in nodes if isinstance(node, File)}


def _pxelinux(image: Image, booted: Booted) -> bytes:
    lines = [
        b"# " + image.name.encode(),
        b"default microkernel",
        b"prompt 0",
        b"",
        b"label microkernel",
        b"\tkernel " + booted.kernel,
        b"\tappend " + b" ".join([INITRD + b",".join(booted.initrds), *booted.words]),
        b"",
    ]
    return b"\n".join(lines)


def _ipxe(image: Image, booted: Booted) -> bytes:
    # A kernel that starts through its EFI stub finds its initrds by these words.
    arguments = [INITRD + name(initrd) for initrd in booted.initrds]
    lines = [
        b"#!ipxe",
        b"# " + image.name.encode(),
        b" ".join([b"kernel", booted.kernel, *arguments, *booted.words]),
        *(b"initrd " + initrd for initrd in booted.initrds),
        b"boot",
        b"",
    ]
    return b"\n".join(lines)


def _host_path(path: bytes) -> str:
    """Convert a path on the ISO to a path that is valid on every host."""
    for part in path.split(b"/"):
        if _PLAIN.fullmatch(part) is None or check_windows_name(part):
            raise BootMenuError(
                f"the boot menu names {display(path)}, which is not a portable file name",
                hint="use letters, digits and . _ + ~ - only",
            )
    return path.decode("ascii")
