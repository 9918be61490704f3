"""Plan the gems: resolve the listed gems and their dependencies to releases."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from attrs import evolve

from purekernel.errors import LockError, PurekernelError, RecipeError
from purekernel.fetch.urls import last_component
from purekernel.formats.gem import GemVersion, ListedGem, parse_gem_list, parse_listed_gem
from purekernel.input import Input
from purekernel.plan.locked import LockedGems
from purekernel.plan.plan import GemPlan, PlanContext
from purekernel.razor.project import GEM_LIST, Project
from purekernel.recipe import defaults
from purekernel.recipe.flavour import Generation
from purekernel.recipe.model import GemLayout
from purekernel.repos.rubygems import (
    GemCandidate,
    GemRepository,
    GemServers,
    GemTarget,
    ResolvedGem,
    resolve_gems,
)

_RUBYGEMS = re.compile(r"rubygems-([0-9]+(?:\.[0-9]+)*)\.(?:tgz|tar\.gz)")


def plan_gems(
    context: PlanContext, project: Project | None, errors: list[PurekernelError]
) -> GemPlan:
    """Return the gems of an image.

    Use the pinned releases if they satisfy the list. Otherwise, unless the lock file binds, query
    the servers.

    Args:
        context: the inputs of the plan.
        project: the project, whose list applies if the recipe has none.
        errors: receives errors in lines of the list.

    Raises:
        DependencyError: a gem, or a release that satisfies its requirements, is not found.
        LockError: the lock file binds and does not pin a needed gem.
        DownloadError: the servers cannot be reached.
    """
    plan = GemPlan(layout=_layout(context, project))
    listed = _listed_gems(context, project, errors)
    if not listed:
        return plan
    target = _target(context, project)
    servers = tuple(map(context.place, context.recipe.mirrors.gems)) or defaults.GEM_SERVERS
    live = GemServers(servers, context.downloads)
    if context.lock is None:
        return evolve(plan, releases=_resolve(listed, live, target), notes=live.notes)
    locked = LockedGems(context.lock, servers, context.place)
    try:
        return evolve(plan, releases=_resolve(listed, locked, target))
    except PurekernelError as error:
        if context.strict:
            raise _not_locked(error) from None
    try:
        releases = _resolve(listed, _LockedFirst(locked, live), target)
    except PurekernelError:
        # The pinned and the new releases conflict: ignore the pins.
        releases = _resolve(listed, live, target)
    return evolve(plan, releases=releases, notes=live.notes)


def _listed_gems(
    context: PlanContext, project: Project | None, errors: list[PurekernelError]
) -> tuple[ListedGem, ...]:
    """Return the recipe's gems, or else the project's list."""
    wanted = context.recipe.gems.wanted
    gems: list[ListedGem] = []
    for item in wanted or ():
        try:
            gems.append(parse_listed_gem(item.name, place=item.place))
        except RecipeError as error:
            errors.append(error)
    if wanted is not None or project is None:
        return tuple(gems)
    list_errors: list[PurekernelError] = []
    data = project.content(GEM_LIST) or b""
    listed = parse_gem_list(Input(data, name=GEM_LIST.decode()), errors=list_errors)
    errors += [error.within(project.source) for error in list_errors]
    return listed


class _LockedFirst:
    """A repository of pinned gems, and of the servers' releases of all other gems."""

    def __init__(self, locked: LockedGems, live: GemRepository) -> None:
        self._locked = locked
        self._live = live

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
        """Return the releases of each gem."""
        found = dict(self._locked.versions(names))
        new = [name for name in names if name not in found]
        if new:
            found.update(self._live.versions(new))
        return found


def _resolve(
    listed: tuple[ListedGem, ...], repository: GemRepository, target: GemTarget
) -> tuple[ResolvedGem, ...]:
    return resolve_gems(listed, repository, ruby=target.ruby, rubygems=target.rubygems).gems


def _layout(context: PlanContext, project: Project | None) -> GemLayout:
    """Return the recipe's layout of gems, or else that of the project's generation."""
    layout = context.recipe.gems.layout
    if layout is None:
        old = project is not None and project.generation is Generation.V2012
        layout = GemLayout.FLAT if old else GemLayout.MIRROR
    return layout


def _target(context: PlanContext, project: Project | None) -> GemTarget:
    """Return the versions that the gems must support. For a Microkernel, derive them.

    Its programs are in ``lib/ruby/1.8``, and the RubyGems that it contains installs the gems.
    """
    ruby = context.recipe.gems.ruby
    if project is None:
        return GemTarget(ruby=None if ruby is None else _version(ruby, context))
    razor = context.recipe.razor
    requested = None if razor is None else razor.rubygems
    file_name = last_component(defaults.RUBYGEMS if requested is None else requested)
    match = _RUBYGEMS.fullmatch(file_name)
    return GemTarget(
        ruby=_version(ruby or defaults.RUBY, context),
        rubygems=GemVersion(match[1]) if match is not None else None,
    )


def _version(text: str, context: PlanContext) -> GemVersion:
    try:
        return GemVersion(text)
    except ValueError:
        raise RecipeError(
            f"invalid Ruby version: must be like 1.8.7, got {text!r}",
            hint="correct ruby under [gems]",
        ).within(context.recipe.gems.place("ruby")) from None


def _not_locked(error: PurekernelError) -> LockError:
    return LockError(
        f"the lock file does not pin all gems: {error}", hint="run 'purekernel lock' to pin them"
    )
