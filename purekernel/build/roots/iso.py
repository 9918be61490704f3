"""An archive in an ISO: the ISO is written again around it."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from purekernel.formats.boot_losses import find_lost_ways, refuse_losses
from purekernel.formats.iso import IsoImage, build_iso
from purekernel.host.write import write_whole
from purekernel.tree import File, newest_time


@frozen(kw_only=True)
class IsoMember:
    """The place of an archive in an ISO.

    Attributes:
        path: of the ISO on the host.
        image: what it holds.
        member: the archive's path in it.
        drop_boot: whether ways to boot that cannot be written are dropped.
    """

    path: Path
    image: IsoImage = field(repr=False)
    member: bytes
    drop_boot: bool = False

    def write(self, content: bytes, output: Path | None) -> tuple[str, ...]:
        """Write the ISO with other content in the archive's place.

        Returns:
            What was dropped, one line each.

        Raises:
            OutputError: it cannot be written.
            BootLossError: it boots in a way that would be lost, and ``drop_boot`` is not set.
            CombinedError: it boots in several.
        """
        losses = find_lost_ways(self.image)
        if not self.drop_boot:
            refuse_losses(losses, source=str(self.path))
        tree = self.image.tree.copy()
        old = tree[self.member]
        # A name of its own: were the old one hard-linked, its other names must not change.
        tree.remove(self.member)
        tree.add(self.member, File(metadata=old.metadata, content=content))
        made = build_iso(
            tree, fields=self.image.fields, boot=self.image.boot, timestamp=newest_time(tree)
        )
        write_whole(output or self.path, made)
        return tuple(f"{self.path}: {loss.note}" for loss in losses)
