"""Read a Core ISO as the base of a build."""

from __future__ import annotations

from purekernel.errors import BundleError
from purekernel.formats.boot_losses import BootLoss, find_early_archive, find_lost_ways
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.iso import BootEntry, ElTorito, IsoImage, parse_iso
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import ROOT, Directory, File, Tree, display, subtree, with_example

BOOT_FOLDER = b"boot"

# The names on Core for x86, and on CorePure64 for x86_64.
CORES = (b"boot/core.gz", b"boot/corepure64.gz")
KERNELS = (b"boot/vmlinuz", b"boot/vmlinuz64")


@frozen(kw_only=True)
class Base:
    """A Core ISO, unpacked.

    Attributes:
        iso: the files of the ISO that the output keeps, including the old core.
        boot: the boot settings.
        core_path: the path of the root file system on the ISO.
        kernel_path: the path of the kernel on the ISO.
        kernel: the kernel.
        root: the root file system.
        source: the name of the ISO, for messages.
        boot_entries: all entries of the El Torito catalog.
        lost: the boot methods that an output loses.
        outside: how many files the ISO has outside ``boot/``, with an example; empty without any.
    """

    iso: Tree
    boot: ElTorito
    core_path: bytes
    kernel_path: bytes
    kernel: File
    root: Tree
    source: str
    boot_entries: tuple[BootEntry, ...] = ()
    lost: tuple[BootLoss, ...] = ()
    outside: str = ""

    @property
    def keeps_outside(self) -> bool:
        """Whether :attr:`iso` has the files outside ``boot/``."""
        return any(name != BOOT_FOLDER for name in self.iso.entries(ROOT))


def parse_base(file: Input, *, keep_iso_files: bool = False) -> Base:
    """Return the base in the Core ISO ``file``.

    Args:
        file: an ISO 9660 image; its limits apply to the core too.
        keep_iso_files: whether to keep files outside ``boot/`` too.

    Raises:
        FormatError: the ISO or its core.gz is damaged.
        BundleError: the ISO has no core.gz, no kernel, or no boot entry for BIOS.
    """
    image = parse_iso(file)
    core_path, core = _find(image.tree, CORES, file.name, "root file system")
    kernel_path, kernel = _find(image.tree, KERNELS, file.name, "kernel")
    if image.boot is None:
        raise _no_boot(image, file.name)
    content = core.content
    root = parse_cpio(file.unpacked(content, name=f"{file.name}: {core_path.decode()}"))
    early = find_early_archive(file.unpacked(content, name=core_path.decode()))
    kept = image.tree if keep_iso_files else subtree(image.tree, BOOT_FOLDER)
    return Base(
        iso=kept,
        boot=image.boot,
        core_path=core_path,
        kernel_path=kernel_path,
        kernel=kernel,
        root=root,
        source=file.name,
        boot_entries=image.boot_entries,
        lost=(*find_lost_ways(image), *early),
        outside=_files_outside_boot(image.tree),
    )


def _files_outside_boot(iso: Tree) -> str:
    """Return how many files are outside ``boot/``, with an example; empty without any."""
    paths = [
        path
        for path, node in iso.walk()
        if not isinstance(node, Directory) and not path.startswith(BOOT_FOLDER + b"/")
    ]
    if not paths:
        return ""
    return with_example(len(paths), "file", display(paths[0]), clause=" outside boot/")


def _no_boot(image: IsoImage, name: str) -> BundleError:
    """Return the error for an ISO without a usable boot entry."""
    if not image.boot_entries:
        return BundleError(
            f"{name}: the ISO has no El Torito boot record, so it cannot boot",
            hint="use an original Tiny Core ISO as the base",
        )
    firmware = " and ".join(dict.fromkeys(entry.firmware for entry in image.boot_entries))
    return BundleError(
        f"{name}: the boot catalog must have an entry that loads a file by BIOS without disk "
        f"emulation, got entries for {firmware}",
        hint="use a base that boots by BIOS with isolinux; purekernel cannot write other methods",
    )


def _find(tree: Tree, candidates: tuple[bytes, ...], name: str, what: str) -> tuple[bytes, File]:
    for path in candidates:
        node = tree.get(path)
        if isinstance(node, File):
            return path, node
    names = " or ".join(path.decode() for path in candidates)
    raise BundleError(
        f"{name}: the ISO has no {what} ({names})",
        hint="use an original Tiny Core ISO as the base",
    )
