"""Determine the name, the version and the volume fields of an image."""

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


# A volume ID has 32 characters; "Razor MK " leaves 23. rebuild_iso.sh cuts the version at 22.
MAX_VOLUME_VERSION = 22
MAX_VOLUME_ID = 32


# Characters that file names, volume IDs and YAML accept without quoting.
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}")


@frozen(kw_only=True)
class Identity:
    """Name, version and conventions of an image.

    Attributes:
        name: name of its files, without extension.
        version: version of the image; ``None`` if it has none.
        flavour: flavour of the image; ``None`` if the recipe gives none.
        generation: the generation of Razor's conventions; ``None`` for a plain Core, with nothing
            of Razor's in it.
        volume: the ISO's volume descriptor fields.
    """

    name: str
    version: str | None
    flavour: Flavour | None
    generation: Generation | None
    volume: VolumeFields

    def with_volume(self, fields: dict[str, str]) -> Identity:
        """Return a copy with these fields of the volume descriptor replaced."""
        return evolve(self, volume=evolve(self.volume, **fields))


def microkernel_identity(
    *, version: str, flavour: Flavour, generation: Generation, has_licence: bool
) -> Identity:
    """Return the identity of an image that follows Razor's conventions.

    Args:
        version: version of the image.
        flavour: flavour of the image.
        generation: generation of the scripts whose conventions apply.
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
    """Return the identity of a plain remaster of Core: ``NAME-VERSION``, or just ``NAME``."""
    full = name if version is None else f"{name}-{version}"
    volume = VolumeFields(volume_id=full[:MAX_VOLUME_ID], preparer_id=PREPARER)
    return Identity(name=full, version=version, flavour=flavour, generation=None, volume=volume)


def check_version(version: str) -> str:
    """Return ``version`` if it is valid in a file name and a volume ID.

    Raises:
        BundleError: the version is not valid.
    """
    if not VERSION.fullmatch(version):
        raise BundleError(
            f"the image's version is not valid: got {version!r}",
            hint="use at most 64 letters, digits and . + ~ _ -, and start with a letter or digit: "
            "0.9.0.1",
        )
    return version


# The identity of a planned image, before it is made.


def identify(plan: Plan) -> Identity:
    """Return the identity of the image of ``plan``.

    Raises:
        BundleError: the version of a Microkernel is missing or not valid.
    """
    version = planned_version(plan)
    project = plan.project
    if project is None:
        name = plan.recipe.name or REMASTER_NAME
        return remaster_identity(name=name, version=version, flavour=plan.flavour)
    if version is None:
        raise BundleError(
            f"{plan.recipe.source}: the image's version is missing: neither the recipe nor the "
            "project sets it",
            hint="give one with --iso-version, such as --iso-version 0.9.0.1",
        )
    return microkernel_identity(
        version=version,
        flavour=plan.flavour or Flavour.DEV,
        generation=project.generation,
        has_licence=b"LICENSE" in project.tree,
    )


def planned_version(plan: Plan) -> str | None:
    """Return the version of the image, from the recipe or else from the project.

    Raises:
        BundleError: the version is not valid in a file name and a volume ID.
    """
    version = plan.recipe.version or (None if plan.project is None else plan.project.version)
    return None if version is None else check_version(version)
