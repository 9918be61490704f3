"""Turn a bundle into an image: unpack its parts, which are then composed."""

from __future__ import annotations

from attrs import evolve

from purekernel.build.identity import Identity, check_version, microkernel_identity
from purekernel.build.image import Composition, Image, Options, compose_image
from purekernel.errors import BundleError, UsageError, inside
from purekernel.formats.core_iso import Base, parse_base
from purekernel.formats.tar import parse_tar
from purekernel.progress import Progress, Silent
from purekernel.razor.bundle import Bundle
from purekernel.rootfs.ownership import own_as_root
from purekernel.tree import Layer, content_bytes


def build_image(
    bundle: Bundle,
    layers: tuple[Layer, ...] = (),
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Image:
    """Return the image that ``bundle``, and ``layers`` over it, make.

    The same arguments give the same image, whoever asks, wherever and whenever.

    Raises:
        PurekernelError: an input is damaged, a part is missing, two parts contradict one
            another, or an option does not fit the inputs.
    """
    options = options or Options()
    progress = progress or Silent()
    identity = _bundle_identity(bundle, options)
    with progress.step("unpacking the base ISO"):
        base = _parse_base(bundle, options)
    with progress.step("unpacking the overlays"):
        parts = _bundle_layers(bundle, options)
    composition = Composition(
        source=bundle.source,
        base=base,
        parts=tuple(own_as_root(part) for part in parts),
        layers=tuple(layer if options.keep_owners else own_as_root(layer) for layer in layers),
        identity=identity,
        licences=bundle.licences,
        mtime=bundle.mtime,
    )
    return compose_image(composition, options=options, progress=progress)


def _bundle_identity(bundle: Bundle, options: Options) -> Identity:
    return microkernel_identity(
        version=_version(bundle, options),
        flavour=bundle.flavour,
        generation=bundle.generation,
        has_licence=b"LICENSE" in {name for name, _content in bundle.licences},
    )


def _version(bundle: Bundle, options: Options) -> str:
    version = options.version if options.version is not None else bundle.version
    if version is None:
        raise BundleError(
            "the bundle says no version in a gitversion.sh",
            hint="give one with --iso-version, such as --iso-version 0.9.0.1",
        ).within(bundle.source)
    try:
        return check_version(version)
    except BundleError as error:
        if options.version is None:
            raise error.within(bundle.source) from None
        raise UsageError(error.message, hint=error.hint) from None


def _parse_base(bundle: Bundle, options: Options) -> Base:
    with inside(bundle.source):
        return parse_base(
            bundle.iso,
            source="Core-current.iso",
            keep_iso_files=options.keep_iso_files,
            limits=options.limits,
        )


def _bundle_layers(bundle: Bundle, options: Options) -> list[Layer]:
    layers: list[Layer] = []
    # One bound for them all: as many bombs as you like are no more than one.
    left_bytes = options.limits.unpacked_bytes
    with inside(bundle.source):
        for source, part in bundle.overlays:
            if isinstance(part, Layer):
                layers.append(part)
                continue
            limits = evolve(options.limits, unpacked_bytes=left_bytes)
            tree = parse_tar(part, source=source, limits=limits)
            left_bytes = max(0, left_bytes - content_bytes(tree))
            layers.append(Layer(source=source, tree=tree))
    return layers
