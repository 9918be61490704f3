"""Describe the tables of a recipe that make an image boot by UEFI."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import evolve, field

from purekernel.errors import PurekernelError, RecipeError
from purekernel.formats.efi_loader import LoaderKind
from purekernel.recipe.keys import Placed, key, show_place
from purekernel.recipe.kinds import EXAMPLE_SHA256, FLAG, PLACE, SHA256, Choice, Text, Whole
from purekernel.records import frozen

# The start of a place in the base ISO; ./base is a file of that name.
BASE_PART = "base"

# A part of the base, or of an extension or package whose name is a name on a mirror.
_PART = re.compile(rf"(?:({BASE_PART})|([^/\\:=]+(?::[a-z0-9-]+)?(?:=[^/\\]+)?\.(?:tcz|deb))):(.+)")

# The start of the roles among the files of a plan.
EFI_ROLE = "boot.efi "
LOADER, LOADER_IA32, STUB, FILE = "loader", "loader-ia32", "stub", "file"

# The first partition of a disk image; FAT32 has up to 2 TiB, and no image needs more than this.
MAX_SIZE_MIB = 1 << 16

EFI_PLACE = evolve(
    PLACE,
    words='a path, a URL, "base:PATH", "NAME.tcz:PATH" or "NAME.deb:PATH"',
    definition="efi-place",
    is_part=lambda value: _PART.fullmatch(value) is not None,
)


@frozen(kw_only=True)
class EfiSource:
    """A file of the EFI system partition, and where it comes from.

    Attributes:
        role: its role among the files of a plan: ``boot.efi loader``.
        text: the place, as the recipe gives it.
        sha256: the expected SHA-256 of the file to fetch.
        place: where ``text`` is given, for messages.
        sha256_place: where ``sha256`` is given.
        path: its path in the partition; ``""`` for a loader, whose processor decides, and for a
            stub.
    """

    role: str
    text: str
    sha256: str | None = None
    place: str = ""
    sha256_place: str = ""
    path: str = ""

    @property
    def part(self) -> tuple[str, str] | None:
        """Name and inner path of a part of the base, an extension or a package; else ``None``."""
        match = _PART.fullmatch(self.text)
        return (match[1] or match[2], match[3]) if match else None


def _place_key(title: str, description: str, example: str) -> dict[str, object]:
    return dict(key(title, description, EFI_PLACE, example))


def _sha256_key(what: str) -> dict[str, object]:
    words = f"SHA-256 of the {what}"
    note = f"Expected SHA-256 of the file that has the {what}."
    return dict(key(words, note, SHA256, EXAMPLE_SHA256))


@frozen(kw_only=True)
class EfiFile(Placed):
    """A further file of the EFI system partition."""

    path: str = field(
        metadata=key(
            "Path",
            "Path of the file in the EFI system partition, without a leading slash.",
            Text(
                pattern=r'^(?!/)(?!(.*/)?\.{0,2}(/|$))[^\u0000-\u001f\u007f"*:<>?\\|]+$',
                max_length=255,
                words="a path on FAT, without a leading slash, '.', '..' or \" * : < > ? \\ |",
                definition="efi-path",
            ),
            "EFI/BOOT/grubx64.efi",
        )
    )
    source: str = field(
        repr=show_place,
        metadata=_place_key(
            "Source",
            "The file: as loader under [boot.efi].",
            "grub-efi-amd64-signed.deb:usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
        ),
    )
    sha256: str | None = field(default=None, metadata=_sha256_key("file"))


@frozen(kw_only=True)
class EfiChoice(Placed):
    """How the image boots by UEFI.

    Attributes:
        files: further files of the EFI system partition.
    """

    loader: str | None = field(
        default=None,
        repr=show_place,
        metadata=_place_key(
            "Boot loader",
            "The boot loader, which is told by its content: GRUB, systemd-boot, SYSLINUX, or shim "
            "with a second stage as a further file. A path or URL; a file of the base ISO, "
            '"base:PATH"; of an extension of the mirrors, "NAME.tcz:PATH"; or of a Debian package, '
            '"NAME.deb:PATH".',
            "grub-efi-amd64-bin.deb:usr/lib/grub/x86_64-efi/monolithic/grubx64.efi",
        ),
    )
    loader_sha256: str | None = field(default=None, metadata=_sha256_key("boot loader"))
    loader_ia32: str | None = field(
        default=None,
        repr=show_place,
        metadata=_place_key(
            "Second boot loader",
            "A second boot loader, for firmware of 32 bits (ia32).",
            "grub-efi-ia32-bin.deb:usr/lib/grub/i386-efi/monolithic/grubia32.efi",
        ),
    )
    loader_ia32_sha256: str | None = field(default=None, metadata=_sha256_key("second boot loader"))
    kind: LoaderKind | None = field(
        default=None,
        metadata=key(
            "Kind of the boot loader",
            "What the boot loader is, if its content does not tell. It decides the menu that is "
            'written for it; "other" gets none.',
            Choice.of(LoaderKind),
            "grub",
        ),
    )
    unified: bool = field(
        default=False,
        metadata=key(
            "Unified kernel image",
            "Whether to make a unified kernel image of the default entry: kernel, initrds and "
            "command line in one program. Firmware starts it, or systemd-boot if that is the "
            "loader. Needs stub, and a kernel with an EFI stub.",
            FLAG,
            True,
        ),
    )
    stub: str | None = field(
        default=None,
        repr=show_place,
        metadata=_place_key(
            "Stub",
            "The stub of systemd that a unified kernel image begins with: a place as for loader.",
            "systemd-boot-efi.deb:usr/lib/systemd/boot/efi/linuxx64.efi.stub",
        ),
    )
    stub_sha256: str | None = field(default=None, metadata=_sha256_key("stub"))
    size: int | None = field(
        default=None,
        metadata=key(
            "Size",
            "Size of the EFI system image, in MiB. If not given, as large as its files need.",
            Whole(
                minimum=1,
                maximum=MAX_SIZE_MIB,
                words=f"a whole number of MiB, from 1 to {MAX_SIZE_MIB}",
            ),
            64,
        ),
    )

    @property
    def is_given(self) -> bool:
        """Whether the image is to get files to boot by UEFI."""
        return self.loader is not None or self.stub is not None

    def sources(self, files: tuple[EfiFile, ...]) -> Iterator[EfiSource]:
        """Yield the files that are wanted.

        Args:
            files: the further files.
        """
        for name, attribute in ((LOADER, "loader"), (LOADER_IA32, "loader_ia32"), (STUB, "stub")):
            text = getattr(self, attribute)
            if text is not None:
                yield EfiSource(
                    role=f"{EFI_ROLE}{name}",
                    text=text,
                    sha256=getattr(self, f"{attribute}_sha256"),
                    place=self.place(attribute),
                    sha256_place=self.place(f"{attribute}_sha256"),
                )
        for file in files:
            yield EfiSource(
                role=f"{EFI_ROLE}{FILE} {file.path}",
                text=file.source,
                sha256=file.sha256,
                place=file.place("source"),
                sha256_place=file.place("sha256"),
                path=file.path,
            )


def find_efi_faults(efi: EfiChoice, files: tuple[EfiFile, ...]) -> Iterator[PurekernelError]:
    """Yield an error for each thing in the tables that contradicts another."""
    if efi.unified and efi.stub is None:
        yield RecipeError(
            "a unified kernel image needs a stub, which is not given",
            hint="add stub, such as "
            '"systemd-boot-efi.deb:usr/lib/systemd/boot/efi/linuxx64.efi.stub"',
        ).within(efi.place("unified"))
    if efi.stub is not None and not efi.unified:
        yield RecipeError(
            "a stub is for a unified kernel image, which is not asked for",
            hint="add unified = true, or leave out stub",
        ).within(efi.place("stub"))
    if not (efi.is_given or efi.unified) and (files or efi.places):
        first = efi.place() or files[0].place()
        yield RecipeError(
            "files to boot by UEFI are given, and no boot loader",
            hint="add loader under [boot.efi], or unified and stub",
        ).within(first)
    if efi.loader_ia32 is not None and efi.loader is None:
        yield RecipeError(
            "a second boot loader is given, and no first", hint="use the key loader"
        ).within(efi.place("loader_ia32"))
    first_places: dict[str, EfiFile] = {}
    for file in files:
        # FAT ignores the case of names.
        known = first_places.setdefault(file.path.casefold(), file)
        if known is not file:
            yield RecipeError(
                f"{file.path!r} has a content already, in {known.place('path')}",
                hint="keep one of the two",
            ).within(file.place("path"))
    for source in efi.sources(files):
        if source.part and source.part[0] == BASE_PART and source.sha256 is not None:
            yield RecipeError(
                "a file of the base has the digest of the base, iso-sha256 under [core]",
                hint="leave it out here",
            ).within(source.sha256_place)
