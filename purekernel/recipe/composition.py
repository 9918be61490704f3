"""Define what an image is composed of: names, layers, passes and files.

A recipe and a bundle are two makers of one :class:`Composition`. What follows does not know which
of them made it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import evolve, field

from purekernel.errors import BundleError
from purekernel.formats.core_iso import Base
from purekernel.formats.iso import VolumeFields
from purekernel.input import Input
from purekernel.recipe.efi import EfiSource
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.recipe.model import Recipe
from purekernel.records import frozen
from purekernel.tree import Buffer, Layer, Origin, OriginKind, Pass, Sources, Tree

# The originals put the builder's user, host and clock here.
PREPARER = "purekernel"


# The folder of an ISO or disk in which an image carries its recipe.
CARRIED_FOLDER = b"boot/purekernel"

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


@frozen(kw_only=True)
class DiscAdditions:
    """What a recipe adds to the ISO.

    Attributes:
        files: the content of each of the recipe's ``iso_files``, by path.
        cde: the content of the folder of extensions on the disc; ``None`` if it stays unchanged.
    """

    files: Mapping[bytes, Buffer] = field(factory=dict, repr=False)
    cde: Tree | None = None


@frozen(kw_only=True)
class Composition:
    """The parts of an image, parsed and with their final owners, not yet merged.

    Attributes:
        source: name of the parts' source, for messages.
        base: the Core to start from.
        base_origin: where its files come from.
        parts: the overlays of one bundle. The last one determines folders that Core lacks.
        layers: the user's own overlays, applied in order after the parts.
        passes: changes to the whole root file system, each with its description for the user.
        identity: name and version of the image.
        root_files: generated files for the root file system, by path.
        iso_files: files for the ISO, by path.
        disc: what the recipe adds to the ISO.
        efi: the files that the recipe wants in the EFI system partition.
        tce: the folder of extensions for a writable partition; ``None`` without any.
        describe: returns generated files for the ISO, by path, that describe the finished image.
        timeout: replaces Core's own timeout of the boot menu, in tenths of a second; ``None``
            keeps it.
        mtime: the newest time of the containers of the parts, in seconds since 1970, UTC.
        recipe: gives the timestamp, changes to the boot menu and volume, and whether ways to boot
            may be dropped.
        notes: notes for the user about the inputs, one line each.
        extensions: name and files of each extension that is unpacked into the root file system; a
            name more than once if several tables cut from it.
        made_layers: how many of ``layers``, from the first, are not the user's but made from
            extensions, packages and gems.
        carried_names: for an image that carries its recipe, the names of overlays, each with what
            stands for it there; ``None`` for others.
        sources: where contents come from that the layers without an origin, and the files of the
            ISO, hold.
        suggest: returns, for names of missing files, the extensions of the mirrors that have them;
            ``None`` if no mirror may be asked.
    """

    source: str
    base: Base
    base_origin: Origin = Origin(OriginKind.BASE, "base")
    parts: tuple[Layer, ...] = ()
    layers: tuple[Layer, ...] = ()
    passes: tuple[tuple[str, Pass], ...] = ()
    identity: Identity
    root_files: Mapping[bytes, Buffer] = field(factory=dict)
    iso_files: Mapping[bytes, Buffer] = field(factory=dict)
    disc: DiscAdditions = DiscAdditions()
    efi: tuple[tuple[EfiSource, Input], ...] = ()
    tce: Tree | None = None
    describe: Callable[[BootFiles], Mapping[bytes, Buffer]] | None = None
    timeout: int | None = None
    mtime: int = 0
    recipe: Recipe = field(factory=Recipe)
    notes: tuple[str, ...] = ()
    extensions: Sequence[tuple[str, Tree]] = ()
    made_layers: int = 0
    carried_names: Mapping[str, str] | None = None
    sources: Sources = field(factory=Sources, repr=False)
    suggest: Callable[[Iterable[str]], Mapping[str, tuple[str, ...]]] | None = None


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
