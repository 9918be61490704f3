"""Check the boot loaders of UEFI that a recipe names, and what they need.

Source: UEFI Specification 2.10, 3.5.1.1; systemd-stub(7); the Syslinux Project's page on UEFI; the
kernel's Documentation/arch/x86/boot.rst and Documentation/admin-guide/efi-stub.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import evolve, field

from purekernel.errors import FormatError, PurekernelError, UsageError, inside, raise_all
from purekernel.formats.efi_loader import (
    BOOT_FOLDER,
    EfiLoader,
    LoaderKind,
    find_grub_menu,
    parse_loader,
)
from purekernel.formats.pe import Machine, PeImage, parse_pe
from purekernel.input import Input
from purekernel.recipe.efi import EFI_ROLE, LOADER, LOADER_IA32, STUB, EfiChoice, EfiSource
from purekernel.records import frozen
from purekernel.tree import Buffer
from purekernel.tree.path import join

# What SYSLINUX and shim load from their own folder, by processor.
_SYSLINUX_CORES = {Machine.X64: b"ldlinux.e64", Machine.IA32: b"ldlinux.e32"}
_SECOND_STAGES = {
    Machine.X64: b"grubx64.efi",
    Machine.IA32: b"grubia32.efi",
    Machine.AA64: b"grubaa64.efi",
}

_GIVE_KIND = 'add kind under [boot.efi]: "grub", "systemd-boot", "syslinux", or "other"'
_GIVE_STUB = "use unified = true with a stub, such as linuxx64.efi.stub of systemd-boot-efi.deb"
_GIVE_LOADER = "give a boot loader for UEFI, such as grubx64.efi, or its address in an archive"


@frozen(kw_only=True)
class EfiBoot:
    """What boots an image by UEFI, checked.

    Attributes:
        programs: the program for each processor that firmware starts.
        loaders: the programs that need a menu: these, or the second stage of shim.
        stub: the stub for a unified kernel image; ``None`` for none.
        kernel: the kernel with an EFI stub, if a loader needs that.
        files: further files, by path.
        notes: notes for the user, one line each.
    """

    programs: Mapping[Machine, EfiLoader]
    loaders: tuple[EfiLoader, ...]
    stub: EfiLoader | None = None
    kernel: PeImage | None = None
    files: Mapping[bytes, Buffer] = field(factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def is_self_contained(self) -> bool:
        """Whether nothing is loaded from the ISO."""
        return not any(each.kind is LoaderKind.GRUB for each in self.loaders)

    @property
    def needs_kernel(self) -> bool:
        """Whether a loader needs kernel and initrds in the partition, as files."""
        return any(
            each.kind is not LoaderKind.GRUB
            and not (self.stub is not None and each.kind is LoaderKind.SYSTEMD_BOOT)
            for each in self.loaders
        )


def check_efi(
    choice: EfiChoice, sources: Sequence[tuple[EfiSource, Input]], kernel: Input
) -> EfiBoot:
    """Return what boots an image by UEFI.

    Args:
        choice: the recipe's choice.
        sources: the files for the partition.
        kernel: the kernel of the image.

    Raises:
        FormatError: a loader is no PE file, or is damaged.
        UsageError: a loader cannot boot the kernel, or lacks a file.
        CombinedError: there are several such errors.
    """
    return _Checker(choice, sources, kernel).check()


class _Checker:
    def __init__(
        self, choice: EfiChoice, sources: Sequence[tuple[EfiSource, Input]], kernel: Input
    ) -> None:
        self._choice = choice
        self._kernel = kernel
        self._by_role = {source.role: (source, file) for source, file in sources}
        self._files = {
            source.path.encode(): (source, file) for source, file in sources if source.path
        }
        self._folded = {path.lower(): each for path, each in self._files.items()}
        self._errors: list[PurekernelError] = []
        self._programs: dict[Machine, EfiLoader] = {}
        self._notes: list[str] = []

    def check(self) -> EfiBoot:
        found: list[tuple[EfiSource, EfiLoader]] = []
        for name in (LOADER, LOADER_IA32):
            source, file = self._by_role.get(f"{EFI_ROLE}{name}", (None, None))
            if source is None or file is None:
                continue
            loader = self._loader(source, file)
            if loader is None:
                continue
            if loader.machine in self._programs:
                self._refuse(
                    source,
                    f"{file.name} is for {loader.machine.title}, which has a boot loader already",
                    "give one for another processor",
                )
                continue
            self._programs[loader.machine] = loader
            found += self._menu_loaders(source, loader)
        for source, loader in found:
            self._check_loader(source, loader)
        stub = self._stub()
        kernel: PeImage | None = None
        if stub is not None or any(
            loader.kind is LoaderKind.SYSTEMD_BOOT for _source, loader in found
        ):
            kernel = self._kernel_with_stub(stub, found)
        raise_all(self._errors)
        if stub is not None and not self._programs:
            self._programs[stub.machine] = stub
        self._note_signatures(found)
        if any(loader.kind is LoaderKind.SYSLINUX for _source, loader in found):
            self._notes.append(
                "SYSLINUX for UEFI does not start from a CD, only from a disk or USB stick"
            )
        return EfiBoot(
            programs=self._programs,
            loaders=tuple(loader for _source, loader in found),
            stub=stub,
            kernel=kernel,
            files={path: file.data for path, (_source, file) in self._files.items()},
            notes=tuple(self._notes),
        )

    def _refuse(self, source: EfiSource, message: str, hint: str) -> None:
        self._errors.append(UsageError(message, hint=hint).within(source.place))

    def _loader(self, source: EfiSource, file: Input) -> EfiLoader | None:
        """Return the boot loader in a file; ``None`` after an error."""
        try:
            with inside(source.place):
                loader = parse_loader(file)
        except PurekernelError as error:
            self._errors.append(_with_loader_hint(error))
            return None
        if self._choice.kind is not None and source.path == "":
            loader = evolve(loader, kind=self._choice.kind)
        if loader.is_kernel:
            self._refuse(
                source,
                f"{file.name} is a kernel: firmware gives it no command line, so it finds no "
                "initrd",
                _GIVE_STUB,
            )
        elif loader.is_stub:
            self._refuse(
                source,
                f"{file.name} is the stub of a unified kernel image, without a kernel",
                "use unified = true, and give the file as stub",
            )
        elif loader.kind is LoaderKind.UNIFIED:
            self._refuse(
                source,
                f"{file.name} is a unified kernel image, whose kernel and initrd are not those of "
                "this image",
                'use unified = true, with a stub; or kind = "other" to start this file',
            )
        elif loader.kind is None:
            self._refuse(source, f"{file.name}: which boot loader it is cannot be told", _GIVE_KIND)
        else:
            return loader
        return None

    def _menu_loaders(
        self, source: EfiSource, loader: EfiLoader
    ) -> Iterator[tuple[EfiSource, EfiLoader]]:
        """Yield the loader that reads a menu: ``loader``, or the second stage of shim."""
        if loader.kind is not LoaderKind.SHIM:
            yield source, loader
            return
        stage = _SECOND_STAGES.get(loader.machine)
        found = None if stage is None else self._folded.get(join(BOOT_FOLDER, stage).lower())
        if found is None:
            name = (stage or b"its second stage").decode()
            self._refuse(
                source,
                f"shim starts {name} from its own folder, and there is none",
                f'add [[boot.efi.file]] with path = "EFI/BOOT/{name}"',
            )
            return
        second = self._loader(*found)
        if second is not None and second.machine is not loader.machine:
            self._refuse(
                found[0],
                f"{found[1].name} is for {second.machine.title}, and shim for "
                f"{loader.machine.title}",
                "give the file for the same processor",
            )
        elif second is not None:
            yield found[0], second

    def _check_loader(self, source: EfiSource, loader: EfiLoader) -> None:
        """Refuse a loader that lacks a file, or that cannot boot a kernel for x86."""
        name, kind = loader.image.file.name, loader.kind
        if kind is LoaderKind.OTHER:
            return
        if loader.machine not in (Machine.X64, Machine.IA32):
            self._refuse(
                source,
                f"{name} is for {loader.machine.title}, and the kernel for x86",
                "give the boot loader for x64 or ia32",
            )
        elif kind is LoaderKind.SYSLINUX:
            core = _SYSLINUX_CORES[loader.machine]
            if join(BOOT_FOLDER, core).lower() not in self._folded:
                self._refuse(
                    source,
                    f"SYSLINUX starts {core.decode()} from its own folder, and there is none",
                    f'add [[boot.efi.file]] with path = "EFI/BOOT/{core.decode()}", such as of '
                    "syslinux-common.deb",
                )
        elif kind is LoaderKind.GRUB and find_grub_menu(loader) is None:
            self._refuse(
                source,
                f"{name} has its menu inside, and reads no file",
                "use an image of GRUB that reads a grub.cfg, such as of grub-efi-amd64-bin.deb",
            )

    def _stub(self) -> EfiLoader | None:
        """Return the stub for a unified kernel image."""
        source, file = self._by_role.get(f"{EFI_ROLE}{STUB}", (None, None))
        if source is None or file is None:
            return None
        try:
            with inside(source.place):
                stub = parse_loader(file)
        except PurekernelError as error:
            self._errors.append(_with_loader_hint(error))
            return None
        if not stub.is_stub:
            self._refuse(
                source,
                f"{file.name} is not the stub of systemd for unified kernel images",
                "give linuxx64.efi.stub or linuxia32.efi.stub, such as of systemd-boot-efi.deb",
            )
            return None
        if stub.image.is_signed:
            self._refuse(
                source,
                f"{file.name} is signed, and a unified kernel image would change it",
                "give the unsigned stub, and sign the image that is made",
            )
            return None
        return stub

    def _kernel_with_stub(
        self, stub: EfiLoader | None, found: Iterable[tuple[EfiSource, EfiLoader]]
    ) -> PeImage | None:
        """Return the kernel; refuse one that firmware cannot start for those that need it."""
        needing = [(source, each) for source, each in found if each.kind is LoaderKind.SYSTEMD_BOOT]
        if stub is not None:
            needing.append((self._by_role[f"{EFI_ROLE}{STUB}"][0], stub))
        try:
            kernel = parse_pe(self._kernel)
        except FormatError:
            for source, loader in needing:
                what = "a unified kernel image" if loader is stub else "systemd-boot"
                self._refuse(
                    source,
                    f"{self._kernel.name} has no EFI stub, which {what} needs (Linux 3.3 and later "
                    "have one, if built with CONFIG_EFI_STUB)",
                    "use GRUB as the boot loader, which needs none, or another kernel",
                )
            return None
        for source, loader in needing:
            if kernel.machine is not loader.machine:
                title = "another processor" if kernel.machine is None else kernel.machine.title
                self._refuse(
                    source,
                    f"{loader.image.file.name} is for {loader.machine.title}, and cannot start "
                    f"{self._kernel.name}, a kernel for {title}",
                    "use the file for the kernel's processor, or GRUB as the boot loader",
                )
        return kernel

    def _note_signatures(self, found: Iterable[tuple[EfiSource, EfiLoader]]) -> None:
        """Note what Secure Boot will refuse, where the user seems to want it."""
        if not any(each.kind is LoaderKind.SHIM for each in self._programs.values()):
            return
        unsigned = [
            each.image.file.name
            for each in (*self._programs.values(), *(loader for _source, loader in found))
            if not each.image.is_signed
        ]
        try:
            if not parse_pe(self._kernel).is_signed:
                unsigned.append(f"the kernel {self._kernel.name}")
        except FormatError:
            unsigned.append(f"the kernel {self._kernel.name}")
        if unsigned:
            names = ", ".join(dict.fromkeys(unsigned))
            self._notes.append(
                f"with Secure Boot, shim refuses what is not signed by a key that it knows: {names}"
            )


def _with_loader_hint(error: PurekernelError) -> PurekernelError:
    if type(error) is FormatError:
        error.hint = _GIVE_LOADER
    return error
