"""Refuse to lose ways to boot, or to leave a menu as it was, unless the recipe allows it."""

from __future__ import annotations

from collections.abc import Sequence

from purekernel.formats.boot_losses import BootLoss, refuse_losses
from purekernel.formats.iso import IsoBoot
from purekernel.input import Limits
from purekernel.recipe.composition import Composition
from purekernel.recipe.model import Recipe
from purekernel.remaster.boot.kernel import find_other_kernels
from purekernel.remaster.boot.menu import MenuChange
from purekernel.remaster.boot.unreached import find_unreached_menus
from purekernel.remaster.efi import without_efi
from purekernel.remaster.initrds import changes_names
from purekernel.tree import Tree


def drop_boot(
    composition: Composition,
    iso: Tree,
    boot: IsoBoot | None,
    *,
    limits: Limits,
    writes_iso: bool,
    writes_disk: bool,
) -> tuple[tuple[BootLoss, ...], tuple[BootLoss, ...]]:
    """Find what the output loses of the base's boot methods; refuse losses that are not allowed.

    Args:
        composition: what the image is made of.
        iso: the files of the ISO, with the base's initrds.
        boot: how it boots; ``None`` without a boot loader.
        limits: limits on parsed input.
        writes_iso: whether an ISO is written.
        writes_disk: whether a disk is written.

    Returns:
        The dropped losses to report, and the losses that only an ISO would have.

    Raises:
        BootLossError: there is a loss, and the recipe does not allow it.
        CombinedError: there are several.
    """
    base, recipe = composition.base, composition.recipe
    has_cde = composition.disc.cde is not None
    if boot is None:
        return _dropped(base.lost, recipe, writes_iso=False, source=base.source)
    change = MenuChange(
        changes=recipe.boot,
        cde_place=recipe.extensions.place("cde") if has_cde else None,
        new_initrds=changes_names(base, recipe.core.layout),
        initrds=[initrd.content for initrd in base.initrds],
    )
    kept = without_efi(boot)[0] if recipe.efi.is_given else boot
    place = recipe.core.place("kernel")
    menus = (
        *find_unreached_menus(iso, kept, change, limits=limits),
        *find_other_kernels(iso, kept, base, place=place, limits=limits),
    )
    dropped, iso_losses = _dropped(
        [*base.lost, *menus], recipe, writes_iso=writes_iso, source=base.source
    )
    if writes_disk and not writes_iso:  # it has these menus too, and its own partition table
        if not recipe.drop_boot:
            refuse_losses(menus, source=base.source)
        dropped = tuple(dict.fromkeys((*dropped, *menus)))
    return dropped, iso_losses


def _dropped(
    losses: Sequence[BootLoss], recipe: Recipe, *, writes_iso: bool, source: str
) -> tuple[tuple[BootLoss, ...], tuple[BootLoss, ...]]:
    if recipe.drop_boot:
        shown = [loss for loss in losses if loss.in_core or writes_iso]
        return tuple(shown), ()
    iso_losses = [loss for loss in losses if not loss.in_core]
    if writes_iso:
        refuse_losses(losses, source=source)
    refuse_losses([loss for loss in losses if loss.in_core], source=source)
    return (), tuple(iso_losses)
