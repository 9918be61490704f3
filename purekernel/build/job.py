"""A whole build from files on the host, as the ``build`` command runs it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import evolve

from purekernel.build.assembly import Surroundings
from purekernel.build.bundle_image import build_image
from purekernel.build.image import Image, Options
from purekernel.build.session import Provision, Session
from purekernel.errors import UsageError
from purekernel.fetch.shipped import SAMPLE_BUNDLE, load_sample_bundle
from purekernel.formats.limits import DEFAULT_LIMITS, Limits, limits_of
from purekernel.host.overlay_reader import load_layer
from purekernel.host.read import load_file
from purekernel.progress import Progress, Silent
from purekernel.razor.bundle import Bundle, parse_bundle
from purekernel.recipe.encoding import Encoding
from purekernel.recipe.model import BootChanges
from purekernel.recipe.request import Request, join_request
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
    request: Request | None = None,
    provision: Provision | None = None,
    environment: Mapping[str, str] | None = None,
    iso_version: str | None = None,
    overlays: AnyPath | Iterable[AnyPath] = (),
    keep_iso_files: bool = False,
    keep_owners: bool = False,
    drop_boot: bool = False,
    writes_iso: bool = True,
    boot_append: str | None = None,
    boot_timeout: int | None = None,
    boot_default: str | None = None,
    volume: dict[str, str] | None = None,
    timestamp: int | None = None,
    max_unpacked: int | None = None,
    encoding: Encoding | None = None,
    progress: Progress | None = None,
) -> Image:
    """Make an image as ``purekernel build`` does; write nothing.

    Without a bundle or the sample, all that the image is made of is gathered first.

    Args:
        bundle: the bundle's path.
        sample: build from the sample bundle instead.
        request: what is gathered otherwise: by default what ``purekernel.toml`` in the
            current folder says.
        provision: where downloads are kept, and whether there may be any.
        environment: where ``MK_BUNDLE_…`` settings and passwords may stand; by default nothing
            does.
        iso_version: of the image; by default the bundle's own.
        overlays: folders and archives laid over the bundle's own, in order; or just one.
        keep_iso_files: carry over what the base ISO holds outside ``boot/``.
        keep_owners: trust the owners that overlay archives record.
        drop_boot: drop what the base boots with and an output cannot have, and add a note for
            each; otherwise that is an error.
        writes_iso: whether an ISO is to be written: if not, what only an ISO has is not lost.
        boot_append: words for the end of every kernel's command line.
        boot_timeout: tenths of a second until the default boots.
        boot_default: the label that boots when nobody chooses.
        volume: ``volume_id``, ``application_id``, ``publisher_id``, ``preparer_id`` or
            ``system_id`` of the ISO, where they are to differ.
        timestamp: seconds since 1970, UTC; by default the newest time in the inputs.
        max_unpacked: bytes that one input may unpack to.
        encoding: how the core is made small.
        progress: is told of the steps.

    Raises:
        UsageError: arguments make no sense, or none together.
        PurekernelError: an input is missing or damaged, or does not fit the others.
    """
    progress = progress or Silent()
    if isinstance(overlays, str | os.PathLike):
        overlays = (overlays,)
    limits = limits_of(max_unpacked)
    boot = BootChanges(append=boot_append, timeout=boot_timeout, default=boot_default)
    if bundle is None and not sample:
        request = request or Request()
        if iso_version is not None:
            request = evolve(request, iso_version=iso_version)
        surroundings = Surroundings(
            environment=environment or {},
            overlays=tuple(map(Path, overlays)),
            keep_owners=keep_owners,
            timestamp=timestamp,
            limits=limits,
        )
        asked = join_request(request, surroundings.environment)
        if keep_iso_files:
            asked = asked.keeping_iso_files()
        with Session(
            asked,
            provision or Provision(),
            limits=limits,
            progress=progress,
        ) as session:
            return session.make_image(
                surroundings,
                boot=boot,
                volume=volume,
                encoding=encoding,
                drop_boot=drop_boot,
                writes_iso=writes_iso,
            )
    if bundle is not None and sample:
        raise UsageError("a bundle and --sample exclude each other")
    if request is not None and request != Request():
        raise UsageError(
            "a bundle is gathered already, and what would be gathered does not go with it",
            hint="leave out the bundle, or the options that say what to gather",
        )
    options = Options(
        version=iso_version,
        keep_iso_files=keep_iso_files,
        keep_owners=keep_owners,
        drop_boot=drop_boot,
        writes_iso=writes_iso,
        boot=boot,
        volume=volume or {},
        timestamp=timestamp,
        limits=limits,
        encoding=encoding or Encoding(),
    )
    with progress.step("reading the bundle"):
        loaded = (
            load_bundle(bundle, limits=limits)
            if bundle is not None
            else sample_bundle(limits=limits)
        )
    made = loaded.mtime if timestamp is None else timestamp
    layers: list[Layer] = []
    for path in overlays:
        with progress.step(f"reading {os.fspath(path)}"):
            layers.append(load_layer(Path(path), mtime=made, limits=limits))
    return build_image(loaded, tuple(layers), options=options, progress=progress)
