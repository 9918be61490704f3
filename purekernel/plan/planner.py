"""Make the plan of a recipe with as few downloads as possible."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import evolve

from purekernel.encode.releases import installed_releases
from purekernel.errors import (
    LockError,
    MissingFileError,
    PurekernelError,
    raise_all,
    split_errors,
)
from purekernel.fetch.model import Download
from purekernel.input import Limits
from purekernel.plan.bases import Load, PlannedBase, plan_base, read_base
from purekernel.plan.checksums import with_checksums
from purekernel.plan.efi import plan_efi_files
from purekernel.plan.extensions import plan_extensions
from purekernel.plan.files import files_by_url, further_files, plan_file
from purekernel.plan.lock import Lock, changed_releases
from purekernel.plan.plan import (
    PROJECT,
    ExtensionPlan,
    GemPlan,
    Plan,
    PlanContext,
    PlannedFile,
)
from purekernel.plan.project import FoundProject, find_project
from purekernel.recipe.conflicts import change_faults
from purekernel.recipe.conventions import PLAIN
from purekernel.recipe.efi import find_efi_faults
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.iso_files import find_faults
from purekernel.recipe.overlays import missing_overlays
from purekernel.recipe.system import find_system_faults
from purekernel.repos.tinycore import did_you_mean, resolve_kernel, similar_names
from purekernel.repos.tinycore.providers import find_in_mirrors

if TYPE_CHECKING:
    from purekernel.formats.core_iso import Base


def make_plan(context: PlanContext) -> tuple[Planner, Plan]:
    """Return the plan and its planner.

    If an error depends on a mirror's index, which may be older than the mirror's files, plan again
    without indexes.

    Raises:
        LockError: the context is locked, and the lock file pins what the recipe does not need in
            any flavour.
        PurekernelError: as for :meth:`Planner.plan`.
    """
    planner, plan = _make_plan(context)
    if context.locked and context.lock is not None:
        every = plan
        if plan.flavour is Flavour.PROD and not context.all_flavours:
            # A production image needs less than the others. What is read again is not counted.
            limits = context.limits.unbudgeted()
            _planner, every = _make_plan(evolve(context, all_flavours=True, limits=limits))
        _check_needed(context, context.lock, every)
    return planner, plan


def _make_plan(context: PlanContext) -> tuple[Planner, Plan]:
    restart = context.limits.mark()
    planner = Planner(context)
    try:
        return planner, planner.plan()
    except PurekernelError:
        if not planner.disputable:
            raise
    restart()
    planner = Planner(evolve(context, use_indexes=False))
    return planner, planner.plan()


class Planner:
    """Makes the plan of one recipe. Holds the base, which planning may have to read."""

    def __init__(self, context: PlanContext) -> None:
        """Prepare to plan from ``context``."""
        self._context = context
        self._base: Base | None = None
        self._disputable = False

    def plan(self) -> Plan:
        """Return the plan.

        Raises:
            PurekernelError: an input is missing, or two inputs contradict each other. Several
                errors are raised together where possible.
        """
        recipe = self._context.recipe
        errors = [
            *recipe.faults,
            *find_system_faults(recipe),
            *missing_overlays(recipe),
            *change_faults(recipe),
            *find_faults(recipe.iso_files, recipe.folder),
            *find_efi_faults(recipe.efi, recipe.efi_files),
        ]
        try:
            return self._plan(errors)
        except PurekernelError as error:
            raise_all([*errors, *_new_among(error, errors)])
            raise

    def _plan(self, errors: list[PurekernelError]) -> Plan:
        """Return the plan. Append errors to ``errors`` if planning can continue.

        Raises:
            PurekernelError: planning cannot continue, or ``errors`` is not empty at the end.
        """
        context = self._context
        context.check_lock()
        found = self.project
        conventions = PLAIN if found is None else found.conventions
        flavour = context.recipe.flavour or conventions.default_flavour
        files = self._files(found, errors)
        extensions = plan_extensions(
            context,
            conventions,
            flavour,
            self.base,
            errors,
            base_is_pinned=self._base_is_pinned(files),
        )
        self._disputable = extensions.disputable
        gems = GemPlan()
        if found is not None or context.recipe.gems.wanted:
            from purekernel.plan.gems import plan_gems  # noqa: PLC0415  # 40 ms

            try:
                with context.asking("gems"):
                    gems = plan_gems(context, conventions, errors)
            except PurekernelError as error:
                errors.append(error)
        extensions, gems, checksum_notes = with_checksums(context, extensions, gems, errors)
        raise_all(errors)
        return Plan(
            recipe=context.recipe,
            flavour=flavour,
            conventions=conventions,
            release=context.release,
            files=files,
            extensions=extensions,
            gems=gems,
            notes=(
                *self.planned_base.notes,
                *(release_notes(context.lock) if context.lock and context.strict else ()),
                *extensions.notes,
                *_notes(extensions, context.recipe.extensions.skip),
                *gems.notes,
                *checksum_notes,
                *conventions.notes(context.recipe, flavour),
            ),
        )

    @property
    def limits(self) -> Limits:
        """Limits on parsed input."""
        return self._context.limits

    def find_providers(self, names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the extensions of the mirrors that have files of these names.

        A lock file pins all inputs of a build, and this index is none of them: with a lock file,
        nothing is found.
        """
        context = self._context
        if context.lock is not None:
            return {}
        folders = context.searched(context.extension_folders)
        return find_in_mirrors(folders, context.downloads, names)

    @property
    def disputable(self) -> bool:
        """Whether an error depends on dependencies from an index, which may be wrong."""
        return self._disputable

    @cached_property
    def project(self) -> FoundProject | None:
        """The recipe's project, or ``None``."""
        if self._context.recipe.razor is None:
            return None
        return find_project(self._context, self._context.recipe.razor)

    @cached_property
    def planned_base(self) -> PlannedBase:
        """The files of the base."""
        return plan_base(self._context)

    def base(self) -> Base:
        """Return the base. Fetch its files if necessary."""
        return self.base_of(self._fetched)

    def base_of(self, load: Load) -> Base:
        """Return the base, whose files ``load`` returns. It is unpacked once."""
        if self._base is None:
            keep = self._context.recipe.iso.keep_files
            found = self.project
            conventions = PLAIN if found is None else found.conventions
            self._base = read_base(
                self._context,
                self.planned_base,
                load,
                keep_iso_files=(conventions.keeps_iso_files or None) if keep is None else keep,
            )
        return self._base

    def _fetched(self, download: Download) -> bytes:
        downloads = self._context.downloads
        fetched = downloads.fetch(download)
        if fetched is None:
            raise MissingFileError(f"{download.name} not found on any mirror")
        return downloads.load(fetched)

    def _base_is_pinned(self, files: Mapping[str, PlannedFile]) -> bool:
        lock = self._context.lock
        try:
            roles = {*self.planned_base.files}
        except PurekernelError:  # it is among the errors
            return False
        if lock is None or self.planned_base.folders:
            return False
        return all(
            role in files
            and role in lock.files
            and files[role].requested == lock.files[role].requested
            for role in roles
        )

    def _files(
        self, found: FoundProject | None, errors: list[PurekernelError]
    ) -> dict[str, PlannedFile]:
        files: dict[str, PlannedFile] = {}
        try:
            files.update(self.planned_base.files)
        except PurekernelError as error:
            errors.append(error)
        if found is not None and found.planned is not None:
            files[PROJECT] = found.planned
        conventions = PLAIN if found is None else found.conventions
        for file in (
            *files_by_url(self._context),
            *further_files(self._context, conventions),
        ):
            try:
                files[file.role] = plan_file(self._context, file)
            except PurekernelError as error:
                errors.append(error)
        files |= {file.role: file for file in plan_efi_files(self._context, errors)}
        return files


def require_lock(context: PlanContext) -> None:
    """Raise LockError if the lock file is missing."""
    if context.lock is None:
        raise LockError(
            f"{context.lock_path} not found: --locked needs a lock file",
            hint="make it with 'purekernel lock', or leave out --locked",
        )


def _check_needed(context: PlanContext, lock: Lock, plan: Plan) -> None:
    """Raise LockError if the lock file pins what ``plan``, of all flavours, does not need."""
    extensions = {*plan.extensions.graph.extensions, *plan.extensions.cut_from}
    gems = {(gem.name, str(gem.version)) for gem in plan.gems.releases}
    unneeded = [
        *(role for role in lock.files if role not in plan.files),
        *(name for name in (*lock.extensions, *lock.packages) if name not in extensions),
        *(gem.pin.name for gem in lock.gems if (gem.name, gem.version) not in gems),
    ]
    if unneeded:
        more = f" and {len(unneeded) - 1} more" if len(unneeded) > 1 else ""
        raise LockError(
            f"{context.lock_path} does not fit {context.recipe.source}: it pins "
            f"{unneeded[0]}{more}, which the recipe does not need",
            hint="run 'purekernel lock', or leave out --locked",
        )


def release_notes(lock: Lock) -> list[str]:
    """Return a note if other releases than those in the lock file make the image."""
    if not lock.releases:
        return []
    changed = [
        f"{name} {was or 'none'} there, {now or 'none'} here"
        for name, was, now in changed_releases(lock.releases, installed_releases())
    ]
    if not changed:
        return []
    return [
        f"the lock file was made with other releases, so the bytes may differ: {'; '.join(changed)}"
    ]


def _new_among(
    error: PurekernelError, known: Collection[PurekernelError]
) -> Iterator[PurekernelError]:
    """Yield the errors in ``error`` that are not among ``known``."""
    messages = {str(each) for group in known for each in split_errors([group])}
    yield from (each for each in split_errors([error]) if str(each) not in messages)


def _notes(extensions: ExtensionPlan, skip: Collection[str]) -> list[str]:
    graph = extensions.graph
    notes = [f"skipped as requested: {name}" for name in sorted(extensions.skipped)]
    unused = {resolve_kernel(name, extensions.kernel) for name in skip} - extensions.skipped
    for name in sorted(unused):
        question = did_you_mean(similar_names(name, graph.extensions))
        note = f"nothing to skip, as nothing depends on it: {name}"
        notes.append(f"{note}; {question}" if question else note)
    notes += [
        f"{start} and {end} depend on each other" if start != end else f"{start} depends on itself"
        for start, end in graph.loops
    ]
    return notes
