"""Decide whether an ISO boots as a disk, too, and with what."""

from __future__ import annotations

import hashlib

from attrs import evolve

from purekernel.errors import UsageError
from purekernel.formats.core_iso import Base
from purekernel.formats.hybrid_mbr import starts_from_disk
from purekernel.formats.iso import HybridDisk, IsoBoot
from purekernel.recipe.iso_files import IsoChoice
from purekernel.tree import File, Tree, display, loaded


def check_hybrid(base: Base, choice: IsoChoice) -> None:
    """Refuse ``hybrid = true`` if the base's boot loader cannot start from a disk.

    Raises:
        UsageError: it cannot.
    """
    boot = base.boot
    if not choice.hybrid or boot is None or boot.disk is not None:
        return
    if boot.boot_image and not _starts_from_disk(boot, base.iso):
        raise UsageError(
            f"{base.source}: {display(boot.boot_image)} cannot start from a disk: must be "
            "isolinux.bin of version 3.72 or later",
            hint="leave out hybrid, or use another base",
        ).within(choice.place("hybrid"))


def add_hybrid(
    boot: IsoBoot | None, iso: Tree, choice: IsoChoice, *, default: bool, notes: list[str]
) -> IsoBoot | None:
    """Return how an ISO boots, with boot code and partition tables for disks if it is to have them.

    A base's own are kept.

    Args:
        boot: how it boots from CD.
        iso: its files.
        choice: the recipe's options.
        default: whether it is to have them if the recipe does not say.
        notes: gets a note if it boots from disks by UEFI, but not by BIOS.
    """
    wanted = default if choice.hybrid is None else choice.hybrid
    if boot is None or boot.disk is not None or not wanted:
        return boot
    isolinux: bytes | None = boot.boot_image or None
    if isolinux is not None and not _starts_from_disk(boot, iso):
        notes.append(
            f"the ISO boots from disks by UEFI alone: {display(isolinux)} cannot start from a disk"
        )
        isolinux = None
    images = (each.path if each.appended is None else each.appended for each in boot.efi_entries)
    efi = tuple(dict.fromkeys(image for image in images if image is not None))
    return evolve(boot, disk=HybridDisk(isolinux=isolinux, efi=efi, seed=_digest(iso, boot)))


def _starts_from_disk(boot: IsoBoot, iso: Tree) -> bool:
    node = iso.get(boot.boot_image)
    return isinstance(node, File) and starts_from_disk(loaded(node.content))


def _digest(iso: Tree, boot: IsoBoot) -> bytes:
    """Return a digest of all paths and contents, which the ids of the disk come from."""
    digest = hashlib.sha256()
    for path, node in iso.walk():
        content = loaded(node.content) if isinstance(node, File) else b""
        digest.update(b"%d %d " % (len(path), len(content)))
        digest.update(path)
        digest.update(content)
    for content in boot.appended:
        digest.update(content)
    return digest.digest()
