"""Fetch the files of a plan, and check that they agree with each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import asdict, evolve, field

from purekernel.errors import (
    ChecksumError,
    CombinedError,
    DownloadError,
    MissingFileError,
    OfflineError,
    PurekernelError,
    inside,
    raise_all,
    split_errors,
)
from purekernel.fetch.attempts import missing
from purekernel.fetch.downloads import DownloadPolicy, Downloads, is_unauthenticated
from purekernel.fetch.model import Download, DownloadedFile
from purekernel.fetch.store import Store
from purekernel.formats import squashfs
from purekernel.formats.tinycore import (
    build_dependencies,
    is_plain,
    parse_dependencies,
    parse_md5,
)
from purekernel.input import Input
from purekernel.plan.bases import read_part
from purekernel.plan.efi import open_part
from purekernel.plan.extensions import absent_error, find_absent
from purekernel.plan.lock import Lock, load_lock, lock_path
from purekernel.plan.plan import CHECKED_COMPANIONS, Plan, PlanContext
from purekernel.plan.planner import Planner, make_plan, require_lock
from purekernel.progress import Progress, Silent
from purekernel.recipe.context import Context
from purekernel.recipe.conventions import BASE
from purekernel.recipe.efi import BASE_PART, EfiSource
from purekernel.recipe.model import Recipe
from purekernel.records import frozen
from purekernel.repos.tinycore import (
    DEPENDENCIES,
    IMPORT_SCRIPT,
    MD5,
    Extension,
    resolve_kernel,
)
from purekernel.rootfs.debian import ConversionOptions
from purekernel.tree import Buffer, Tree

if TYPE_CHECKING:
    from purekernel.formats.core_iso import Base


@frozen(kw_only=True)
class Gathered:
    """A plan with all its files in the store.

    Attributes:
        plan: the plan.
        planner: the planner that made it; it holds the base.
        downloads: reads the store.
        fetched: the fetched file for each planned file; ``None`` for an optional file that no
            mirror has.
    """

    plan: Plan
    planner: Planner
    downloads: Downloads
    fetched: Mapping[Download, DownloadedFile | None]
    _loaded: dict[Download, bytes] = field(factory=dict, repr=False, eq=False)
    _made: dict[str, Extension[Buffer]] = field(factory=dict, repr=False, eq=False)
    _remarks: dict[str, None] = field(factory=dict, repr=False, eq=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user: from the plan, and from packages converted since."""
        return (*self.plan.notes, *self._remarks)

    @property
    def base(self) -> Base:
        """The content of the base, unpacked."""
        return self.planner.base_of(lambda download: self.content(download) or b"")

    def content(self, download: Download) -> bytes | None:
        """Return the checked content of a file. It is loaded once."""
        if download not in self._loaded:
            fetched = self.fetched[download]
            if fetched is None:
                return None
            self._loaded[download] = self.downloads.load(fetched)
        return self._loaded[download]

    def file(self, role: str) -> tuple[str, bytes] | None:
        """Return name and content of the single file with this role, or ``None`` if not planned."""
        planned = self.plan.files.get(role)
        content = None if planned is None else self.content(planned.download)
        return None if planned is None or content is None else (planned.download.name, content)

    def efi_files(self) -> Iterator[tuple[EfiSource, Input]]:
        """Yield the files for the EFI system partition.

        Raises:
            CombinedError: several of them cannot be read.
            PurekernelError: one is missing in its archive, or that is damaged.
        """
        errors: list[PurekernelError] = []
        recipe = self.plan.recipe
        for source in recipe.efi.sources(recipe.efi_files):
            try:
                with inside(source.place):
                    yield source, self._efi_file(source)
            except PurekernelError as error:
                errors.append(error)
        raise_all(errors)

    def _efi_file(self, source: EfiSource) -> Input:
        planned, limits = self.plan.files.get(source.role), self.planner.limits
        if planned is not None:
            data = self.content(planned.download) or b""
            return open_part(Input(data, name=planned.download.name, limits=limits), planned.inner)
        name, inner = source.part or ("", "")
        if name == BASE_PART:
            base = self.plan.files[BASE]
            iso = read_part(base, lambda download: self.content(download) or b"", limits)
            return open_part(iso, inner)
        extension = self.plan.extensions.cut_from[self.plan.extensions.efi_from[name]]
        data = self.content(extension.file) or b""
        return open_part(Input(data, name=extension.file.name, limits=limits), inner)

    def builtins(self) -> Iterator[Extension[Buffer]]:
        """Yield the extensions that are loaded at boot, dependencies first.

        Remove skipped dependencies from each ``.dep``, because Core 4 fails to load an extension
        with a missing dependency. Remove one edge of each dependency loop, because Core 4 never
        finishes loading a loop. Write a ``.dep`` anew that has comments, a byte order mark or
        carriage returns, which Core takes for parts of names.
        """
        for name in self.plan.extensions.builtin_order():
            yield self._with_planned_dependencies(self._packed(name, CHECKED_COMPANIONS))

    def on_medium(self, listed: Sequence[str]) -> Iterator[Extension[Buffer]]:
        """Yield the extensions on a disc or partition, dependencies first.

        Each ``.dep`` is changed as for :meth:`builtins`.

        Args:
            listed: those that are listed for it.
        """
        for name in self.plan.extensions.medium_order(listed):
            yield self._with_planned_dependencies(self._packed(name, CHECKED_COMPANIONS))

    def mirrored(self) -> Iterator[Extension[Buffer]]:
        """Yield the extensions in the image's own mirror, dependencies first.

        Each ``.dep`` is changed as for :meth:`builtins`.
        """
        for name in self.plan.extensions.mirror_order():
            yield self._with_planned_dependencies(self._packed(name, None))

    def tree(self, extension: Extension[Download]) -> Tree:
        """Return the unpacked files of an extension. A Debian package is converted first."""
        if extension.record is not None:
            return self._converted(extension).file
        return squashfs.parse_squashfs(
            Input(
                self.content(extension.file) or b"", name=extension.name, limits=self.planner.limits
            )
        )

    def find_providers(self, names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the extensions of the mirrors that have files of these names."""
        return self.planner.find_providers(names)

    def _converted(self, extension: Extension[Download]) -> Extension[Tree]:
        """Return the unpacked extension that a package becomes."""
        from purekernel.plan.conversion import convert_package  # noqa: PLC0415  # 25 ms

        script = extension.companions.get(IMPORT_SCRIPT)
        settings = self.plan.recipe.debian
        converted, notes = convert_package(
            self.content(extension.file) or b"",
            source=extension.file.name,
            name=extension.name,
            needs=extension.dependencies,
            import_script=None if script is None else self.content(script),
            options=ConversionOptions(
                documentation=settings.documentation,
                empty_folders=settings.empty_folders,
                library_links=settings.library_links,
            ),
            limits=self.planner.limits,
        )
        self._remarks.update(dict.fromkeys(notes))
        return converted

    def _packed(self, name: str, suffixes: tuple[str, ...] | None) -> Extension[Buffer]:
        """Return an extension at hand; an extension made from a package is packed once.

        Args:
            name: name of the extension.
            suffixes: the companion files to include; ``None`` means all of them.
        """
        extension = self.plan.extensions.graph.extensions[name]
        if extension.record is not None:
            if name not in self._made:
                from purekernel.plan.conversion import pack_extension  # noqa: PLC0415  # 25 ms

                self._made[name] = pack_extension(self._converted(extension))
            made = self._made[name]
            return evolve(
                made,
                companions={
                    suffix: content
                    for suffix, content in made.companions.items()
                    if suffixes is None or suffix in suffixes
                },
            )
        companions = {
            suffix: content
            for suffix, download in extension.companions.items()
            if suffixes is None or suffix in suffixes
            if (content := self.content(download)) is not None
        }
        content = self.content(extension.file) or b""
        # Where no digest is known, a truncated image would be found when it is loaded at boot.
        squashfs.parse_superblock(Input(content, name=extension.name, limits=self.planner.limits))
        return extension.with_files(content, companions)

    def _with_planned_dependencies(self, packed: Extension[Buffer]) -> Extension[Buffer]:
        if not self.plan.recipe.extensions.dependencies:
            return packed
        graph, kernel = self.plan.extensions.graph, self.plan.extensions.kernel
        kept = set(graph.needs[packed.name])
        kept -= {end for start, end in graph.loops if start == packed.name}
        listed = packed.dependencies
        names = tuple(need for need in listed if resolve_kernel(need, kernel) in kept)
        stored = packed.companions.get(DEPENDENCIES)
        is_usable = not listed if stored is None else is_plain(stored)
        if names == listed and is_usable:
            return packed
        companions = {**packed.companions, DEPENDENCIES: build_dependencies(names)}
        return evolve(packed, dependencies=names, companions=companions)


@contextmanager
def open_plan_context(
    recipe: Recipe, settings: Context, *, makes_lock: bool = False, lock: Lock | None = None
) -> Iterator[PlanContext]:
    """Load the lock file, open the store, and yield the inputs of a plan.

    Args:
        recipe: the recipe to plan.
        settings: the store, the lock file and the limits.
        makes_lock: whether the caller writes the lock file. Then a lock file that ``settings``
            names may be missing.
        lock: the content of the lock file, in place of one on this host.

    Raises:
        LockError: the lock file is damaged, or ``settings`` names it and it is missing; or
            ``settings`` requires one that fits the recipe, and it does not.
        StoreError: the store cannot be used.
    """
    path = settings.lock_file or lock_path(recipe)
    required = settings.lock_file is not None and not makes_lock
    if lock is None and not settings.no_lock:
        lock = load_lock(path, required=required)
    chosen = asdict(
        recipe.downloads,
        filter=lambda attribute, value: (
            value is not None and attribute.name not in ("places", "reuse")
        ),
    )
    policy = evolve(DownloadPolicy(), **chosen)
    if settings.allow_http:
        policy = evolve(policy, allow_http=True)
    with Downloads(
        Store(settings.cache_dir),
        policy=policy,
        offline=settings.offline,
        # A lock file lasts, so it must pin what the mirrors have now.
        reuse=recipe.downloads.reuse and not makes_lock,
        report=settings.report,
        progress=settings.progress,
    ) as downloads:
        context = PlanContext(
            recipe=recipe,
            downloads=downloads,
            lock=lock,
            lock_path=path,
            allow_http=policy.allow_http,
            limits=settings.limits.budgeted(),
            locked=settings.locked,
        )
        if settings.locked:
            require_lock(context)
        yield context


def sizes_of(plan: Plan, downloads: Downloads) -> dict[Download, int | None]:
    """Return the sizes of the files of ``plan``, in bytes; ``None`` if unknown.

    Optional files beside extensions are skipped: they are small, and there are many.
    """
    return downloads.sizes(download for download in plan.downloads() if not download.optional)


def gather(
    context: PlanContext, *, complete: bool = False, progress: Progress | None = None
) -> Gathered:
    """Plan and fetch.

    If a mirror's index contradicts the mirror's files, plan again without indexes.

    Args:
        context: the inputs of the plan.
        complete: fetch every companion file of every extension, as a lock file needs them.
        progress: receives the steps.

    Raises:
        PurekernelError: a file is missing, damaged, or has another digest. Several errors are
            raised together where possible.
    """
    progress = progress or Silent()
    restart = context.limits.mark()
    try:
        return _gather(context, complete=complete, progress=progress)
    except _IndexDoubtedError as doubt:
        restart()
        try:
            return _gather(evolve(context, use_indexes=False), complete=complete, progress=progress)
        except PurekernelError:
            if any(isinstance(error, OfflineError) for error in split_errors([doubt.error])):
                # Offline, nothing can show that the index is wrong. The first error is more useful.
                raise doubt.error from None
            raise


class _IndexDoubtedError(Exception):
    """An index may contradict the files of its mirror.

    Attributes:
        error: the error that fetching by the index raised.
    """

    def __init__(self, error: PurekernelError) -> None:
        super().__init__(error)
        self.error = error


def _gather(context: PlanContext, *, complete: bool, progress: Progress) -> Gathered:
    with progress.step("planning"):
        planner, plan = make_plan(context)
    downloads = plan.downloads(complete=complete)
    try:
        with progress.step("fetching"):
            files = context.downloads.fetch_all(downloads)
        gathered = Gathered(
            plan=plan,
            planner=planner,
            downloads=context.downloads,
            fetched=dict(zip(downloads, files, strict=True)),
        )
        raise_all(_contradictions(gathered, locked=context.bound_by_lock))
        notes = (*plan.notes, *unauthenticated_notes(_unauthenticated(gathered.fetched)))
        gathered = evolve(gathered, plan=evolve(plan, notes=notes))
    except (DownloadError, CombinedError) as error:
        if plan.extensions.from_indexes and _may_be_index_fault(error):
            raise _IndexDoubtedError(error) from None
        if context.lock is not None:
            _blame_lock(error)
        raise_all(_name_missing(error, context, plan))
        raise
    return gathered


def unauthenticated_notes(urls: Sequence[str]) -> list[str]:
    """Return a note if nothing shows that files come from those who made them.

    Args:
        urls: the URLs of files that came over plain http, and that no strong digest proves.
    """
    if not urls:
        return []
    count = "1 file is" if len(urls) == 1 else f"{len(urls)} files are"
    example = f"{urls[0]}{', …' if len(urls) > 1 else ''}"
    lacks = "no signature, and no SHA-256 in a recipe or a lock file"
    return [f"{count} unauthenticated: fetched over plain http, with {lacks} ({example})"]


def _unauthenticated(fetched: Mapping[Download, DownloadedFile | None]) -> list[str]:
    return [
        file.url
        for download, file in fetched.items()
        if file is not None and is_unauthenticated(download, file)
    ]


def _name_missing(
    error: DownloadError | CombinedError, context: PlanContext, plan: Plan
) -> Iterator[PurekernelError]:
    """Yield the errors, those about missing extensions in the form that planning gives them."""
    planned = plan.extensions
    absent: dict[str, str] = {}
    if any(isinstance(each, MissingFileError) for each in split_errors([error])):
        for name in find_absent(context, planned.graph):
            absent[missing(planned.graph.extensions[name].file).message] = name
    for each in split_errors([error]):
        if each.message in absent:
            yield absent_error(planned.graph, absent[each.message], planned.places)
        else:
            yield each


def _may_be_index_fault(error: DownloadError | CombinedError) -> bool:
    return all(isinstance(each, DownloadError) for each in split_errors([error]))


def _blame_lock(error: DownloadError | CombinedError) -> None:
    """Set a hint about the lock file on each checksum error.

    Network errors keep their hint, because the lock file does not cause them.
    """
    for each in split_errors([error]):
        if isinstance(each, ChecksumError):
            each.hint = (
                "the lock file pins another file than the mirrors have: to accept the mirrors' "
                "file, run 'purekernel lock --update'"
            )


def _contradictions(gathered: Gathered, *, locked: bool) -> Iterator[ChecksumError]:
    """Yield an error for each extension that contradicts its companion files."""
    planned = gathered.plan.extensions
    from_index = "the mirror's index" if planned.from_indexes else "an earlier download"
    other = "the lock file" if locked else from_index
    for extension in planned.graph.extensions.values():
        package = gathered.fetched.get(extension.file)
        for suffix, download in extension.companions.items():
            beside = gathered.fetched.get(download)
            if beside is None or package is None:
                continue
            if suffix == MD5:
                expected = parse_md5(Input(gathered.downloads.load(beside), name=beside.url))
                if expected != package.md5:
                    yield ChecksumError(
                        f"{extension.name}: wrong MD5: must be {expected} as in {beside.name}, "
                        f"got {package.md5}"
                    )
            elif suffix == DEPENDENCIES:
                needs = parse_dependencies(Input(gathered.downloads.load(beside), name=beside.url))
                if needs != extension.dependencies:
                    yield ChecksumError(
                        f"{beside.name}: contradicts {other}: must be "
                        f"{', '.join(extension.dependencies) or 'nothing'}, got "
                        f"{', '.join(needs) or 'nothing'}"
                    )
