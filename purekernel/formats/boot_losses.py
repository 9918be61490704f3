"""Find what a base boots with that an output made from it would not have.

Outputs boot by BIOS from a CD, through the isolinux of their base. What else a base has is named
here, so that no build drops it in silence.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from purekernel.errors import BootLossError, raise_all
from purekernel.formats.cpio import early_names
from purekernel.formats.iso import BootEntry, IsoImage
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.tree import Buffer, display


@frozen(kw_only=True)
class BootLoss:
    """Something that the output will not have, or a menu that a change does not reach.

    Attributes:
        refusal: what is wrong, as an error says it.
        note: what was done, as a build says it that was told to go on.
        in_core: whether it belongs to the core, and not to the ISO around it.
    """

    refusal: str
    note: str
    in_core: bool = False


def find_lost_ways(image: IsoImage) -> tuple[BootLoss, ...]:
    """Return the ways in which ``image`` boots and an ISO written from its tree would not."""
    lost = [_describe_entry(entry) for entry in image.other_entries]
    if image.system_area:
        lost.append(f"its system area, {image.system_area}, for booting from USB sticks and disks")
    return tuple(
        BootLoss(refusal=f"the output would lose {what}", note=f"dropped {what}") for what in lost
    )


def find_early_archive(
    core: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS
) -> tuple[BootLoss, ...]:
    """Return what the kernel reads from the front of ``core`` before it unpacks anything.

    Raises:
        FormatError: an archive there is damaged.
    """
    names = early_names(core, source=source, limits=limits)
    if not names:
        return ()
    what = f"the uncompressed archive in front of {source}, which the kernel reads first"
    what += f" ({_list(names)})"
    return (
        BootLoss(refusal=f"the output would lose {what}", note=f"dropped {what}", in_core=True),
    )


def refuse_losses(losses: Sequence[BootLoss], *, source: str) -> None:
    """Refuse to lose anything.

    Raises:
        BootLossError: there is something to lose.
        CombinedError: there are several things.
    """
    raise_all(BootLossError(f"{source}: {loss.refusal}") for loss in losses)


def _describe_entry(entry: BootEntry) -> str:
    where = f"sector {entry.extent}" if entry.path is None else display(entry.path)
    words = [f"the El Torito entry for {entry.firmware} ({where}"]
    if entry.emulation:
        words.append(", emulating a disk")
    if not entry.is_bootable:
        words.append(", not bootable")
    return "".join((*words, ")"))


def _list(names: Sequence[bytes]) -> str:
    shown = ", ".join(map(display, names[:3]))
    return f"{shown}, and {len(names) - 3} more" if len(names) > 3 else shown
