"""Hold a finished image, in memory, and write its ISO."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from attrs import field

from purekernel.analysis.components import Component
from purekernel.analysis.diff.model import Comparison
from purekernel.analysis.findings import Finding
from purekernel.analysis.origins import Origins
from purekernel.encode.encoders import Effort
from purekernel.errors import BundleError
from purekernel.formats.boot_losses import BootLoss, refuse_losses
from purekernel.formats.iso import IsoBoot, VolumeFields, write_iso
from purekernel.host.write import Output
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.recipe.disk import DiskChoice
from purekernel.recipe.flavour import Emit, Flavour, Generation, InitrdLayout
from purekernel.recipe.oci import OciChoice, RootfsChoice
from purekernel.records import frozen
from purekernel.remaster.boot.efi import EfiFiles
from purekernel.tree import Buffer, Tree


@frozen(kw_only=True, eq=False)
class OutputChanges:
    """What changed between an output and the file that it replaced.

    Attributes:
        path: the path of the output.
        comparison: what changed; ``None`` if it could not be compared.
        reason: why it, or a part of it, could not be compared; empty if all was.
    """

    path: Path
    comparison: Comparison | None = field(default=None, repr=False)
    reason: str = ""


@frozen(kw_only=True)
class Image:
    """A finished image, in memory.

    Attributes:
        name: name of its files, without extension: ``rz_mk_dev-image.0.9.0.1``.
        version: version of the image; ``None`` if it has none.
        flavour: flavour of the image; ``None`` if the recipe gives none.
        generation: the generation of Razor's conventions; ``None`` for a plain Core.
        root: the root file system.
        core: the first initrd that the build made: the root file system as a compressed cpio
            archive, unless the base has several initrds or ``layout`` gives a second.
        cpio_bytes: size of the archives that the build made, before compression.
        unpacked_modules_bytes: additional memory that unpacked kernel modules use once booted; 0
            if they are not unpacked.
        unpacked_modules_saved_bytes: reduction of the core's size by unpacked modules, measured on
            the modules alone; negative if the core is larger, 0 if they are not unpacked.
        core_path: path of the core on the ISO.
        initrds: path on the ISO and content of each initrd, in order.
        layout: how the root file system is distributed over them.
        kernel: content of the kernel.
        kernel_path: path of the kernel on the ISO.
        iso: the tree of the ISO.
        boot: how the ISO boots; ``None`` if the base has no boot loader.
        kernel_words: words for the kernel's command line, if there is no boot menu to hold them.
        volume: the ISO's volume descriptor fields.
        timestamp: the newest time in it, in seconds since 1970, UTC.
        kinds: the kinds of files that the image was made for.
        notes: notes for the user: about the inputs, and what was left out and why, one line each.
        tce: the content of the folder of extensions for a writable partition; ``None`` without
            any.
        findings: what the build added to the image that will not run, the worst first.
        components: what it was made of, in order.
        origins: where each file of ``root``, ``iso`` and ``tce`` comes from.
        iso_losses: losses that make writing an ISO an error. Empty if ``kinds`` has an ISO.
        effort: the effort of compression.
        rootfs: how the root file system is written as an archive.
        oci: how it is written as a container image.
        efi: what boots the image by UEFI, if the recipe asks for it.
        disk: options for the disk image.
        limits: limits on what is read again to write an output.
        files: the files that were written.
        checksums: the file with their checksums; ``None`` if none were written.
        changes: what changed against each file that was replaced, if ``Outputs.changes`` asks for
            it.
    """

    name: str
    version: str | None
    flavour: Flavour | None
    generation: Generation | None
    root: Tree
    core: bytes = field(repr=False)
    cpio_bytes: int
    unpacked_modules_bytes: int
    unpacked_modules_saved_bytes: int
    core_path: bytes
    initrds: tuple[tuple[bytes, Buffer], ...] = field(repr=False)
    layout: InitrdLayout = InitrdLayout.AS_BASE
    kernel: Buffer = field(repr=False)
    kernel_path: bytes
    iso: Tree
    boot: IsoBoot | None
    kernel_words: tuple[bytes, ...] = ()
    volume: VolumeFields
    timestamp: int
    kinds: tuple[Emit, ...] = (Emit.ISO,)
    notes: tuple[str, ...] = ()
    tce: Tree | None = None
    findings: tuple[Finding, ...] = ()
    components: tuple[Component, ...] = field(default=(), repr=False)
    origins: Origins = field(default=Origins(), repr=False)
    iso_losses: tuple[BootLoss, ...] = ()
    effort: Effort = Effort.BALANCED
    rootfs: RootfsChoice = field(factory=RootfsChoice, repr=False)
    oci: OciChoice = field(factory=OciChoice, repr=False)
    efi: EfiFiles | None = None
    disk: DiskChoice = DiskChoice()
    limits: Limits = field(default=DEFAULT_LIMITS, repr=False)
    files: tuple[Output, ...] = ()
    checksums: Path | None = None
    changes: tuple[OutputChanges, ...] = field(default=(), repr=False)

    def write_iso(self, stream: BinaryIO) -> None:
        """Write the ISO to a file that is open for reading and writing in binary mode.

        Raises:
            BootLossError: the image was made for other outputs, and an ISO would lose one of the
                base's boot methods.
            CombinedError: it would lose several.
            BundleError: the base has no boot loader.
            UnrepresentableError: ISO 9660 cannot represent an entry of the image.
        """
        refuse_losses(self.iso_losses, source=self.name)
        if self.boot is None:
            raise no_boot_loader(self.name)
        iso = self._iso_files()
        write_iso(iso, stream, fields=self.volume, boot=self.boot, timestamp=self.timestamp)

    @property
    def has_bios_loader(self) -> bool:
        """Whether the ISO has a boot loader for BIOS, whose menu names kernel and initrds."""
        return self.boot is not None and bool(self.boot.boot_image)

    def _iso_files(self) -> Tree:
        """Return the files of the ISO, without kernel and initrds if no boot loader reads them."""
        if self.efi is None or self.efi.reads_iso or self.has_bios_loader:
            return self.iso
        iso = self.iso.copy()
        for path in (self.kernel_path, *(path for path, _content in self.initrds)):
            iso.remove(path)
        return iso

    def iso_bytes(self) -> bytes:
        """Return the ISO as bytes.

        Raises:
            PurekernelError: as for :meth:`write_iso`.
        """
        stream = BytesIO()
        self.write_iso(stream)
        return stream.getvalue()


def no_boot_loader(source: str, place: str = "") -> BundleError:
    """Return the error for an ISO of a base without a boot loader."""
    return BundleError(
        f"{source}: the base is a kernel and initrds, which have no boot loader for an ISO",
        hint="write other outputs, such as --emit core,pxe; or start from an ISO",
    ).within(place)
