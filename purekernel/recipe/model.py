"""Describe what a recipe can say, and define the values that it is read into.

The fields with a ``key`` or ``table`` are the one description of ``purekernel.toml``; see
:mod:`purekernel.recipe.keys`. To add a key, add a field. The description of a key is the
documentation of its attribute.

Code that creates these values (from ``purekernel.toml``, the command line or the
``MK_BUNDLE_…`` settings of the original scripts) has already validated them, and code that reads
them does not validate them again. ``None`` and empty mean "not given"; the code that uses a
value applies its default.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from attrs import field

from purekernel.errors import PurekernelError, UsageError
from purekernel.recipe.accounts import Account
from purekernel.recipe.additions import (
    Checksum,
    Cut,
    DebianChoice,
    Extensions,
    Gems,
    Need,
    OverlayChoice,
)
from purekernel.recipe.base import CoreChoice, DownloadChoice, Mirrors
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.changes import (
    OPERATIONS,
    AttributeChange,
    EditChange,
    FileChange,
    LinkChange,
    Removal,
)
from purekernel.recipe.disk import DiskChoice
from purekernel.recipe.efi import EfiChoice, EfiFile
from purekernel.recipe.findings import FindingChoice
from purekernel.recipe.flavour import EMITS, Flavour
from purekernel.recipe.iso_files import IsoChoice, IsoFile
from purekernel.recipe.keys import Placed, key, table
from purekernel.recipe.kinds import (
    CHECKED_FILE,
    FLAG,
    IMAGE_NAME,
    PATH,
    Array,
    Choice,
    Text,
    Whole,
    once,
)
from purekernel.recipe.oci import OciChoice, RootfsChoice
from purekernel.recipe.razor import Razor
from purekernel.recipe.system import GROUP_NAME, LOGIN_NAME, Group, SystemChoice
from purekernel.records import frozen
from purekernel.tree import Pass


@frozen(kw_only=True)
class OutputChoice(Placed):
    """The files to write, and where; paths are relative to the recipe's folder."""

    folder: str | None = field(
        default=None, metadata=key("Folder", "Folder for the output files.", PATH, "out")
    )
    file: str | None = field(
        default=None,
        metadata=key(
            "File",
            "File for the one output, in place of a folder. Its name must have an ending of that "
            "output, such as .iso.",
            PATH,
            "out/core.iso",
        ),
    )
    emit: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Outputs",
            '"iso": the ISO; "core": the initrds and the kernel; "initrd": the second initrd; '
            '"pxe": a folder for a TFTP or HTTP server; "tce": the extensions for a partition, as '
            'a tar archive; "rootfs": the root file system, as a tar archive; "oci": a container '
            'image; "disk": a disk that boots; "sbom": the bill of materials; '
            '"provenance": how the other files were made. If not given, the ISO, or for a base '
            "without a boot loader, the initrds and the kernel; and the extensions for a partition "
            "if there are any.",
            Array(item=Choice(choices=EMITS), min_items=1, convert=once),
            ["iso", "pxe"],
        ),
    )
    embed: bool = field(
        default=False,
        metadata=key(
            "Embed",
            "Whether the ISO or disk carries its recipe, its lock file and the digests of local "
            "inputs in boot/purekernel/, so that 'purekernel rebuild' can build it again. It never "
            "carries passwords or paths of this computer.",
            FLAG,
            True,
        ),
    )


# The last second that fits in cpio's eight hexadecimal digits, in 2106. ISO 9660's calendar ends
# later, in 2155.
MAX_TIMESTAMP = 0xFFFFFFFF


def _passes(passes: Iterable[tuple[str, Pass]]) -> tuple[tuple[str, Pass], ...]:
    return tuple(passes)


def _overlays(overlays: Iterable[OverlayChoice]) -> tuple[OverlayChoice, ...]:
    return tuple(overlays)


def is_timestamp(_record: object, _attribute: object, timestamp: int | None) -> None:
    """Validate an attribute: ``None``, or a time that every output can represent.

    Raises:
        UsageError: the time is out of range.
    """
    if timestamp is not None and not 0 <= timestamp <= MAX_TIMESTAMP:
        raise UsageError(
            f"the timestamp is out of range: must be from 0 to {MAX_TIMESTAMP}, got {timestamp}",
            hint="give seconds since 1970, UTC; the last is in the year 2106",
        )


@frozen(kw_only=True)
class Recipe(Placed):
    """All that a user specifies for an image.

    Attributes:
        source: source of the recipe, for messages: ``purekernel.toml`` or ``the command line``.
        folder: folder that relative paths are relative to.
        path: path of the recipe's file; ``None`` without a file.
        passes: changes to the complete root file system, in order, each with a description for the
            user and a function from tree to tree. A pass must not change its argument.
        faults: errors in lines of the recipe's lists, to be raised together with other errors.
        warnings: warnings about the recipe and the settings, one line each.

    Raises:
        UsageError: the timestamp is out of range.
    """

    source: str = "the recipe"
    folder: Path = field(factory=Path)
    path: Path | None = None
    passes: tuple[tuple[str, Pass], ...] = field(default=(), repr=False, converter=_passes)
    extends: tuple[str, ...] = field(
        default=(),
        eq=False,
        metadata=key(
            "Files to extend",
            "Recipes whose keys this one inherits. A path; or a table with a path and its sha256, "
            "which a file outside the folder of the recipe must have.",
            Array(item=CHECKED_FILE),
            ["base.toml"],
        ),
    )
    discard: tuple[str, ...] = field(
        default=(),
        eq=False,
        metadata=key(
            "Inherited keys to discard",
            "Keys and tables whose inherited values are discarded before those of this file are "
            "joined, such as an array that would be continued otherwise.",
            Array(
                item=Text(
                    pattern=r"^[0-9A-Za-z_-]{1,64}(\.[0-9A-Za-z_-]{1,64}){0,7}$",
                    words='a key or table, such as "mirrors.tinycore" or "overlay"',
                )
            ),
            ["mirrors.tinycore"],
        ),
    )
    name: str | None = field(
        default=None,
        metadata=key("Name", "Prefix of the names of the output files.", IMAGE_NAME, "my-core"),
    )
    version: str | None = field(
        default=None,
        metadata=key(
            "Version",
            "Version of the image. It appears in the names of the output files and inside the "
            "image.",
            IMAGE_NAME,
            "1.0",
        ),
    )
    flavour: Flavour | None = field(
        default=None,
        metadata=key(
            "Flavour",
            'Use of the image: "dev" allows login, "prod" allows no login, "debug" logs in on the '
            "console automatically. If not given, accounts and console stay as in Core; with "
            '[razor], the default is "dev".',
            Choice.of(Flavour),
            "dev",
        ),
    )
    timestamp: int | None = field(
        default=None,
        validator=is_timestamp,
        metadata=key(
            "Timestamp",
            "Time of the output files, in seconds since 1970, UTC. No file in the image has a "
            "newer time. If not given, the newest time of the inputs.",
            Whole(
                minimum=0,
                maximum=MAX_TIMESTAMP,
                words=f"a whole number of seconds from 0 to {MAX_TIMESTAMP}",
            ),
            1700000000,
        ),
    )
    drop_boot: bool = field(
        default=False,
        metadata=key(
            "Drop unsupported ways to boot",
            "Whether to drop the base's ways to boot that the output cannot have (unknown code in "
            "an MBR, HFS+, early microcode), and its boot menus that a change does not apply to, "
            "with a warning. Otherwise they are an error.",
            FLAG,
            True,
        ),
    )
    core: CoreChoice = field(
        factory=CoreChoice,
        metadata=table(
            "core",
            "Core",
            "The Tiny Core release that the image starts from.",
            CoreChoice,
            exclusive=("edition", "initrd", "iso"),
        ),
    )
    mirrors: Mirrors = field(
        factory=Mirrors,
        metadata=table(
            "mirrors", "Mirrors", "Sources of downloads: URLs or folders, tried in order.", Mirrors
        ),
    )
    extensions: Extensions = field(
        factory=Extensions,
        metadata=table(
            "extensions",
            "Extensions",
            "Extensions of the image. A name without a suffix means .tcz. A name that ends in .deb "
            "is a Debian package, which is converted to an extension. KERNEL in a name stands for "
            "the kernel release. A list is a file with one name per line; its names come before "
            "the names given here.",
            Extensions,
            exclusive=("copy2fs", "copy2fs-all"),
        ),
    )
    cuts: tuple[Cut, ...] = field(
        default=(),
        metadata=table(
            "cut",
            "Cuts",
            "Files to copy into the image from an extension that is not itself in the image. The "
            "table can be repeated.",
            Cut,
            repeated=True,
            item_title="Cut",
            any_of=("files", "list"),
        ),
    )
    needs: tuple[Need, ...] = field(
        default=(),
        metadata=table(
            "need",
            "Substitutes for packages",
            "Substitutes for Debian packages that other packages depend on. The table can be "
            "repeated.",
            Need,
            repeated=True,
            item_title="Substitute",
        ),
    )
    checksums: tuple[Checksum, ...] = field(
        default=(),
        metadata=table(
            "checksum",
            "Checksums",
            "The expected SHA-256 of extensions, Debian packages and gems. For other files, a key "
            "beside their URL has it. The table can be repeated.",
            Checksum,
            repeated=True,
            item_title="Checksum",
        ),
    )
    debian: DebianChoice = field(
        factory=DebianChoice,
        metadata=table(
            "debian",
            "Debian packages",
            "Options for converting Debian packages, which are listed as NAME.deb among the "
            "extensions.",
            DebianChoice,
        ),
    )
    gems: Gems = field(
        factory=Gems,
        metadata=table(
            "gems", "Gems", "Ruby gems of the image. Their runtime dependencies are included.", Gems
        ),
    )
    overlays: tuple[OverlayChoice, ...] = field(
        default=(),
        converter=_overlays,
        metadata=table(
            "overlay",
            "Overlays",
            "Folders and archives to copy over the root file system, in this order; later files "
            "replace earlier ones. The table can be repeated.",
            OverlayChoice,
            repeated=True,
            item_title="Overlay",
            one_of=("path", "url"),
        ),
    )
    accounts: tuple[Account, ...] = field(
        default=(),
        metadata=table(
            "accounts",
            "Accounts",
            "User accounts to change or add, each in its own table, such as [accounts.tc]. Only "
            "one form of password can be given.",
            Account,
            item_title="Account",
            names=LOGIN_NAME,
            example={"tc": {"password-env": "TC_PASSWORD"}},
            exclusive=("locked", "password", "password-env", "password-hash"),
        ),
    )
    groups: tuple[Group, ...] = field(
        default=(),
        metadata=table(
            "groups",
            "Groups",
            "Groups to change or add, each in its own table, such as [groups.backup].",
            Group,
            item_title="Group",
            names=GROUP_NAME,
            example={"backup": {"members": ["tc"]}},
        ),
    )
    system: SystemChoice = field(
        factory=SystemChoice,
        metadata=table(
            "system",
            "System",
            "Name, time zone, network and services of the running system.",
            SystemChoice,
        ),
    )
    removals: tuple[Removal, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "remove",
            "Removals",
            "Paths to remove from the complete root file system, before files are written and "
            "edited. The table can be repeated, as can the next four.",
            Removal,
            repeated=True,
            item_title="Removal",
        ),
    )
    files: tuple[FileChange, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "file",
            "Files",
            "Files to write into the root file system.",
            FileChange,
            repeated=True,
            item_title="Written file",
            one_of=("text", "source"),
        ),
    )
    edits: tuple[EditChange, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "edit",
            "Edits",
            "Changes to the text of files. find and regex need replace.",
            EditChange,
            repeated=True,
            item_title="Edit",
            one_of=OPERATIONS,
            exclusive=("count", "every"),
        ),
    )
    links: tuple[LinkChange, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "link",
            "Links",
            "Symbolic and hard links to add, one by one or for all that a pattern matches.",
            LinkChange,
            repeated=True,
            item_title="Link",
            one_of=("path", "into"),
        ),
    )
    attributes: tuple[AttributeChange, ...] = field(
        default=(),
        converter=tuple,
        metadata=table(
            "attributes",
            "Attributes",
            "Modes and owners of files and folders, set after all other changes.",
            AttributeChange,
            repeated=True,
            item_title="Attributes",
            any_of=("mode", "folder-mode", "owner"),
        ),
    )
    boot: BootChanges = field(
        factory=BootChanges,
        metadata=table(
            "boot", "Boot", "Changes to the boot menu and to the login after booting.", BootChanges
        ),
    )
    autologin: bool | None = field(
        default=None,
        metadata=key(
            "Automatic login",
            "Whether the first console logs in automatically. If not given, it depends on the "
            "flavour.",
            FLAG,
            True,
            table="boot",
        ),
    )
    efi: EfiChoice = field(
        factory=EfiChoice,
        repr=False,
        metadata=table(
            "boot.efi",
            "UEFI",
            "Files to boot by UEFI, for a base that does not, or in place of the base's.",
            EfiChoice,
        ),
    )
    efi_files: tuple[EfiFile, ...] = field(
        default=(),
        repr=False,
        converter=tuple,
        metadata=table(
            "boot.efi.file",
            "Files of the EFI system partition",
            "Further files of the EFI system partition, such as the second stage of shim, or "
            "ldlinux.e64 of SYSLINUX. The table can be repeated.",
            EfiFile,
            repeated=True,
            item_title="File of the EFI system partition",
        ),
    )
    iso: IsoChoice = field(
        factory=IsoChoice, metadata=table("iso", "ISO", "Fields and files of the ISO.", IsoChoice)
    )
    iso_files: tuple[IsoFile, ...] = field(
        default=(),
        metadata=table(
            "iso.file",
            "Files of the ISO",
            "Files to put on the ISO, which replace the base's. A boot menu that replaces "
            "boot/isolinux/isolinux.cfg is the one that changes under [boot] apply to. The table "
            "can be repeated.",
            IsoFile,
            repeated=True,
            item_title="File of the ISO",
            one_of=("source", "text", "url"),
        ),
    )
    rootfs: RootfsChoice = field(
        factory=RootfsChoice,
        repr=False,
        metadata=table(
            "rootfs",
            "Root file system",
            "The archive of the root file system that the output rootfs is.",
            RootfsChoice,
        ),
    )
    disk: DiskChoice = field(
        factory=DiskChoice,
        metadata=table(
            "disk",
            "Disk image",
            "Format, size and label of the disk image that the output disk is.",
            DiskChoice,
        ),
    )
    oci: OciChoice = field(
        factory=OciChoice,
        repr=False,
        metadata=table(
            "oci",
            "Container image",
            "The container image that the output oci is: an OCI image layout.",
            OciChoice,
        ),
    )
    razor: Razor | None = field(
        default=None,
        metadata=table(
            "razor",
            "Razor",
            "The project for an image that follows the conventions of the Razor Microkernel. A "
            "file set to false is left out.",
            Razor,
        ),
    )
    output: OutputChoice = field(
        factory=OutputChoice,
        metadata=table(
            "output",
            "Output",
            "Output files, and where to write them.",
            OutputChoice,
            exclusive=("file", "folder"),
        ),
    )
    findings: FindingChoice = field(
        factory=FindingChoice,
        metadata=table(
            "findings",
            "Findings",
            "What to do with findings: what is added to the image and will not work there, such as "
            "a program whose libraries are missing.",
            FindingChoice,
        ),
    )
    downloads: DownloadChoice = field(
        factory=DownloadChoice,
        metadata=table("downloads", "Downloads", "Options for downloads.", DownloadChoice),
    )
    faults: tuple[PurekernelError, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def file_changes(self) -> tuple[Placed, ...]:
        """The tables that change files of the image, in the order in which they apply."""
        return (*self.removals, *self.files, *self.edits, *self.links, *self.attributes)
