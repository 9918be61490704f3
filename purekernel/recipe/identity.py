"""Determine the name, the version and the volume fields of an image."""

from __future__ import annotations

import re

from attrs import evolve, field, frozen

from purekernel.errors import BundleError
from purekernel.formats.iso import VolumeFields
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.tree import Buffer

# The originals put the builder's user, host and clock here.
PREPARER = "purekernel"


# The size of the field in ISO 9660.
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


@frozen(kw_only=True)
class BootFiles:
    """The kernel and the core of a finished image.

    Attributes:
        kernel_path: path of the kernel on the ISO.
        kernel: content of the kernel.
        core_path: path of the core on the ISO.
        core: content of the core.
        timestamp: time of the image, in seconds since 1970, UTC.
    """

    kernel_path: str
    kernel: Buffer = field(repr=False)
    core_path: str
    core: Buffer = field(repr=False)
    timestamp: int


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
