"""Describe the table of a recipe for disk images."""

from __future__ import annotations

from enum import Enum
from typing import Self

from attrs import evolve, field

from purekernel.recipe.flavour import DISK_ENDINGS, DiskFormat
from purekernel.recipe.keys import Placed, key
from purekernel.recipe.kinds import SIZE, Choice, Text
from purekernel.records import frozen

DEFAULT_FREE_BYTES = 64 << 20
DEFAULT_LABEL = "PUREKERNEL"


class DiskTable(Enum):
    """Kinds of partition tables."""

    GPT = "gpt"
    MBR = "mbr"


@frozen(kw_only=True)
class DiskChoice(Placed):
    """Options for the disk image; sizes in bytes."""

    format: DiskFormat | None = field(
        default=None,
        metadata=key(
            "Format",
            '"raw": the bytes of the disk, as NAME.img, to write to a USB stick or a disk; '
            '"qcow2": an image for QEMU and other virtual machines, as NAME.qcow2.',
            Choice.of(DiskFormat),
            "qcow2",
            default="raw",
        ),
    )
    table: DiskTable | None = field(
        default=None,
        metadata=key(
            "Partition table",
            'The partition table. If not given, "gpt" if the image boots by UEFI, or is larger '
            'than 2 TiB, and otherwise "mbr", which old kernels read too.',
            Choice.of(DiskTable),
            "gpt",
        ),
    )
    size: int | None = field(
        default=None,
        metadata=key(
            "Size",
            "Size of the disk. If not given, what the files and the free space need.",
            SIZE,
            "1G",
        ),
    )
    free: int | None = field(
        default=None,
        metadata=key(
            "Free space",
            "Space that must be left for more files, such as extensions and a backup. If not "
            "given, 64M, or with a size, what the files leave.",
            SIZE,
            "256M",
        ),
    )
    label: str | None = field(
        default=None,
        metadata=key(
            "Label",
            "Label of the file system.",
            Text(
                pattern="^[0-9A-Z_-]{1,11}$",
                words="capital letters, digits, _ and -, at most 11",
            ),
            "MYCORE",
            default=DEFAULT_LABEL,
        ),
    )

    @property
    def file_ending(self) -> str:
        """The ending of the file's name."""
        return DISK_ENDINGS[self.format or DiskFormat.RAW]

    def for_name(self, name: str) -> Self:
        """Return the options for a file that a user names: its ending decides the format."""
        is_qcow2 = name.lower().endswith(DISK_ENDINGS[DiskFormat.QCOW2])
        return evolve(self, format=DiskFormat.QCOW2 if is_qcow2 else DiskFormat.RAW)
