"""Find the boot methods of a base that an output would lose.

Outputs boot in every way that their base boots, as far as purekernel knows the way. This module
lists what it does not know, so that no build drops it silently.
"""

from __future__ import annotations

from collections.abc import Sequence

from purekernel.errors import BootLossError, raise_all
from purekernel.formats.cpio import early_names
from purekernel.formats.iso import IsoImage
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display


@frozen(kw_only=True)
class BootLoss:
    """A boot method that the output loses, or a boot menu that a change does not affect.

    Attributes:
        refusal: the message of the error that refuses the loss.
        note: the message of a build that accepts the loss.
        in_core: whether the loss is in the core, not in the ISO.
    """

    refusal: str
    note: str
    in_core: bool = False


def find_lost_ways(image: IsoImage) -> tuple[BootLoss, ...]:
    """Return the boot methods of ``image`` that an ISO written from it would lose."""
    return tuple(
        BootLoss(refusal=f"the output would lose {what}", note=f"dropped {what}")
        for what in image.lost
    )


def find_early_archive(core: Input) -> tuple[BootLoss, ...]:
    """Return the loss of the files in ``core`` that the kernel reads before it unpacks it.

    Raises:
        FormatError: an uncompressed archive at the start is damaged.
    """
    names = early_names(core)
    if not names:
        return ()
    what = f"the uncompressed archive in front of {core.name}, which the kernel reads first"
    what += f" ({_list(names)})"
    return (
        BootLoss(refusal=f"the output would lose {what}", note=f"dropped {what}", in_core=True),
    )


def refuse_losses(losses: Sequence[BootLoss], *, source: str) -> None:
    """Raise an error for each loss.

    Raises:
        BootLossError: there is one loss.
        CombinedError: there are several losses.
    """
    raise_all(BootLossError(f"{source}: {loss.refusal}") for loss in losses)


def _list(names: Sequence[bytes]) -> str:
    shown = ", ".join(map(display, names[:3]))
    return f"{shown}, and {len(names) - 3} more" if len(names) > 3 else shown
