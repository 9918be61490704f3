"""What an image is called, and what of that stands in it."""

from __future__ import annotations

import re

from attrs import evolve, frozen

from purekernel.errors import BundleError
from purekernel.formats.iso import VolumeFields
from purekernel.plan import Plan
from purekernel.recipe.defaults import REMASTER_NAME
from purekernel.recipe.flavour import Flavour, Generation

APPLICATION = "Razor Microkernel"


# The originals put the builder's user, host and clock here.
PREPARER = "purekernel"


# What "Razor MK " leaves of a volume id's 32 characters, and one less: as rebuild_iso.sh cuts.
MAX_VOLUME_VERSION = 22
MAX_VOLUME_ID = 32


# What a file name, a volume id and YAML all take as it is.
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}")


@frozen(kw_only=True)
class Identity:
    """What an image is called.

    Attributes:
        name: of its files, without their endings.
        version: as everything in it says; ``None`` where it has none.
        flavour: whom it is for; ``None`` where that makes no difference.
        generation: whose conventions it follows; ``None`` is a plain Core, with nothing of
            Razor's in it.
        volume: the ISO's volume descriptor fields.
    """

    name: str
    version: str | None
    flavour: Flavour | None
    generation: Generation | None
    volume: VolumeFields

    def with_volume(self, fields: dict[str, str]) -> Identity:
        """Return the same with these fields of the volume descriptor changed."""
        return evolve(self, volume=evolve(self.volume, **fields))


def microkernel_identity(
    *, version: str, flavour: Flavour, generation: Generation, has_licence: bool
) -> Identity:
    """Return what an image made by Razor's conventions is called.

    Args:
        version: of the image.
        flavour: whom it is for.
        generation: of the scripts whose conventions count.
        has_licence: whether the ISO has a file ``LICENSE``.
    """
    if generation is Generation.V2012:
        volume = VolumeFields(volume_id="TC-custom", preparer_id=PREPARER)
    else:
        volume = VolumeFields(
            volume_id=f"Razor MK {version[:MAX_VOLUME_VERSION]}",
            application_id=APPLICATION,
            preparer_id=PREPARER,
            copyright_file_id="LICENSE" if has_licence else "",
        )
    return Identity(
        name=f"rz_mk_{flavour.value}-image.{version}",
        version=version,
        flavour=flavour,
        generation=generation,
        volume=volume,
    )


def remaster_identity(*, name: str, version: str | None, flavour: Flavour | None) -> Identity:
    """Return what a plain remaster of Core is called: ``NAME-VERSION``, or just ``NAME``."""
    full = name if version is None else f"{name}-{version}"
    volume = VolumeFields(volume_id=full[:MAX_VOLUME_ID], preparer_id=PREPARER)
    return Identity(name=full, version=version, flavour=flavour, generation=None, volume=volume)


def check_version(version: str) -> str:
    """Return ``version`` if it can stand in a file name and a volume id.

    Raises:
        BundleError: it cannot.
    """
    if not VERSION.fullmatch(version):
        raise BundleError(
            f"{version!r} cannot be an image's version",
            hint="use letters, digits and . + ~ _ - only, at most 64, starting with one of "
            "the first two: 0.9.0.1",
        )
    return version


# What the image of a plan is called, before anything of it is made.


def identify(plan: Plan) -> Identity:
    """Return what the image of ``plan`` is called.

    Raises:
        BundleError: a Microkernel has no version, or one that no file name can have.
    """
    version = planned_version(plan)
    project = plan.project
    if project is None:
        name = plan.recipe.name or REMASTER_NAME
        return remaster_identity(name=name, version=version, flavour=plan.flavour)
    if version is None:
        raise BundleError(
            f"neither {plan.recipe.source} nor the project says the image's version",
            hint="give one with --iso-version, such as --iso-version 0.9.0.1",
        )
    return microkernel_identity(
        version=version,
        flavour=plan.flavour or Flavour.DEV,
        generation=project.generation,
        has_licence=b"LICENSE" in project.tree,
    )


def planned_version(plan: Plan) -> str | None:
    """Return the version of the image, which is the recipe's or the project's.

    Raises:
        BundleError: it cannot stand in a file name and a volume id.
    """
    version = plan.recipe.version or (None if plan.project is None else plan.project.version)
    return None if version is None else check_version(version)
