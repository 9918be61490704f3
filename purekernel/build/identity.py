"""What an image is called, and what of that stands in it."""

from __future__ import annotations

import re

from attrs import evolve, frozen

from purekernel.errors import BundleError
from purekernel.formats.iso import VolumeFields
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
