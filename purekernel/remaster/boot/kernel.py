"""Put a kernel of the user's own wherever the menus of an image boot the base's system.

A base may have its kernel at several paths: a menu of GRUB may name another file than isolinux
does, and systemd-boot boots a copy inside the image for UEFI.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, field

from purekernel.errors import PurekernelError, TreeError
from purekernel.formats.boot_losses import BootLoss
from purekernel.formats.boot_menus import FoundMenu, plain_menu_path
from purekernel.formats.core_iso import Base
from purekernel.formats.efi_loader import LoaderKind, parse_loader
from purekernel.formats.iso import IsoBoot
from purekernel.formats.menu_edit import Part
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
from purekernel.remaster.boot.volumes import Volume, open_volumes, replace_copies
from purekernel.tree import Buffer, File, Tree, display, resolve
from purekernel.tree.path import join, parent


def replace_kernel(
    iso: Tree, boot: IsoBoot, base: Base, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[Tree, IsoBoot]:
    """Return an image that boots the kernel of ``base`` where it booted the replaced one.

    Files on the ISO that no entry boots with the base's initrds keep their content.

    Args:
        iso: the tree of the ISO.
        boot: how it boots.
        base: the base; without a replaced kernel nothing changes.
        limits: limits on parsed input.

    Raises:
        FormatError: an image for UEFI is damaged.
        UnrepresentableError: FAT cannot hold the kernel.
    """
    old, new = base.replaced_kernel, base.kernel.content
    if old is None:
        return iso, boot
    iso = iso.copy()
    for volume in open_volumes(iso, boot, limits=limits):
        for menu in volume.menus:
            for kernel in _kernels(volume, menu, iso, base):
                if kernel.is_on_iso and _same(kernel.file.content, old.content):
                    iso.remove(kernel.path)  # other names of the file keep its content
                    iso.add(kernel.path, evolve(kernel.file, content=new))
    return replace_copies(iso, boot, [(old.content, new)], limits=limits)


def find_other_kernels(
    iso: Tree, boot: IsoBoot, base: Base, *, place: str, limits: Limits = DEFAULT_LIMITS
) -> tuple[BootLoss, ...]:
    """Return the menus that boot the base's initrds, and the replaced kernel or another one.

    Of the entries of a menu, one must boot the kernel of ``base``; others may have their own.

    Args:
        iso: the tree of the output ISO, before its initrds change.
        boot: how it boots.
        base: the base; without a replaced kernel nothing is found.
        place: where the kernel is given, for messages.
        limits: limits on parsed input.
    """
    old = base.replaced_kernel
    if old is None or _same(old.content, base.kernel.content):
        return ()
    found = [
        what
        for volume in open_volumes(iso, boot, limits=limits)
        for what in (*_other_menus(volume, iso, base), *_other_programs(volume, limits))
    ]
    return tuple(
        BootLoss(
            refusal=f"the kernel ({place}) would not reach {what}",
            note=f"the kernel does not reach {what}",
        )
        for what in dict.fromkeys(found)
    )


def _other_menus(volume: Volume, iso: Tree, base: Base) -> Iterator[str]:
    for menu in volume.menus:
        kernels = list(_kernels(volume, menu, iso, base))
        if any(_same(kernel.file.content, base.kernel.content) for kernel in kernels):
            continue
        for kernel in kernels[:1]:
            where = display(kernel.path) if kernel.is_on_iso else volume.describe(kernel.path)
            yield f"{volume.describe(menu.path)}, which boots another one, {where}"
        for path, unclear in menu.unclear:
            if unclear.concerns & Part.LINUX:
                yield f"{volume.describe(path)}, line {unclear.line}: {unclear.reason}"


def _other_programs(volume: Volume, limits: Limits) -> Iterator[str]:
    """Yield the unified kernel images, in which nothing is changed: they may be signed."""
    for path, node in () if volume.tree is None else volume.tree.walk():
        if not isinstance(node, File) or not path.lower().endswith(b".efi"):
            continue
        try:
            # The unpacked files are not kept.
            program = Input(node.content, name="loader", limits=limits.unbudgeted())
            loader = parse_loader(program)
        except PurekernelError:
            continue  # firmware does not start it either
        if loader.kind is LoaderKind.UNIFIED:
            yield f"the kernel inside {volume.describe(path)}"


@frozen(kw_only=True)
class _Kernel:
    """A kernel that an entry of a menu boots.

    Attributes:
        path: its path.
        file: the file.
        is_on_iso: whether it is on the ISO, or inside the image that has the menu.
    """

    path: bytes
    file: File = field(repr=False)
    is_on_iso: bool


def _kernels(volume: Volume, menu: FoundMenu, iso: Tree, base: Base) -> Iterator[_Kernel]:
    """Yield the kernels that a menu boots with the base's initrds."""
    trees = [iso] if volume.entry is None or volume.tree is None else [volume.tree, iso]
    indexes = [{path.lower(): path for path, _node in tree.walk()} for tree in trees]

    def find(named: bytes) -> _Kernel | None:
        plain = plain_menu_path(named)
        for tree, index in zip(trees, indexes, strict=True):
            for wanted in (plain, join(parent(menu.path).lower(), plain)):
                if wanted in index and (found := _file(tree, index[wanted])) is not None:
                    return _Kernel(path=found[0], file=found[1], is_on_iso=tree is iso)
        return None

    paths = {initrd.path for initrd in base.initrds}
    for entry in menu.found:
        initrds = [each for each in map(find, entry.initrds) if each is not None]
        kernel = None if entry.kernel is None else find(entry.kernel)
        if kernel is not None and any(
            each.path in paths
            if each.is_on_iso
            else any(_same(each.file.content, initrd.content) for initrd in base.initrds)
            for each in initrds
        ):
            yield kernel


def _file(tree: Tree, path: bytes) -> tuple[bytes, File] | None:
    try:
        path = resolve(tree, path)
    except TreeError:
        return None
    node = tree.get(path)
    return (path, node) if isinstance(node, File) else None


def _same(one: Buffer, other: Buffer) -> bool:
    return len(one) == len(other) and one == other
