"""Make the plan of a recipe, asking as little as it takes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import evolve

from purekernel.errors import (
    CombinedError,
    InputError,
    MissingFileError,
    PurekernelError,
    raise_all,
)
from purekernel.formats.limits import Limits
from purekernel.plan.extensions import PlannedExtensions, plan_extensions
from purekernel.plan.files import extra_asks, overlay_asks, plan_base, plan_file
from purekernel.plan.plan import BASE, PROJECT, Inquiry, Plan, PlannedFile, PlannedGem
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.recipe.model import GemLayout, Recipe
from purekernel.repos.tinycore import resolve_kernel

if TYPE_CHECKING:
    from purekernel.formats.core_iso import Base
    from purekernel.plan.project import FoundProject
    from purekernel.razor.project import Project


def make_plan(inquiry: Inquiry) -> tuple[Planner, Plan]:
    """Return the plan, and who made it.

    Where something is wrong by the word of a mirror's index, which may be older than the files
    that it speaks of, it is planned once more by the files.

    Raises:
        PurekernelError: as :meth:`Planner.plan` has it.
    """
    planner = Planner(inquiry)
    try:
        return planner, planner.plan()
    except PurekernelError:
        if not planner.disputable:
            raise
    planner = Planner(evolve(inquiry, use_indexes=False))
    return planner, planner.plan()


class Planner:
    """Makes the plan of one recipe, and holds the base, which it may have to look into."""

    def __init__(self, inquiry: Inquiry) -> None:
        """Plan what ``inquiry`` asks for."""
        self._inquiry = inquiry
        self._base: Base | None = None
        self._disputable = False

    def plan(self) -> Plan:
        """Return the plan.

        Raises:
            PurekernelError: something is not to be had, or does not go together; all of it
                that can be found out at once is told at once.
        """
        errors = [*self._inquiry.recipe.faults, *_missing_overlays(self._inquiry.recipe)]
        try:
            return self._plan(errors)
        except PurekernelError as error:
            raise_all([*errors, *_new_among(error, errors)])
            raise

    def _plan(self, errors: list[PurekernelError]) -> Plan:
        """Return the plan; what is wrong and leaves something to go on with is added to ``errors``.

        Raises:
            PurekernelError: there is nothing to go on with, or something was added.
        """
        inquiry = self._inquiry
        inquiry.check_lock()
        found = self.project
        project = found.project if found is not None else None
        flavour = inquiry.recipe.flavour or (Flavour.DEV if project is not None else None)
        files = self._files(found, errors)
        extensions = plan_extensions(
            inquiry, project, flavour, self.base, base_is_pinned=self._base_is_pinned(files)
        )
        self._disputable = extensions.disputable
        errors += extensions.errors
        gems: tuple[PlannedGem, ...] = ()
        gem_notes: tuple[str, ...] = ()
        if project is not None or inquiry.recipe.gems.wanted:
            from purekernel.plan.gems import plan_gems  # noqa: PLC0415  # 40 ms

            try:
                planned = plan_gems(inquiry, project, errors)
                gems, gem_notes = planned.gems, planned.notes
            except PurekernelError as error:
                errors.append(error)
        raise_all(errors)
        layout = inquiry.recipe.gems.layout
        if layout is None:
            old = project is not None and project.generation is Generation.V2012
            layout = GemLayout.FLAT if old else GemLayout.MIRROR
        return Plan(
            recipe=inquiry.recipe,
            flavour=flavour,
            project=project,
            release=inquiry.release,
            kernel=extensions.kernel,
            files=files,
            graph=extensions.graph,
            builtin=extensions.builtin,
            mirror=extensions.mirror,
            merged=extensions.merged,
            cuts=extensions.cuts,
            cut_from=extensions.cut_from,
            gems=gems,
            gem_layout=layout,
            from_indexes=extensions.from_indexes,
            notes=(
                *filter(None, [self._planned_base[1]]),
                *extensions.notes,
                *_notes(extensions, inquiry.recipe.extensions.skip),
                *gem_notes,
                *_project_notes(inquiry.recipe, project, flavour),
            ),
        )

    @property
    def limits(self) -> Limits:
        """The readers' bounds."""
        return self._inquiry.limits

    @property
    def disputable(self) -> bool:
        """Whether something is wrong only if an index is right about what extensions need."""
        return self._disputable

    @cached_property
    def project(self) -> FoundProject | None:
        """The project that the recipe names, if it names one."""
        if self._inquiry.recipe.razor is None:
            return None
        from purekernel.plan.project import find_project  # noqa: PLC0415  # 25 ms

        return find_project(self._inquiry, self._inquiry.recipe.razor)

    @property
    def planned_base(self) -> PlannedFile:
        """How the base ISO is to be had."""
        return self._planned_base[0]

    @cached_property
    def _planned_base(self) -> tuple[PlannedFile, str]:
        return plan_base(self._inquiry)

    def base(self) -> Base:
        """Return what the base ISO holds, for which it is fetched if it must be."""
        if self._base is None:
            downloads = self._inquiry.downloads
            fetched = downloads.fetch(self.planned_base.wanted)
            if fetched is None:
                raise MissingFileError(f"no mirror has {self.planned_base.wanted.name}")
            return self.base_of(downloads.load(fetched))
        return self._base

    def base_of(self, iso: bytes) -> Base:
        """Return what the base ISO, which is at hand, holds; it is unpacked once."""
        if self._base is None:
            from purekernel.formats.core_iso import parse_base  # noqa: PLC0415  # 40 ms, with pycdlib

            # A plain remaster keeps all that its base has; a Microkernel what Razor's scripts
            # kept.
            keep = self._inquiry.recipe.iso.keep_files
            self._base = parse_base(
                iso,
                source=self.planned_base.wanted.name,
                keep_iso_files=self._inquiry.recipe.razor is None if keep is None else keep,
                limits=self._inquiry.limits,
            )
        return self._base

    def _base_is_pinned(self, files: Mapping[str, PlannedFile]) -> bool:
        lock = self._inquiry.lock
        if lock is None or BASE not in lock.files or BASE not in files:
            return False
        return files[BASE].asked == lock.files[BASE].asked

    def _files(
        self, found: FoundProject | None, errors: list[PurekernelError]
    ) -> dict[str, PlannedFile]:
        files: dict[str, PlannedFile] = {}
        try:
            files[BASE] = self.planned_base
        except PurekernelError as error:
            errors.append(error)
        if found is not None and found.planned is not None:
            files[PROJECT] = found.planned
        generation = None if found is None else found.project.generation
        for ask in (*overlay_asks(self._inquiry), *extra_asks(self._inquiry, generation)):
            try:
                files[ask.role] = plan_file(self._inquiry, ask)
            except PurekernelError as error:
                errors.append(error)
        return files


def _new_among(
    error: PurekernelError, told: Collection[PurekernelError]
) -> Iterator[PurekernelError]:
    """Yield what ``error`` says that is not told already."""
    words = {str(one) for several in told for one in _each(several)}
    yield from (one for one in _each(error) if str(one) not in words)


def _each(error: PurekernelError) -> tuple[PurekernelError, ...]:
    return error.errors if isinstance(error, CombinedError) else (error,)


def _missing_overlays(recipe: Recipe) -> Iterator[InputError]:
    for overlay in recipe.overlays:
        if overlay.path is not None and not os.path.lexists(recipe.folder / overlay.path):
            yield InputError(
                f"{recipe.source}: there is no {recipe.folder / overlay.path} to lay over",
                hint="the path of an overlay is taken from the recipe's folder",
            )


def _notes(extensions: PlannedExtensions, skip: Collection[str]) -> list[str]:
    graph = extensions.graph
    notes = [f"left out as asked: {name}" for name in sorted(extensions.left_out)]
    idle = {resolve_kernel(name, extensions.kernel) for name in skip} - extensions.left_out
    notes += [f"to be left out, and nothing asks for it: {name}" for name in sorted(idle)]
    notes += [
        f"{start} and {end} need each other"
        if start != end
        else f"{start} says that it needs itself"
        for start, end in graph.loops
    ]
    return notes


def _project_notes(
    recipe: Recipe, project: Project | None, flavour: Flavour | None
) -> Iterator[str]:
    if project is None or recipe.razor is None:
        return
    from purekernel.razor.bundle import SSH_SETUP_PATH, host_keys  # noqa: PLC0415  # 25 ms

    if flavour is not Flavour.PROD and project.content(SSH_SETUP_PATH) is None:
        yield (
            f"the project has no {SSH_SETUP_PATH.decode()}: the image's SSH server is not set up"
        )
    if project.generation is Generation.V2013 and (recipe.version or project.version) is None:
        yield (
            "nothing says the image's version, which the next step will ask for; give it with "
            "--iso-version"
        )
    if flavour is not Flavour.PROD and recipe.razor.ssh_host_keys and host_keys(project):
        yield (
            "the project brings SSH host keys, which every image made with it shares; leave "
            "them out with ssh-host-keys = false under [razor]"
        )
    if flavour is Flavour.PROD and project.generation is Generation.V2013:
        for account in recipe.accounts:
            if account.has_password:
                yield (
                    f"nobody logs in to a production image with a password: that of "
                    f"{account.name} is passed over"
                )
