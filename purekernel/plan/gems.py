"""Plan the gems: which releases the list comes to, and what these need."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from attrs import frozen

from purekernel.errors import LockError, PurekernelError, RecipeError
from purekernel.fetch.urls import last_component
from purekernel.formats.gem import ListedGem, Version, parse_gem_list, parse_listed_gem
from purekernel.plan.lock.locked import LockedGems
from purekernel.plan.plan import Inquiry, PlannedGem
from purekernel.razor.project import GEM_LIST, Project
from purekernel.recipe import defaults
from purekernel.repos.rubygems import Candidate, GemRepository, GemServers, resolve_gems

_RUBYGEMS = re.compile(r"rubygems-([0-9]+(?:\.[0-9]+)*)\.(?:tgz|tar\.gz)")


@frozen(kw_only=True)
class PlannedGems:
    """What a plan has of gems.

    Attributes:
        gems: in order of name and version.
        notes: what the user should know, a line each.
    """

    gems: tuple[PlannedGem, ...] = ()
    notes: tuple[str, ...] = ()


def plan_gems(
    inquiry: Inquiry, project: Project | None, errors: list[PurekernelError]
) -> PlannedGems:
    """Return the gems that an image carries.

    What a lock pins is taken where it still meets the list; where it does not, and the lock
    does not bind, the servers are asked.

    Args:
        inquiry: what the plan is made from.
        project: whose list counts where the recipe has none.
        errors: takes what is wrong with lines of the list.

    Raises:
        DependencyError: a gem, or a release that meets what is required of it, is not there.
        LockError: the lock does not have it.
        DownloadError: the servers cannot be asked.
    """
    listed = _listed_gems(inquiry, project, errors)
    if not listed:
        return PlannedGems()
    target = _target(inquiry, project)
    servers = tuple(map(inquiry.place, inquiry.recipe.mirrors.gems)) or defaults.GEM_SERVERS
    live = GemServers(servers, inquiry.downloads)
    if inquiry.lock is None:
        return PlannedGems(gems=_resolve(listed, live, target), notes=live.notes)
    locked = LockedGems(inquiry.lock, servers, inquiry.place)
    try:
        return PlannedGems(gems=_resolve(listed, locked, target))
    except PurekernelError as error:
        if inquiry.strict:
            raise _not_locked(error) from None
    try:
        gems = _resolve(listed, _LockedFirst(locked, live), target)
    except PurekernelError:
        # What is pinned and what is new do not go together: all of it anew.
        gems = _resolve(listed, live, target)
    return PlannedGems(gems=gems, notes=live.notes)


def _listed_gems(
    inquiry: Inquiry, project: Project | None, errors: list[PurekernelError]
) -> tuple[ListedGem, ...]:
    """Return what the recipe asks for, or else the project's list."""
    wanted = inquiry.recipe.gems.wanted
    gems: list[ListedGem] = []
    for one in wanted or ():
        try:
            gems.append(parse_listed_gem(one.name, place=one.place))
        except RecipeError as error:
            errors.append(error)
    if wanted is not None or project is None:
        return tuple(gems)
    found: list[PurekernelError] = []
    data = project.content(GEM_LIST) or b""
    listed = parse_gem_list(data, GEM_LIST.decode(), errors=found)
    errors += [error.within(project.source) for error in found]
    return listed


@frozen(kw_only=True)
class _Target:
    """What the gems are to run on; ``None`` is anything."""

    ruby: Version | None = None
    rubygems: Version | None = None


class _LockedFirst:
    """What a lock pins, and of all other gems what the servers have."""

    def __init__(self, locked: LockedGems, live: GemRepository) -> None:
        self._locked = locked
        self._live = live

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[Candidate, ...]]:
        """Return the releases of each gem."""
        found = dict(self._locked.versions(names))
        new = [name for name in names if name not in found]
        if new:
            found.update(self._live.versions(new))
        return found


def _resolve(
    listed: tuple[ListedGem, ...], repository: GemRepository, target: _Target
) -> tuple[PlannedGem, ...]:
    resolution = resolve_gems(listed, repository, ruby=target.ruby, rubygems=target.rubygems)
    return tuple(
        PlannedGem(
            name=gem.name,
            version=str(gem.version),
            needs=tuple(f"{edge.name} {edge.requirement}" for edge in gem.dependencies),
            wanted=gem.wanted,
        )
        for gem in resolution.gems
    )


def _target(inquiry: Inquiry, project: Project | None) -> _Target:
    """Return what the gems are to run on: of a Microkernel, what its own files say.

    Its programs lie in ``lib/ruby/1.8``, and the RubyGems that it brings installs the gems.
    """
    said = inquiry.recipe.gems.ruby
    if project is None:
        return _Target(ruby=None if said is None else _version(said, inquiry))
    razor = inquiry.recipe.razor
    asked = None if razor is None else razor.rubygems
    file_name = last_component(defaults.RUBYGEMS if asked is None else asked)
    found = _RUBYGEMS.fullmatch(file_name)
    return _Target(
        ruby=_version(said or defaults.RUBY, inquiry),
        rubygems=Version(found[1]) if found is not None else None,
    )


def _version(text: str, inquiry: Inquiry) -> Version:
    try:
        return Version(text)
    except ValueError:
        raise RecipeError(
            f"{inquiry.recipe.source}: {text!r} is no version of Ruby", hint="say it as 1.8.7"
        ) from None


def _not_locked(error: PurekernelError) -> LockError:
    return LockError(
        f"the lock file does not have all gems: {error}", hint="run 'purekernel lock' to pin them"
    )
