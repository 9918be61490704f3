"""Read the base of a build: a Tiny Core ISO, or a kernel and initrds."""

from __future__ import annotations

from collections.abc import Container, Sequence

from attrs import evolve, field

from purekernel.errors import BootMenuError, BundleError, PurekernelError, raise_all
from purekernel.formats.boot_losses import BootLoss, find_early_archive, find_lost_ways
from purekernel.formats.booted import CORES, KERNELS, Booted, read_booted
from purekernel.formats.cpio import Initramfs, find_early_end, parse_initrds
from purekernel.formats.detect import FileKind, detect, name_kind
from purekernel.formats.iso import EFI, IsoBoot, parse_iso
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import (
    Buffer,
    Directory,
    File,
    Metadata,
    Tree,
    display,
    with_example,
)
from purekernel.tree.path import ancestors, escape, join

BOOT_FOLDER = b"boot"

# Core loads the extensions in it at boot, where the kernel's command line has the word cde.
CDE_FOLDER = b"cde"

# Folders of the root that isolinux, GRUB, systemd-boot and firmware for UEFI boot from.
LOADER_FOLDERS = (b"boot", b"isolinux", b"syslinux", b"grub", b"grub2", b"efi", b"loader")


@frozen(kw_only=True)
class Initrd:
    """A file that the boot loader hands to the kernel.

    Attributes:
        path: its path on the ISO.
        content: the file as it was read; empty for a folder.
        early_bytes: how many bytes at its start the kernel reads before it unpacks the rest:
            uncompressed archives of microcode and ACPI tables.
        is_folder: whether it was a folder of the host, and has no bytes of its own.
    """

    path: bytes
    content: Buffer = field(repr=False)
    early_bytes: int = 0
    is_folder: bool = False

    @property
    def early(self) -> Buffer:
        """The archives that must stay in front, uncompressed."""
        return memoryview(self.content)[: self.early_bytes]

    @property
    def is_early(self) -> bool:
        """Whether the initrd holds nothing else."""
        return 0 < self.early_bytes == len(self.content)


@frozen(kw_only=True)
class Base:
    """What a build starts from, unpacked.

    Attributes:
        iso: the files of the ISO that the output keeps, including kernel and initrds.
        boot: how the ISO boots; ``None`` for a base without a boot loader.
        kernel_path: the path of the kernel on the ISO.
        kernel: the kernel.
        replaced_kernel: the kernel that was there before :meth:`with_kernel`; ``None`` if it was
            not called.
        initrds: the initrds in order.
        initramfs: what they unpack to.
        root: the root file system to change, with the extensions that are merged into it.
        source: the name of the ISO or the initrds, for messages.
        lost: the boot methods that an output loses.
        outside: how many files the ISO has outside ``boot/``, with an example; empty without any.
        dropped: the same for those that the output does not keep.
    """

    iso: Tree
    boot: IsoBoot | None
    kernel_path: bytes
    kernel: File
    initrds: tuple[Initrd, ...]
    initramfs: Initramfs
    root: Tree
    source: str
    replaced_kernel: File | None = None
    lost: tuple[BootLoss, ...] = ()
    outside: str = ""
    dropped: str = ""

    @property
    def core_path(self) -> bytes:
        """The path of the first initrd with files of the root file system."""
        return next(initrd.path for initrd in self.initrds if not initrd.is_early)

    def with_kernel(self, kernel: Buffer) -> Base:
        """Return the base with another kernel, which has the old one's name on the ISO."""
        file = evolve(self.kernel, content=kernel)
        iso = self.iso.copy()
        # Remove and add: other names of the old kernel keep it.
        iso.remove(self.kernel_path)
        iso.add(self.kernel_path, file)
        return evolve(self, iso=iso, kernel=file, replaced_kernel=self.kernel)


def parse_base(file: Input, *, keep_iso_files: bool | None = None) -> Base:
    """Return the base in the Tiny Core ISO ``file``.

    Kernel and initrds are those of the default entry in its boot menu, or else the files with the
    names of Core.

    Args:
        file: an ISO 9660 image; its limits apply to the initrds too.
        keep_iso_files: whether to keep files outside ``boot/`` too; by default only if ``cde/``,
            the extensions on the disc, is among them, or the ISO boots from there too. If the menu
            names files outside ``boot/``, they are kept in any case, with all others. Boot images
            and the folders of boot loaders are always kept.

    Raises:
        FormatError: the ISO or an initrd is damaged.
        BundleError: the ISO has no initrd, no kernel, or no boot entry.
        BootMenuError: the menu names a file that the ISO does not have.
    """
    image = parse_iso(file)
    if image.boot is None or not image.boot.is_bootable:
        _find(image.tree, CORES, file.name, "root file system")
        raise _no_boot(file.name)
    booted = _booted(image.tree, image.boot.boot_image, file.name)
    contents = {path: image.tree[path] for path in booted.initrds}
    parts = [
        file.unpacked(node.content, name=f"{file.name}: {escape(path)}")
        for path, node in contents.items()
        if isinstance(node, File)
    ]
    initrds, initramfs, lost = _unpack(parts, list(contents))
    kernel = image.tree[booted.kernel]
    assert isinstance(kernel, File)  # noqa: S101  # read_booted found a file
    inside = all(path.startswith(BOOT_FOLDER + b"/") for path in (booted.kernel, *booted.initrds))
    if keep_iso_files is None:
        keep_iso_files = CDE_FOLDER in image.tree or _boots_outside(image.boot)
    keeps = keep_iso_files or not inside
    iso = image.tree if keeps else _boot_files(image.tree, image.boot)
    return Base(
        iso=iso,
        boot=image.boot,
        kernel_path=booted.kernel,
        kernel=kernel,
        initrds=initrds,
        initramfs=initramfs,
        root=initramfs.tree,
        source=file.name,
        lost=(*find_lost_ways(image), *lost),
        outside=files_outside_boot(image.tree),
        dropped=files_outside_boot(image.tree, besides=iso),
    )


def base_of_files(kernel: Input, initrds: Sequence[tuple[str, Input | Tree]]) -> Base:
    """Return the base of a kernel and initrds, without a boot loader.

    Args:
        kernel: the kernel, a bzImage.
        initrds: name and content of each initrd, in order. A tree stands for a folder.

    Raises:
        FormatError: an initrd is damaged.
        BundleError: two files have one name, the kernel is none, or no initrd has a root file
            system.
    """
    errors: list[PurekernelError] = []
    if detect(kernel.data) is not FileKind.BZIMAGE:
        known = name_kind(kernel.data)
        errors.append(
            BundleError(
                f"{kernel.name} is not a kernel for x86 (bzImage)"
                + (f": it is {known}" if known else ""),
                hint="give the kernel's file, such as vmlinuz or vmlinuz64",
            )
        )
    names = [kernel.name.rpartition("/")[2], *(name for name, _content in initrds)]
    errors += [
        BundleError(
            f"two files of the base are named {name}", hint="give each file a name of its own"
        )
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    raise_all(errors)
    paths = [join(BOOT_FOLDER, name.encode("utf-8", "surrogateescape")) for name in names]
    unpacked, initramfs, lost = _unpack([content for _name, content in initrds], paths[1:])
    iso = Tree()
    metadata = Metadata(mode=0o644)
    file = File(metadata=metadata, content=kernel.data)
    iso.add(BOOT_FOLDER, Directory(metadata=Metadata(mode=0o755)))
    iso.add(paths[0], file)
    for initrd in unpacked:
        iso.add(initrd.path, File(metadata=metadata, content=initrd.content))
    return Base(
        iso=iso,
        boot=None,
        kernel_path=paths[0],
        kernel=file,
        initrds=unpacked,
        initramfs=initramfs,
        root=initramfs.tree,
        source=" and ".join(name for name, _content in initrds),
        lost=lost,
    )


def _unpack(
    parts: Sequence[Input | Tree], paths: Sequence[bytes]
) -> tuple[tuple[Initrd, ...], Initramfs, tuple[BootLoss, ...]]:
    """Return the initrds, what they unpack to, and what an output would lose of them."""
    initrds: list[Initrd] = []
    lost: list[BootLoss] = []
    roots: list[Input | Tree | None] = []
    errors: list[PurekernelError] = []
    for part, path in zip(parts, paths, strict=True):
        if isinstance(part, Tree):
            initrds.append(Initrd(path=path, content=b"", is_folder=True))
            roots.append(part)
            continue
        try:
            end = find_early_end(part)
            initrds.append(Initrd(path=path, content=part.data, early_bytes=end))
            rest = part.part(end)
            roots.append(None if initrds[-1].is_early else rest)
            if end < len(part):
                lost += find_early_archive(rest.unpacked(rest.data, name=escape(path)))
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    if all(initrd.is_early for initrd in initrds):
        names = " and ".join(escape(path) for path in paths) or "the base"
        raise BundleError(
            f"{names}: no root file system: the kernel reads it early, and has none to start",
            hint="name the initrd of the root file system too, such as core.gz",
        )
    return tuple(initrds), parse_initrds(roots), tuple(lost)


def _booted(iso: Tree, boot_image: bytes, source: str) -> Booted:
    """Return the kernel and the initrds that the ISO boots."""
    unusable: BootMenuError | None = None
    try:
        booted = read_booted(iso, boot_image)
    except BootMenuError as error:
        booted, unusable = None, error
    if booted is not None and booted.initrds:
        return booted
    try:
        core, _node = _find(iso, CORES, source, "root file system")
        if booted is not None:
            return evolve(booted, initrds=(core,))
        kernel, _node = _find(iso, KERNELS, source, "kernel")
    except BundleError as error:
        raise unusable.within(source) if unusable is not None else error from None
    return Booted(kernel=kernel, initrds=(core,))


def _boots_outside(boot: IsoBoot) -> bool:
    """Return whether a boot image, or a file that its loader may look for, is outside ``boot/``.

    Loaders for UEFI find the disc that they started from by any file of it.
    """
    return any(not path.startswith(BOOT_FOLDER + b"/") for path in boot.paths) or any(
        entry.platform == EFI for entry in boot.entries
    )


def _boot_files(iso: Tree, boot: IsoBoot) -> Tree:
    """Return a tree with ``boot/``, the boot images, and the folders of boot loaders."""
    above = {folder for path in boot.paths for folder in (path, *ancestors(path))}
    tree = iso.copy()
    # Files before their folders.
    for path in reversed([path for path, _node in iso.walk() if path]):
        if path not in above and path.partition(b"/")[0].lower() not in LOADER_FOLDERS:
            tree.remove(path)
    return tree


def files_outside_boot(iso: Tree, *, besides: Container[bytes] | Tree = ()) -> str:
    """Return how many files are outside ``boot/``, with an example; empty without any.

    Args:
        iso: the tree of an ISO.
        besides: paths that do not count.
    """
    paths = [
        path
        for path, node in iso.walk()
        if not isinstance(node, Directory) and not path.startswith(BOOT_FOLDER + b"/")
        if path not in besides
    ]
    if not paths:
        return ""
    return with_example(len(paths), "file", display(paths[0]), clause=" outside boot/")


def _no_boot(name: str) -> BundleError:
    """Return the error for an ISO without a boot entry."""
    return BundleError(
        f"{name}: the ISO has no El Torito boot record with a bootable entry, so it cannot boot",
        hint="use an original Tiny Core ISO as the base",
    )


def _find(tree: Tree, candidates: tuple[bytes, ...], name: str, what: str) -> tuple[bytes, File]:
    for path in candidates:
        node = tree.get(path)
        if isinstance(node, File):
            return path, node
    names = " or ".join(path.decode() for path in candidates)
    raise BundleError(
        f"{name}: the ISO has no {what} ({names}), and its boot menu names none",
        hint="use an original Tiny Core ISO as the base",
    )
