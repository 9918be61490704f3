"""Add more boot methods to an ISO that boots by BIOS from CD."""

from __future__ import annotations

import struct

from fixtures.compress import gzip
from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from purekernel.formats.cpio import build_cpio
from purekernel.tree import File, Metadata, Tree, put_file
from tests.formats.fats import make_fat12

SECTOR_BYTES = 2048
EFI_IMAGE = b"EFI/BOOT/efiboot.img"
GRUB_MENU = b'set timeout=5\nmenuentry "tc" {\n  linux /boot/vmlinuz quiet\n}\n'
MICROCODE = b"kernel/x86/microcode/GenuineIntel.bin"


def add_system_area(iso: bytes, *, gpt: bool = False) -> bytes:
    """Return ``iso`` with an MBR of one partition, and the header of a GPT."""
    image = bytearray(iso)
    image[446:462] = struct.pack("<B3xB3xII", 0x80, 0x17, 0, len(iso) // 512)
    image[510:512] = b"\x55\xaa"
    if gpt:
        image[512:520] = b"EFI PART"
    return bytes(image)


def add_boot_entry(iso: bytes, content: bytes, *, platform: int = 0xEF, mark: int = 0x88) -> bytes:
    """Return ``iso`` with one more El Torito entry, for the file that contains ``content``."""
    image = bytearray(iso)
    (catalog,) = struct.unpack_from("<I", image, 17 * SECTOR_BYTES + 71)
    section = catalog * SECTOR_BYTES + 64
    struct.pack_into("<BBH28x", image, section, 0x91, platform, 1)
    extent = iso.index(content) // SECTOR_BYTES
    struct.pack_into("<BBHBBHI20x", image, section + 32, mark, 0, 0, 0, 0, 0, extent)
    return bytes(image)


def make_efi_image(menu: bytes | None = None) -> bytes:
    """Return a FAT file system with a loader, and with a menu if one is given."""
    files = {"EFI/BOOT/BOOTX64.EFI": b"MZ" + bytes(2000)}
    if menu is not None:
        files["EFI/BOOT/GRUB.CFG"] = menu
    return bytes(make_fat12(files))


def make_uefi_iso(menu: bytes | None = None, **beside_boot: bytes) -> bytes:
    """Return an ISO that boots by BIOS and UEFI, from CD and disk.

    Args:
        menu: the boot menu in the EFI image.
        beside_boot: the contents of more files, by paths with "__" for "/".
    """
    image = make_efi_image(menu)
    files = {name.replace("__", "/").encode(): content for name, content in beside_boot.items()}
    iso = make_core_iso(beside_boot={EFI_IMAGE: image, **files})
    return add_system_area(add_boot_entry(iso, image), gpt=True)


def make_microcode() -> bytes:
    """Return an uncompressed archive of processor microcode for the kernel."""
    tree = Tree()
    put_file(tree, MICROCODE, b"microcode", metadata=Metadata(mode=0o644))
    return build_cpio(tree)


def make_core_with_microcode() -> bytes:
    """Return a core with a microcode archive in front."""
    return make_microcode() + gzip(build_cpio(make_core_tree()))


def content_of(tree: Tree, path: bytes) -> bytes:
    """Return the content of a file of a tree."""
    node = tree[path]
    assert isinstance(node, File)
    return bytes(node.content)
