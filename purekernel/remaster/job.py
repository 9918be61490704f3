"""Run a whole build from files on the host, as the ``build`` command does."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import asdict, evolve, frozen

from purekernel.errors import PurekernelError, UsageError, raise_all
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.model import Download, DownloadedFile
from purekernel.fetch.shipped import SAMPLE_BUNDLE, load_sample_bundle
from purekernel.fetch.store import Store
from purekernel.formats.tinycore import parse_extension_name
from purekernel.host.overlay_reader import load_layer
from purekernel.host.read import load_file
from purekernel.input import DEFAULT_LIMITS, Limits, limits_of
from purekernel.plan import Plan, make_plan
from purekernel.plan.fetch_plan import Gathered, gather
from purekernel.plan.lock import Lock, load_lock, lock_path
from purekernel.plan.locking import known_names, lock_of, places_of, with_places_of, without
from purekernel.plan.plan import PlanContext
from purekernel.progress import Progress, Silent
from purekernel.razor.bundle import Bundle, parse_bundle
from purekernel.recipe.encoding import Encoding
from purekernel.recipe.model import BootChanges, DownloadChoice
from purekernel.recipe.request import COMMAND_LINE, Asked, Request, join_request
from purekernel.remaster.compose import Surroundings
from purekernel.remaster.image import Image, Options, build_image
from purekernel.repos.tinycore import ExtensionGraph, ExtensionMirror, resolve_extensions
from purekernel.tree import Layer

AnyPath = str | os.PathLike[str]


Report = Callable[[Download, DownloadedFile | None], None]
"""Called with each file when it is fetched."""


def load_bundle(path: AnyPath, *, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """Load the bundle at ``path``.

    Raises:
        PurekernelError: the file cannot be read, or is not a complete bundle.
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
    """Load the overlays at ``paths``, each a folder or an archive.

    Args:
        paths: the overlays, in the order in which they are applied; later ones win.
        timestamp: the time for entries from folders, in seconds since 1970, UTC. The times of
            files in a folder are arbitrary and are not used.
        limits: limits on parsed input.

    Raises:
        PurekernelError: an overlay cannot be read, or its format is unknown.
    """
    return tuple(load_layer(Path(path), mtime=timestamp, limits=limits) for path in paths)


# One run of a command that fetches: the request, the store and the lock file.


@frozen(kw_only=True)
class Provision:
    """Options for the store and the lock file.

    Attributes:
        cache_dir: the store's folder; ``None`` for the user's default.
        offline: use only files in the store.
        lock_file: path of the lock file; by default beside the recipe.
        no_lock: ignore the lock file.
    """

    cache_dir: Path | None = None
    offline: bool = False
    lock_file: Path | None = None
    no_lock: bool = False


class Session:
    """Plan and fetch for one request. A context manager: on exit it closes the downloads.

    Attributes:
        lock_path: path of the lock file, which may be missing.
        lock: the lock file's content; ``None`` if it is missing or ignored.
        limits: limits on parsed input.
        notes: notes for the user about the last result, one line each.
        looked_in: the folders of extensions that :meth:`dependencies` searched.
    """

    def __init__(
        self,
        asked: Asked,
        provision: Provision,
        *,
        limits: Limits = DEFAULT_LIMITS,
        progress: Progress | None = None,
        report: Report | None = None,
        makes_lock: bool = False,
    ) -> None:
        """Load the lock file and open the store.

        Args:
            asked: the resolved request.
            provision: options for the store and the lock file.
            limits: limits on parsed input.
            progress: receives the steps.
            report: called with each fetched file.
            makes_lock: whether the caller writes the lock file. Then a lock file that
                ``provision`` names may be missing.

        Raises:
            LockError: the lock file is damaged, or ``provision`` names it and it is missing.
            StoreError: the store cannot be used.
        """
        self._asked = asked
        self.limits = limits
        self.notes: tuple[str, ...] = ()
        self.looked_in: tuple[str, ...] = ()
        self._progress = progress or Silent()
        self.lock_path = provision.lock_file or lock_path(asked)
        required = provision.lock_file is not None and not makes_lock
        self.lock = None if provision.no_lock else load_lock(self.lock_path, required=required)
        self._downloads = Downloads(
            Store(provision.cache_dir),
            policy=download_policy(asked.recipe.downloads),
            offline=provision.offline,
            reuse=asked.reuse,
            report=report,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._downloads.close()

    def plan(self) -> Plan:
        """Return the plan. Fetch only the files that planning needs.

        Raises:
            PurekernelError: an input is missing, or two inputs contradict each other.
        """
        with self._progress.step("planning"):
            _planner, plan = make_plan(self._context())
        return plan

    def sizes(self, plan: Plan) -> dict[Download, int | None]:
        """Return the sizes of the files of ``plan``, in bytes; ``None`` if unknown.

        Optional files beside extensions are skipped: they are small, and there are many.
        """
        with self._progress.step("asking for sizes"):
            return self._downloads.sizes(
                download for download in plan.downloads() if not download.optional
            )

    def gather(self) -> Gathered:
        """Plan and fetch. Use only pinned files if there is a lock file.

        Raises:
            PurekernelError: an input is missing, damaged, or has another digest.
        """
        return gather(self._context(), progress=self._progress)

    def make_image(
        self,
        surroundings: Surroundings,
        *,
        boot: BootChanges | None = None,
        volume: Mapping[str, str] | None = None,
        encoding: Encoding | None = None,
        drop_boot: bool = False,
        writes_iso: bool = True,
    ) -> Image:
        """Plan, fetch and make the image.

        Args:
            surroundings: settings from the environment and the command line.
            boot: changes to the boot menu that override the recipe's.
            volume: fields of the ISO's volume descriptor that override the recipe's.
            encoding: how to compress the core.
            drop_boot: drop boot methods and data of the base that the output cannot carry, as the
                recipe's ``drop-boot`` does.
            writes_iso: whether an ISO will be written.

        Raises:
            PurekernelError: an input is missing, damaged, or has another digest.
        """
        # These imports are slow, and only needed to make an image.
        from purekernel.recipe.encoding import Encoding  # noqa: PLC0415
        from purekernel.remaster.compose import Assembly  # noqa: PLC0415
        from purekernel.remaster.image import Options, compose_image  # noqa: PLC0415

        recipe = self._asked.recipe
        surroundings.check()
        boot = boot or BootChanges()
        gathered = self.gather()
        self.notes = gathered.plan.notes
        with self._progress.step("assembling"):
            composition = Assembly(gathered, surroundings).composition()
        self.notes = gathered.notes
        timestamp = surroundings.timestamp
        options = Options(
            boot=BootChanges(
                append=recipe.boot.append if boot.append is None else boot.append,
                timeout=recipe.boot.timeout if boot.timeout is None else boot.timeout,
                default=recipe.boot.default if boot.default is None else boot.default,
            ),
            volume={**recipe.iso.volume, **(volume or {})},
            timestamp=recipe.timestamp if timestamp is None else timestamp,
            drop_boot=recipe.drop_boot or drop_boot,
            writes_iso=writes_iso,
            limits=self.limits,
            encoding=encoding or Encoding(),
        )
        return compose_image(composition, options=options, progress=self._progress)

    def dependencies(self, names: Sequence[str]) -> tuple[ExtensionGraph, dict[str, int]]:
        """Return the dependencies of extensions on the mirrors, and sizes in bytes.

        The lock file is not used. The graph records missing extensions. Extensions of unknown
        size are not among the sizes.

        Args:
            names: names of extensions, with or without ``.tcz``.

        Raises:
            FormatError: a name is not a valid extension name.
            DownloadError: the mirrors cannot be reached.
        """
        context = self._context()
        asked = _extension_names(names)
        with self._progress.step("asking"):
            mirror = ExtensionMirror(context.extension_folders, self._downloads)
            graph = resolve_extensions(
                asked,
                mirror,
                kernel=context.recipe.core.kernel,
                skip=context.recipe.extensions.skip,
            )
            packages = {name: found.file for name, found in graph.extensions.items()}
            sizes = self._downloads.sizes(packages.values())
        self.notes = mirror.notes
        self.looked_in = context.extension_folders
        known = ((name, sizes[package]) for name, package in packages.items())
        return graph, {name: size for name, size in known if size is not None}

    def make_lock(self, *, update: bool, names: Collection[str] = ()) -> Lock:
        """Return a lock of all inputs of the request, in every flavour.

        Existing pins are kept unless they are updated.

        Args:
            update: look for newer files.
            names: the inputs to update; empty means all.

        Raises:
            UsageError: the lock file pins no input of such a name.
            PurekernelError: an input is missing.
        """
        kept = self.lock
        if update and not names:
            kept = None
        elif update and kept is not None:
            _check_names(names, kept)
            kept = without(kept, names)
        context = evolve(self._context(), lock=kept, strict=False, all_flavours=True)
        if kept is not None and kept.core != context.core():
            context = evolve(context, lock=None)
        gathered = gather(context, complete=True, progress=self._progress)
        self.notes = gathered.plan.notes
        new = lock_of(gathered)
        # The URL depends on which mirror was up. A new URL alone is not a change.
        return new if self.lock is None else with_places_of(new, self.lock, places_of(gathered))

    def _context(self) -> PlanContext:
        return PlanContext(
            recipe=self._asked.recipe,
            downloads=self._downloads,
            lock=self.lock,
            limits=self.limits,
        )


def download_policy(choice: DownloadChoice) -> DownloadPolicy:
    """Return the download policy: the recipe's choices, and defaults for the rest."""
    chosen: dict[str, Any] = {
        name: value for name, value in asdict(choice).items() if value is not None
    }
    return evolve(DownloadPolicy(), **chosen)


def _extension_names(names: Sequence[str]) -> list[str]:
    """Return the file names of extensions. Report all invalid names at once."""
    file_names: list[str] = []
    errors: list[PurekernelError] = []
    for name in names:
        try:
            file_names.append(parse_extension_name(name, source=COMMAND_LINE))
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    return file_names


def _check_names(names: Collection[str], lock: Lock) -> None:
    known = set(known_names(lock))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"not found in the lock file: {', '.join(unknown)}",
            hint="name extensions (bash.tcz), gems, or single files (base, rubygems)",
        )


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
    """Make an image as ``purekernel build`` does, without writing it.

    Without ``bundle`` or ``sample``, plan and fetch the inputs of ``request`` first.

    Args:
        bundle: path of a bundle.
        sample: build from the sample bundle instead.
        request: the request to build if neither is given; by default the recipe
            ``purekernel.toml`` in the current folder.
        provision: options for the store and the lock file.
        environment: variables that may hold ``MK_BUNDLE_…`` settings and passwords; by default
            none.
        iso_version: version of the image; by default the bundle's own.
        overlays: one or more folders and archives to apply over the bundle's own, in order.
        keep_iso_files: keep the files of the base ISO outside ``boot/``.
        keep_owners: keep the owners that overlay archives record.
        drop_boot: drop boot methods and data of the base that the output cannot carry, and add a
            note for each; otherwise they are an error.
        writes_iso: whether an ISO will be written. If not, losses that concern only the ISO are
            no error.
        boot_append: text to append to every kernel's command line.
        boot_timeout: tenths of a second until the default boots.
        boot_default: label of the default boot entry.
        volume: ``volume_id``, ``application_id``, ``publisher_id``, ``preparer_id`` or
            ``system_id`` of the ISO, to override the defaults.
        timestamp: the latest time in the image, in seconds since 1970, UTC; by default the newest
            time in the inputs.
        max_unpacked: maximum unpacked size of one input, in bytes.
        encoding: how to compress the core.
        progress: receives the steps.

    Raises:
        UsageError: an argument is invalid, or two arguments exclude each other.
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
            "a bundle and a request exclude each other",
            hint="remove the bundle, or the options that describe the request",
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
    mtime = loaded.mtime if timestamp is None else timestamp
    layers: list[Layer] = []
    for path in overlays:
        with progress.step(f"reading {os.fspath(path)}"):
            layers.append(load_layer(Path(path), mtime=mtime, limits=limits))
    return build_image(loaded, tuple(layers), options=options, progress=progress)
