"""Plan the gems: resolve the listed gems and their dependencies to releases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from attrs import evolve

from purekernel.errors import LockError, PurekernelError, RecipeError
from purekernel.fetch.model import Download
from purekernel.fetch.urls import join_url
from purekernel.formats.detect import FileKind
from purekernel.formats.gem import GemDependency, GemVersion, ListedGem, parse_listed_gem
from purekernel.formats.gem.compact import GemRelease
from purekernel.plan.lock import Lock, PinnedGem
from purekernel.plan.locked import not_locked, pinned
from purekernel.plan.plan import GemPlan, PlanContext
from purekernel.recipe.conventions import Conventions
from purekernel.repos.rubygems import (
    GemCandidate,
    GemRepository,
    GemServers,
    GemTarget,
    ResolvedGem,
    resolve_gems,
)


def plan_gems(
    context: PlanContext, conventions: Conventions, errors: list[PurekernelError]
) -> GemPlan:
    """Return the gems of an image.

    Use the pinned releases if they satisfy the list. Otherwise, unless the lock file binds, query
    the servers.

    Args:
        context: the inputs of the plan.
        conventions: give the list of gems if the recipe has none.
        errors: receives errors in lines of the list.

    Raises:
        DependencyError: a gem, or a release that satisfies its requirements, is not found.
        LockError: the lock file binds and does not pin a needed gem.
        DownloadError: the servers cannot be reached.
    """
    plan = GemPlan(layout=context.recipe.gems.layout or conventions.gem_layout)
    listed = _listed_gems(context, conventions, errors)
    if not listed:
        return plan
    ruby = conventions.ruby(context.recipe)
    target = GemTarget(
        ruby=None if ruby is None else _version(ruby, context),
        rubygems=conventions.rubygems(context.recipe),
    )
    servers = context.gem_servers
    live = GemServers(context.searched(servers), context.downloads)
    if context.lock is None:
        return evolve(plan, releases=_resolve(listed, live, target), notes=live.notes)
    locked = LockedGems(context.lock, servers, context.place)
    try:
        return evolve(plan, releases=_resolve(listed, locked, target))
    except PurekernelError as error:
        if context.strict:
            raise not_locked(error, "gems") from None
    try:
        releases = _resolve(listed, _LockedFirst(locked, live), target)
    except PurekernelError:
        # The pinned and the new releases conflict: ignore the pins.
        releases = _resolve(listed, live, target)
    return evolve(plan, releases=releases, notes=live.notes)


def _listed_gems(
    context: PlanContext, conventions: Conventions, errors: list[PurekernelError]
) -> tuple[ListedGem, ...]:
    """Return the recipe's gems, or else those of the conventions."""
    wanted = context.recipe.gems.wanted
    gems: list[ListedGem] = []
    for item in wanted or ():
        try:
            gems.append(parse_listed_gem(item.name, place=item.place))
        except RecipeError as error:
            errors.append(error)
    return conventions.gems(errors) if wanted is None else tuple(gems)


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


def _version(text: str, context: PlanContext) -> GemVersion:
    try:
        return GemVersion(text)
    except ValueError:
        raise RecipeError(
            f"invalid Ruby version: must be like 1.8.7, got {text!r}",
            hint="correct ruby under [gems]",
        ).within(context.recipe.gems.place("ruby")) from None


class LockedGems:
    """The gems that a lock file pins."""

    def __init__(self, lock: Lock, servers: Sequence[str], place: Callable[[str], str]) -> None:
        """Hold the pins of a lock file.

        Args:
            lock: the lock file's content.
            servers: gem servers that may have the files.
            place: converts a path in the lock to a path on this host.
        """
        self._servers = servers
        self._place = place
        self._gems: dict[str, list[PinnedGem]] = {}
        for gem in lock.gems:
            self._gems.setdefault(gem.name, []).append(gem)

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
        """Return the pinned releases of each gem.

        Raises:
            LockError: the lock file is damaged.
        """
        return {
            name: tuple(map(self._candidate, self._gems[name]))
            for name in names
            if name in self._gems
        }

    def _candidate(self, gem: PinnedGem) -> GemCandidate:
        try:
            needs = [parse_listed_gem(need, place="the lock file") for need in gem.needs]
            version = GemVersion(gem.version)
        except (RecipeError, ValueError) as error:
            raise LockError(f"the lock file: damaged: {gem.name}: {error}") from None
        urls = tuple(join_url(server, "gems", gem.pin.name) for server in self._servers)
        download = Download(name=gem.pin.name, urls=urls, kind=FileKind.TAR)
        return GemCandidate(
            name=gem.name,
            release=GemRelease(
                version=version,
                dependencies=tuple(
                    GemDependency(name=need.name, requirement=need.requirement) for need in needs
                ),
                sha256=gem.pin.sha256,
            ),
            download=pinned(download, gem.pin, self._place),
        )
