"""An archive in an ISO: the ISO is written again around it."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from purekernel.build.publish import write_whole
from purekernel.errors import UnrepresentableError
from purekernel.formats.iso import IsoImage, build_iso
from purekernel.tree import Buffer, File, newest_time

# What ISO 9660 leaves to systems; boot loaders for disks stand there (ECMA-119, 7.2.1).
SYSTEM_AREA_BYTES = 16 * 2048


@frozen(kw_only=True)
class IsoMember:
    """The place of an archive in an ISO.

    Attributes:
        path: of the ISO on the host.
        data: the ISO.
        image: what it holds.
        member: the archive's path in it.
    """

    path: Path
    data: Buffer = field(repr=False)
    image: IsoImage = field(repr=False)
    member: bytes

    def write(self, content: bytes, output: Path | None) -> None:
        """Write the ISO with other content in the archive's place.

        Raises:
            OutputError: it cannot be written.
            UnrepresentableError: it boots in a way that would be lost.
        """
        boots_otherwise = self.image.boot_entries > 1 or any(bytes(self.data[:SYSTEM_AREA_BYTES]))
        if boots_otherwise or (self.image.boot is None and self.image.boot_entries):
            raise UnrepresentableError(
                f"{self.path} boots in a way that purekernel cannot write again",
                hint="take the root file system out of it, change that, and make the ISO anew",
            )
        tree = self.image.tree.copy()
        old = tree[self.member]
        # A name of its own: were the old one hard-linked, its other names must not change.
        tree.remove(self.member)
        tree.add(self.member, File(metadata=old.metadata, content=content))
        made = build_iso(
            tree, fields=self.image.fields, boot=self.image.boot, timestamp=newest_time(tree)
        )
        write_whole(output or self.path, made)
