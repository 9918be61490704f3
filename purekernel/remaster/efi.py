"""Make the EFI system partition of an image: the recipe's boot loaders, and the menu."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from purekernel.errors import inside
from purekernel.formats.fat import build_fat
from purekernel.formats.iso import EFI, BootEntry, IsoBoot
from purekernel.formats.menu import Menu, MenuEntry, read_menu
from purekernel.formats.menu_edit import split_words
from purekernel.input import Input, Limits
from purekernel.recipe.composition import Composition, Identity
from purekernel.recipe.system import parse_serial
from purekernel.records import frozen
from purekernel.remaster.boot.efi import EfiFiles, make_efi_files
from purekernel.remaster.boot.efi_check import EfiBoot, check_efi
from purekernel.remaster.boot.menu import CDE
from purekernel.tree import Buffer, File, Metadata, Tree, loaded, put_file
from purekernel.tree.path import escape

# Where the image of the partition is on the ISO. Remasters of Tiny Core use the same path.
EFI_IMAGE = b"EFI/BOOT/efiboot.img"
LABEL = b"EFI"

# Where the boot catalog is if the base has none.
CATALOG = b"boot/boot.cat"

# Until the only entry of a menu that we make boots, in tenths of a second.
DEFAULT_TIMEOUT = 50

_OS_RELEASES = (b"etc/os-release", b"usr/lib/os-release")


@frozen(kw_only=True)
class Medium:
    """A finished ISO, and how it boots.

    Attributes:
        iso: its files.
        boot: how it boots; ``None`` if it does not.
        efi: what boots it by UEFI, if the recipe asks for it.
        notes: notes for the user, one line each.
    """

    iso: Tree
    boot: IsoBoot | None
    efi: EfiFiles | None = None
    notes: tuple[str, ...] = ()


def check_boot_files(composition: Composition, *, limits: Limits) -> EfiBoot | None:
    """Return the boot loaders for UEFI that the recipe wants, or ``None``.

    Raises:
        PurekernelError: one of them cannot boot the image.
    """
    choice, base = composition.recipe.efi, composition.base
    if not choice.is_given:
        return None
    kernel = Input(base.kernel.content, name=escape(base.kernel_path), limits=limits)
    return check_efi(choice, composition.efi, kernel)


def add_efi(
    efi: EfiBoot | None,
    composition: Composition,
    iso: Tree,
    *,
    boot: IsoBoot | None,
    initrds: Sequence[bytes],
    metadata: Metadata,
) -> Medium:
    """Return a finished ISO with what boots it by UEFI, with the same menu as by BIOS.

    The new entry of the boot catalog replaces those for UEFI that the base has.

    Args:
        efi: the boot loaders; ``None`` to add nothing.
        composition: what the image is made of.
        iso: the files of the ISO, with initrds and menu.
        boot: how it boots so far.
        initrds: the paths of the initrds, in order.
        metadata: the metadata of added files.

    Raises:
        PurekernelError: a menu cannot hold a name, the stub has no room, FAT cannot hold a file, or
            the size is too small.
    """
    if efi is None:
        return Medium(iso=iso, boot=boot)
    files = _make_files(efi, composition, iso, initrds, metadata)
    boot, replaced = without_efi(boot or IsoBoot(catalog=CATALOG, entries=()))
    iso = iso.copy()
    for entry in replaced:
        if entry.path is not None and entry.path in iso:
            iso.remove(entry.path)
    notes = [f"replaced the base's boot entry for UEFI, {entry.location}" for entry in replaced]
    choice = composition.recipe.efi
    with inside(choice.place("size")):
        image = build_fat(
            files.partition,
            timestamp=metadata.mtime,
            size_bytes=None if choice.size is None else choice.size << 20,
            label=LABEL,
            report=lambda text: notes.append(f"the EFI system partition: {text}"),
        )
    for path, content in {**files.iso, EFI_IMAGE: image.to_bytes()}.items():
        put_file(iso, path, content, metadata=metadata)
    notes += efi.notes
    return Medium(iso=iso, boot=boot.with_efi(EFI_IMAGE), efi=files, notes=tuple(notes))


def without_efi(boot: IsoBoot) -> tuple[IsoBoot, tuple[BootEntry, ...]]:
    """Return how an ISO boots apart from UEFI, and its entries for UEFI."""
    entries = tuple(entry for entry in boot.entries if entry.platform == EFI)
    rest = tuple(entry for entry in boot.entries if entry.platform != EFI)
    # Partition tables of the base hold the image of such an entry.
    return evolve(boot, entries=rest, disk=None if entries else boot.disk), entries


def _make_files(
    efi: EfiBoot,
    composition: Composition,
    iso: Tree,
    initrds: Sequence[bytes],
    metadata: Metadata,
) -> EfiFiles:
    base, boot = composition.base, composition.recipe.boot
    menu = None if base.boot is None else read_menu(iso, base.boot.boot_image)
    if menu is None:
        menu = _plain_menu(composition, initrds)
    contents: dict[bytes, Buffer] = {}
    for entry in menu.entries:
        for path in (entry.kernel, *entry.initrds):
            node = iso[path]
            assert isinstance(node, File)  # noqa: S101  # the menu names files of the ISO
            contents[path] = loaded(node.content)
    return make_efi_files(
        efi,
        menu,
        contents,
        os_release=_os_release(base.root, composition.identity),
        serial=None if boot.serial is None else parse_serial(boot.serial),
        metadata=metadata,
    )


def _plain_menu(composition: Composition, initrds: Sequence[bytes]) -> Menu:
    """Return the menu of an image whose base has none: one entry, with the recipe's words."""
    boot = composition.recipe.boot
    words = list(split_words((boot.append or "").encode("utf-8", "surrogateescape")))
    if boot.serial is not None:
        words += [word.encode() for word in parse_serial(boot.serial).consoles]
    if composition.disc.cde is not None and CDE not in words:
        words.append(CDE)
    entry = MenuEntry(
        label=b"linux",
        title=composition.identity.name.encode(),
        kernel=composition.base.kernel_path,
        initrds=tuple(initrds),
        words=tuple(words),
    )
    timeout = DEFAULT_TIMEOUT if boot.timeout is None else boot.timeout or None
    return Menu(entries=(entry,), timeout=timeout)


def _os_release(root: Tree, identity: Identity) -> bytes:
    """Return the image's os-release, by which systemd-boot titles a unified kernel image."""
    for path in _OS_RELEASES:
        node = root.get(path)
        if isinstance(node, File):
            return bytes(loaded(node.content))
    version = identity.version or "1"
    return f'ID=purekernel\nVERSION_ID={version}\nPRETTY_NAME="{identity.name}"\n'.encode()
