"""Give an image the conventions of a Razor Microkernel: its names, and the files that describe it.

Razor's server and the scripts in the image rely on them. Source: ``rebuild_iso.sh`` and
``build_initial_directories.sh`` of the project, in both generations.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from attrs import field, fields

from purekernel.errors import BundleError, UsageError, inside, raise_all
from purekernel.formats.core_iso import Base, parse_base
from purekernel.formats.iso import VolumeFields
from purekernel.formats.tar import parse_tar
from purekernel.input import Input, Limits
from purekernel.razor.bundle import Bundle
from purekernel.recipe.composition import (
    PREPARER,
    BootFiles,
    Composition,
    Identity,
    check_version,
)
from purekernel.recipe.context import Context
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.recipe.model import Recipe
from purekernel.recipe.overlays import Overlays, missing_overlays
from purekernel.records import frozen
from purekernel.rootfs.ownership import own_as_root
from purekernel.tree import Buffer, Layer, Origin, OriginKind, Pass, Sources

CORE_ISO = "Core-current.iso"
VERSION_FILE = b"tmp/mk-version.yaml"
METADATA_FILE = b"iso-metadata.yaml"
LICENCE = b"LICENSE"
APPLICATION = "Razor Microkernel"

# "Razor MK " leaves 23 of a volume ID's 32 characters. rebuild_iso.sh cuts the version at 22.
MAX_VOLUME_VERSION = 22

# A Microkernel waits ten seconds at its boot prompt, in tenths of a second.
TIMEOUT = 100


class _Quoted(str):
    """A string that is always quoted, so that YAML does not read digits as a number."""

    __slots__ = ()


@frozen(kw_only=True)
class Microkernel:
    """The conventions of one image.

    Attributes:
        version: version of the image.
        flavour: flavour of the image.
        generation: generation of the scripts whose conventions apply.
        licences: name and content of each licence file for the ISO's root.
    """

    version: str
    flavour: Flavour
    generation: Generation
    licences: tuple[tuple[bytes, Buffer], ...] = field(default=(), repr=False)

    @property
    def identity(self) -> Identity:
        """The names of the image and of its volume."""
        if self.generation is Generation.V2012:
            volume = VolumeFields(volume_id="TC-custom", preparer_id=PREPARER)
        else:
            has_licence = any(name == LICENCE for name, _content in self.licences)
            volume = VolumeFields(
                volume_id=f"Razor MK {self.version[:MAX_VOLUME_VERSION]}",
                application_id=APPLICATION,
                preparer_id=PREPARER,
                copyright_file_id=LICENCE.decode() if has_licence else "",
            )
        return Identity(
            name=f"rz_mk_{self.flavour.value}-image.{self.version}",
            version=self.version,
            flavour=self.flavour,
            generation=self.generation,
            volume=volume,
        )

    @property
    def root_files(self) -> dict[bytes, Buffer]:
        """The file with the version, which the boot scripts print."""
        return {VERSION_FILE: _dump({"mk_version": self.version})}

    @property
    def iso_files(self) -> dict[bytes, Buffer]:
        """The licence files."""
        return dict(self.licences)

    def describe(self, files: BootFiles) -> dict[bytes, Buffer]:
        """Return the file with the digests of kernel and core, which Razor's server checks."""
        document = {
            "iso_version": self.version,
            "kernel": files.kernel_path,
            "initrd": files.core_path,
            "hash_description": {"type": "Digest::SHA2", "bitlen": 256},
            "kernel_hash": _Quoted(hashlib.sha256(files.kernel).hexdigest()),
            "initrd_hash": _Quoted(hashlib.sha256(files.core).hexdigest()),
            "iso_build_time": datetime.fromtimestamp(files.timestamp, tz=UTC),
        }
        return {METADATA_FILE: _dump(document)}

    def compose(
        self,
        recipe: Recipe,
        base: Base,
        *,
        source: str,
        parts: tuple[Layer, ...],
        layers: tuple[Layer, ...],
        passes: tuple[tuple[str, Pass], ...],
        mtime: int,
        sources: Sources | None = None,
    ) -> Composition:
        """Return the composition of an image that follows these conventions.

        The arguments are the attributes of a :class:`Composition` of these names.
        """
        sources = sources or Sources()
        for name, content in self.licences:
            origin = Origin(OriginKind.OVERLAY, name.decode("utf-8", "surrogateescape"))
            sources.add_content(content, origin)
        return Composition(
            source=source,
            base=base,
            parts=parts,
            layers=layers,
            passes=passes,
            identity=self.identity,
            root_files=self.root_files,
            iso_files=self.iso_files,
            describe=self.describe,
            timeout=TIMEOUT,
            base_origin=Origin(OriginKind.BASE, CORE_ISO),
            mtime=mtime,
            recipe=recipe,
            sources=sources,
        )


def bundle_version(chosen: str | None, recorded: str | None, *, source: str) -> str:
    """Return the version of a bundle's image.

    Args:
        chosen: the user's choice, which comes first.
        recorded: the version in the bundle.
        source: name of the bundle, for messages.

    Raises:
        UsageError: the user's choice is not valid.
        BundleError: the bundle's version is missing or not valid.
    """
    version = recorded if chosen is None else chosen
    if version is None:
        raise BundleError(
            "the bundle's version is missing: its gitversion.sh sets none",
            hint="give one with --iso-version, such as --iso-version 0.9.0.1",
        ).within(source)
    try:
        return check_version(version)
    except BundleError as error:
        if chosen is None:
            raise error.within(source) from None
        raise UsageError(error.message, hint=error.hint) from None


# What a recipe can change in the image of a bundle.
_CHANGES = frozenset(
    {
        "source", "folder", "path", "version", "timestamp", "overlays", "passes", "boot", "iso",
        "output", "rootfs", "oci", "disk", "drop_boot", "findings", "faults", "warnings",
    }
)  # fmt: skip


def compose_bundle(bundle: Bundle, context: Context) -> Composition:
    """Return the composition of a bundle's image.

    Raises:
        UsageError: the changes to the bundle need packages or accounts, which only a recipe has.
        PurekernelError: an input is damaged, a part is missing, or two parts contradict each other.
    """
    changes = bundle.changes
    _check_changes(changes)
    raise_all(missing_overlays(changes))
    microkernel = Microkernel(
        version=bundle_version(changes.version, bundle.version, source=bundle.source),
        flavour=bundle.flavour,
        generation=bundle.generation,
        licences=bundle.licences,
    )
    with context.progress.step("unpacking the base ISO"), inside(bundle.source):
        base = parse_base(
            Input(bundle.iso, name=CORE_ISO, limits=context.limits),
            keep_iso_files=changes.iso.keep_files,
        )
    with context.progress.step("unpacking the overlays"):
        parts = _bundle_layers(bundle, context.limits)
        mtime = context.time_of(changes, at_least=bundle.mtime)
        layers = Overlays(changes, limits=context.limits).layers(mtime)
    return microkernel.compose(
        changes,
        base,
        source=bundle.source,
        parts=tuple(map(own_as_root, parts)),
        layers=layers,
        passes=changes.passes,
        mtime=bundle.mtime,
    )


def _check_changes(changes: Recipe) -> None:
    plain = Recipe()
    others = [
        attribute.name
        for attribute in fields(Recipe)
        if attribute.eq
        and attribute.name not in _CHANGES
        and getattr(changes, attribute.name) != getattr(plain, attribute.name)
    ]
    if others:
        raise UsageError(
            f"a bundle's image cannot be changed in: {', '.join(others)}",
            hint="build from a recipe, or make the bundle again with 'purekernel bundle'",
        )


def _bundle_layers(bundle: Bundle, limits: Limits) -> list[Layer]:
    layers: list[Layer] = []
    with inside(bundle.source):
        for source, part in bundle.overlays:
            if isinstance(part, Layer):
                layers.append(part)
                continue
            tree = parse_tar(Input(part, name=source, limits=limits))
            origin = Origin(OriginKind.OVERLAY, source)
            layers.append(Layer(source=source, tree=tree, origin=origin))
    return layers


def _dump(document: dict[str, object]) -> bytes:
    import yaml  # noqa: PLC0415  # 25 ms, and only Razor's files are YAML

    class Dumper(yaml.SafeDumper):
        """Write :class:`_Quoted` in quotes."""

    Dumper.add_representer(
        _Quoted,
        lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="'"),
    )
    text: str = yaml.dump(document, Dumper=Dumper, sort_keys=False, explicit_start=True)
    return text.encode("utf-8")
