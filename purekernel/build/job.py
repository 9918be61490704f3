"""A whole build from files on the host, as the ``build`` command runs it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from purekernel.build.boot_menu import BootChanges
from purekernel.build.bundle import Bundle, parse_bundle
from purekernel.build.image import Image, Options, build_image
from purekernel.build.progress import Progress, Silent
from purekernel.errors import UsageError
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.sources.files import load_file
from purekernel.sources.layers import load_layer
from purekernel.sources.shipped import SAMPLE_BUNDLE, load_sample_bundle
from purekernel.tree import Layer

AnyPath = str | os.PathLike[str]


def load_bundle(path: AnyPath, *, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """Return the bundle in the file at ``path``.

    Raises:
        PurekernelError: the file cannot be read or is no whole bundle.
    """
    path = Path(path)
    return parse_bundle(load_file(path, limits=limits), source=path.name, limits=limits)


def sample_bundle(*, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """Return the sample bundle that comes with purekernel."""
    return parse_bundle(load_sample_bundle(), source=SAMPLE_BUNDLE, limits=limits)


def load_layers(
    paths: Iterable[AnyPath],
    *,
    timestamp: int,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Layer, ...]:
    """Return the overlays at ``paths``, each a folder or an archive.

    Args:
        paths: in the order in which they are laid over; later ones win.
        timestamp: the time of all that comes from folders, which have none of their own
            that means anything, in seconds since 1970, UTC.
        limits: the readers' bounds.

    Raises:
        PurekernelError: one of them cannot be read or is of no kind that is known.
    """
    return tuple(load_layer(Path(path), mtime=timestamp, limits=limits) for path in paths)


def make_image(
    bundle: AnyPath | None = None,
    *,
    sample: bool = False,
    iso_version: str | None = None,
    overlays: AnyPath | Iterable[AnyPath] = (),
    keep_iso_files: bool = False,
    keep_owners: bool = False,
    boot_append: str | None = None,
    boot_timeout: int | None = None,
    boot_default: str | None = None,
    volume: dict[str, str] | None = None,
    timestamp: int | None = None,
    max_unpacked: int | None = None,
    progress: Progress | None = None,
) -> Image:
    """Make an image from files on the host, as ``purekernel build`` does; write nothing.

    Args:
        bundle: the bundle's path.
        sample: build from the sample bundle instead.
        iso_version: of the image; by default the bundle's own.
        overlays: folders and archives laid over the bundle's own, in order; or just one.
        keep_iso_files: carry over what the base ISO holds outside ``boot/``.
        keep_owners: trust the owners that overlay archives record.
        boot_append: words for the end of every kernel's command line.
        boot_timeout: tenths of a second until the default boots.
        boot_default: the label that boots when nobody chooses.
        volume: ``volume_id``, ``application_id``, ``publisher_id``, ``preparer_id`` or
            ``system_id`` of the ISO, where they are to differ.
        timestamp: seconds since 1970, UTC; by default the newest time in the inputs.
        max_unpacked: bytes that one input may unpack to.
        progress: is told of the steps.

    Raises:
        UsageError: arguments make no sense, or none together.
        PurekernelError: an input is missing or damaged, or does not fit the others.
    """
    progress = progress or Silent()
    if (bundle is None) != sample:
        raise UsageError(
            "give either a bundle or --sample"
            if bundle is None
            else "a bundle and --sample exclude each other"
        )
    limits = DEFAULT_LIMITS if max_unpacked is None else Limits(unpacked_bytes=max_unpacked)
    options = Options(
        version=iso_version,
        keep_iso_files=keep_iso_files,
        keep_owners=keep_owners,
        boot=BootChanges(append=boot_append, timeout=boot_timeout, default=boot_default),
        volume=volume or {},
        timestamp=timestamp,
        limits=limits,
    )
    with progress.step("reading the bundle"):
        loaded = (
            load_bundle(bundle, limits=limits)
            if bundle is not None
            else sample_bundle(limits=limits)
        )
    if isinstance(overlays, str | os.PathLike):
        overlays = (overlays,)
    made = loaded.mtime if timestamp is None else timestamp
    layers: list[Layer] = []
    for path in overlays:
        with progress.step(f"reading {os.fspath(path)}"):
            layers.append(load_layer(Path(path), mtime=made, limits=limits))
    return build_image(loaded, tuple(layers), options=options, progress=progress)
