"""A whole build from files on the host, as the ``build`` command runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import asdict, evolve, frozen

from purekernel.errors import PurekernelError, UsageError, raise_all
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.shipped import SAMPLE_BUNDLE, load_sample_bundle
from purekernel.fetch.store import Store
from purekernel.fetch.wanted import Fetched, Wanted
from purekernel.formats.limits import DEFAULT_LIMITS, Limits, limits_of
from purekernel.formats.tinycore import parse_extension_name
from purekernel.host.overlay_reader import load_layer
from purekernel.host.read import load_file
from purekernel.plan import Plan, make_plan
from purekernel.plan.fetch_plan import Gathered, gather
from purekernel.plan.lock.lock import Lock, load_lock, lock_path
from purekernel.plan.lock.locked import known_names, with_places_of, without
from purekernel.plan.lock.locking import lock_of, places_of
from purekernel.plan.plan import Inquiry
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


Report = Callable[[Wanted, Fetched | None], None]
"""Is told of each file as it is had."""


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


# One run of a command that gathers: what was asked for, whom to ask, what is pinned.


@frozen(kw_only=True)
class Provision:
    """Where downloads are kept, and whether there may be any.

    Attributes:
        cache_dir: the store's folder; ``None`` is the user's own.
        offline: use what is in the store and nothing else.
        lock_file: the lock file; by default it stands beside the recipe.
        no_lock: pass the lock file over.
    """

    cache_dir: Path | None = None
    offline: bool = False
    lock_file: Path | None = None
    no_lock: bool = False


class Session:
    """Gathers for one request. A context manager: it ends what it began.

    Attributes:
        lock_path: where the lock file stands, or would.
        lock: what it pins, if it is there and counts.
        limits: the readers' bounds.
        notes: what the user should know of what was made, a line each.
        looked_in: the folders of extensions that :meth:`dependencies` asked.
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
        """Begin.

        Args:
            asked: what is to be gathered.
            provision: where downloads are kept.
            limits: the readers' bounds.
            progress: is told of the steps.
            report: is told of each file.
            makes_lock: whether a lock file is to be made, so that one which was named need
                not be there.

        Raises:
            LockError: the lock file is damaged, or was named and is not there.
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
        """Return what would be fetched and done; fetch only what tells that.

        Raises:
            PurekernelError: something is not to be had, or does not go together.
        """
        with self._progress.step("planning"):
            _planner, plan = make_plan(self._inquiry())
        return plan

    def sizes(self, plan: Plan) -> dict[Wanted, int | None]:
        """Return how many bytes the files of ``plan`` have; ``None`` where nobody says.

        What may stand beside extensions or not is not asked for: it is small, and much.
        """
        with self._progress.step("asking for sizes"):
            return self._downloads.sizes(one for one in plan.wanted() if not one.optional)

    def gather(self) -> Gathered:
        """Plan and fetch, obeying the lock file where there is one.

        Raises:
            PurekernelError: something is not to be had, or not what it should be.
        """
        return gather(self._inquiry(), progress=self._progress)

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
        """Plan, fetch, and return the image that comes of it.

        Args:
            surroundings: what it takes from where it runs.
            boot: changes to the boot menu, where they are to be others than the recipe's.
            volume: likewise, fields of the ISO's volume descriptor.
            encoding: how the core is made small.
            drop_boot: drop what the base boots with and an output cannot have, as the recipe's
                ``drop-boot`` does.
            writes_iso: whether an ISO is to be written.

        Raises:
            PurekernelError: something is not to be had, or not what it should be.
        """
        # What these import is much, and only needed to make something.
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
        said = surroundings.timestamp
        options = Options(
            boot=BootChanges(
                append=recipe.boot.append if boot.append is None else boot.append,
                timeout=recipe.boot.timeout if boot.timeout is None else boot.timeout,
                default=recipe.boot.default if boot.default is None else boot.default,
            ),
            volume={**recipe.iso.volume, **(volume or {})},
            timestamp=recipe.timestamp if said is None else said,
            drop_boot=recipe.drop_boot or drop_boot,
            writes_iso=writes_iso,
            limits=self.limits,
            encoding=encoding or Encoding(),
        )
        return compose_image(composition, options=options, progress=self._progress)

    def dependencies(self, names: Sequence[str]) -> tuple[ExtensionGraph, dict[str, int]]:
        """Return what extensions need, as the mirrors have it now; what is missing is noted.

        Their sizes in bytes come with it, as far as anybody tells them.

        Args:
            names: of extensions, with or without ``.tcz``.

        Raises:
            FormatError: a name is none that an extension can have.
            DownloadError: the mirrors cannot be asked.
        """
        inquiry = self._inquiry()
        asked = _extension_names(names)
        with self._progress.step("asking"):
            mirror = ExtensionMirror(inquiry.extension_folders, self._downloads)
            graph = resolve_extensions(
                asked,
                mirror,
                kernel=inquiry.recipe.core.kernel,
                skip=inquiry.recipe.extensions.skip,
            )
            packages = {name: one.package for name, one in graph.extensions.items()}
            sizes = self._downloads.sizes(packages.values())
        self.notes = mirror.notes
        self.looked_in = inquiry.extension_folders
        known = ((name, sizes[package]) for name, package in packages.items())
        return graph, {name: size for name, size in known if size is not None}

    def make_lock(self, *, update: bool, names: Collection[str] = ()) -> Lock:
        """Return a lock of all that the request needs, in every flavour.

        What is pinned already stays so, unless it is to be updated.

        Args:
            update: look for newer files.
            names: of what; empty means of everything.

        Raises:
            UsageError: the lock file has nothing of such a name.
            PurekernelError: something is not to be had.
        """
        kept = self.lock
        if update and not names:
            kept = None
        elif update and kept is not None:
            _check_names(names, kept)
            kept = without(kept, names)
        inquiry = evolve(self._inquiry(), lock=kept, strict=False, all_flavours=True)
        if kept is not None and kept.core != inquiry.core():
            inquiry = evolve(inquiry, lock=None)
        gathered = gather(inquiry, complete=True, progress=self._progress)
        self.notes = gathered.plan.notes
        made = lock_of(gathered)
        # Where a file came from depends on which mirror was up; that alone is no change.
        return made if self.lock is None else with_places_of(made, self.lock, places_of(gathered))

    def _inquiry(self) -> Inquiry:
        return Inquiry(
            recipe=self._asked.recipe,
            downloads=self._downloads,
            lock=self.lock,
            limits=self.limits,
        )


def download_policy(choice: DownloadChoice) -> DownloadPolicy:
    """Return how downloads are made: our way, where the recipe says nothing."""
    said: dict[str, Any] = {
        name: value for name, value in asdict(choice).items() if value is not None
    }
    return evolve(DownloadPolicy(), **said)


def _extension_names(names: Sequence[str]) -> list[str]:
    """Return the file names that ``names`` mean; all that are none are told at once."""
    found: list[str] = []
    errors: list[PurekernelError] = []
    for name in names:
        try:
            found.append(parse_extension_name(name, source=COMMAND_LINE))
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    return found


def _check_names(names: Collection[str], lock: Lock) -> None:
    known = set(known_names(lock))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"the lock file has no {', '.join(unknown)}",
            hint="name extensions (bash.tcz), gems, or what stands by itself (base, rubygems)",
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
