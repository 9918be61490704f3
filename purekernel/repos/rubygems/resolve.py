"""Select releases for a list of gems and for all their runtime dependencies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from attrs import define, field

from purekernel.errors import DependencyError, LimitError, extend_chain, raise_all
from purekernel.fetch.model import Download
from purekernel.formats.gem.compact import GemRelease
from purekernel.formats.gem.gem_list import ListedGem
from purekernel.formats.gem.spec import RUBY, GemDependency
from purekernel.formats.gem.version import GemRequirement, GemVersion
from purekernel.records import frozen
from purekernel.repos.steps import Steps

# A large application has about 300 gems.
MAX_GEMS = 2000

# One pass for each step of the longest chain of dependencies, and some more for cycles.
MAX_ROUNDS = 500

# Longer versions are compared in several steps.
_CHARS_PER_STEP = 16

_TOO_MANY = (
    "list fewer versions of the gem in gem.list, or name another gem server: this index may be "
    "damaged or hostile"
)

HINT = "correct the list, or name a gem server that has it"

# When RubyGems up to 1.8.24 installs a gem, it joins several clauses on Ruby's version into one
# string that it cannot read afterwards: the gem is installed, but cannot be used.
FIRST_WITH_SEVERAL_CLAUSES = GemVersion("1.8.25")


@frozen(kw_only=True)
class GemCandidate:
    """A release of a gem that a resolution can select.

    Attributes:
        name: name of the gem.
        release: its version, platform, dependencies and required Ruby and RubyGems.
        download: the release's file.
    """

    name: str
    release: GemRelease
    download: Download


class GemRepository(Protocol):
    """A source of releases of gems: a server, or a lock file."""

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
        """Return the releases of each gem, for all platforms, in any order.

        The result has no entry for an unknown name, and an empty entry for a gem whose releases
        were all withdrawn. One call takes several names so that they can be fetched in parallel.
        """
        ...


# The result of a resolution.


@frozen(kw_only=True)
class GemEdge:
    """A dependency of a gem on another gem.

    Attributes:
        name: name of the gem that is depended on.
        requirement: requirement on its version.
        version: version that was selected.
    """

    name: str
    requirement: GemRequirement
    version: GemVersion = field(eq=lambda version: version.text)


@frozen(kw_only=True)
class ResolvedGem:
    """A selected release.

    Attributes:
        name: name of the gem.
        version: version of the release.
        file_name: such as ``json_pure-1.7.7.gem``.
        download: the release's file.
        dependencies: runtime dependencies, in the order in which the gem declares them.
    """

    name: str
    version: GemVersion = field(eq=lambda version: version.text)
    file_name: str
    download: Download
    dependencies: tuple[GemEdge, ...] = ()


@frozen(kw_only=True)
class GemResolution:
    """All gems that a list resolves to.

    Attributes:
        gems: selected releases, sorted by name, then version.
        listed: entries of the list in order, each with its selected version.
    """

    gems: tuple[ResolvedGem, ...]
    listed: tuple[tuple[ListedGem, GemVersion], ...]


# Select a release of one gem by its requirements, or explain why none matches.


@frozen(kw_only=True)
class GemTarget:
    """The Ruby that gems must run on; ``None`` for any version.

    Attributes:
        ruby: version of Ruby.
        rubygems: version of RubyGems.
    """

    ruby: GemVersion | None = None
    rubygems: GemVersion | None = None

    def obstacle(self, release: GemRelease) -> str:
        """Return the reason why ``release`` does not run on the target; empty if it does."""
        required = release.required_ruby
        if self.ruby is not None and not required.admits(self.ruby):
            return f"needs Ruby {required}"
        if self.rubygems is None:
            return ""
        if not release.required_rubygems.admits(self.rubygems):
            return f"needs RubyGems {release.required_rubygems}"
        if self.rubygems < FIRST_WITH_SEVERAL_CLAUSES and len(required.clauses) > 1:
            return f"needs Ruby {required}, which RubyGems {self.rubygems} cannot read"
        return ""

    def __str__(self) -> str:
        parts = (("Ruby", self.ruby), ("RubyGems", self.rubygems))
        return " and ".join(f"{name} {version}" for name, version in parts if version is not None)


class _Comparisons:
    """Compare versions and count the steps; each method raises LimitError, which names the gem."""

    def __init__(self) -> None:
        self._steps = Steps("to select the releases of all gems", hint=_TOO_MANY)

    def count(self, steps: int, gem: str) -> None:
        """Count steps for ``gem``."""
        self._steps.count(steps, f"the dependencies on the gem {gem}")

    def admits(self, requirement: GemRequirement, candidate: GemCandidate) -> bool:
        """Count the comparisons, and return whether ``requirement`` admits the release."""
        version = candidate.release.version
        each = 1 + len(version.text) // _CHARS_PER_STEP
        self.count(each * len(requirement.clauses), candidate.name)
        return requirement.admits(version)

    def meeting(
        self, requirement: GemRequirement, taken: Iterable[GemCandidate]
    ) -> list[GemCandidate]:
        """Return the releases in ``taken`` that meet ``requirement``, in their order.

        A release selected for several requirements can be a prerelease that another one names.
        """
        return [candidate for candidate in taken if self.admits(requirement, candidate)]


class Choices:
    """The releases of one gem, newest first."""

    def __init__(
        self,
        name: str,
        candidates: Collection[GemCandidate],
        target: GemTarget,
        steps: _Comparisons,
    ) -> None:
        self._name = name
        self._all = candidates
        self._target = target
        self._steps = steps
        for candidate in candidates:
            release = candidate.release
            clauses = len(release.required_ruby.clauses) + len(release.required_rubygems.clauses)
            steps.count(clauses, name)
        # Of two equal versions such as 1.0 and 1.0.0, the longer counts as newer.
        self._ruby = sorted(
            (candidate for candidate in candidates if candidate.release.platform == RUBY),
            key=lambda candidate: (candidate.release.version, candidate.release.version.text),
            reverse=True,
        )
        self._running = [
            candidate for candidate in self._ruby if not target.obstacle(candidate.release)
        ]

    def for_all(self, requirements: Sequence[GemRequirement]) -> GemCandidate | None:
        """Return the newest release that meets all of ``requirements``.

        Prereleases count only if one of the requirements names a prerelease.
        """
        prerelease = any(requirement.prerelease for requirement in requirements)
        for candidate in self._running:
            self._steps.count(1, self._name)
            if (prerelease or not candidate.release.version.prerelease) and all(
                self._steps.admits(requirement, candidate) for requirement in requirements
            ):
                return candidate
        return None

    def why_none(self, requirement: GemRequirement) -> str:
        """Return the reason why no release meets ``requirement``."""
        # Every release is compared, twice if none matches.
        self._steps.count(2 * len(self._ruby) * len(requirement.clauses), self._name)
        if not self._all:
            return "all its releases were withdrawn"
        if not self._ruby:
            platforms = sorted({candidate.release.platform for candidate in self._all})
            return f"it has no release for platform ruby, only for {', '.join(platforms)}"
        matching = [
            candidate for candidate in self._ruby if requirement.accepts(candidate.release.version)
        ]
        if matching:
            return self._why_not_running(matching[0].release)
        versions = [candidate.release.version for candidate in self._ruby]
        prereleases = [version for version in versions if requirement.admits(version)]
        if prereleases:
            return (
                f"only prereleases match, such as {prereleases[0]}, and the requirement names none"
            )
        newest = next((version for version in versions if not version.prerelease), versions[0])
        return f"no release matches; the newest is {newest}"

    def _why_not_running(self, newest: GemRelease) -> str:
        running = next(
            (candidate for candidate in self._running if not candidate.release.version.prerelease),
            None,
        )
        other = (
            "no other release runs on it either"
            if running is None
            else f"the newest that runs on it is {running.release.version}"
        )
        return (
            f"no matching release runs on {self._target}: {newest.version} "
            f"{self._target.obstacle(newest)}; {other}"
        )


def resolve_gems(
    listed: Iterable[ListedGem],
    repository: GemRepository,
    *,
    ruby: GemVersion | None = None,
    rubygems: GemVersion | None = None,
) -> GemResolution:
    """Return the releases selected for ``listed`` and for all their runtime dependencies.

    Only releases for platform ``ruby`` are selected, and prereleases only if a requirement names
    one. A gem is processed after all gems that depend on it, so that all requirements on it are
    known:

    1. The newest release that meets all requirements on the gem is selected.
    2. If no release meets all of them, the newest release that meets each requirement is
       selected. An index can hold several versions of a gem, and RubyGems chooses among them.

    In a dependency cycle, one gem is processed first: the first on a walk from the listed gems,
    by name. If a requirement that is found later does not match the selected releases, the
    selection is repeated with that requirement included.

    The result depends neither on the order of the list nor on the repository's order of releases.

    Args:
        listed: entries of the list.
        repository: source of releases.
        ruby: version of the Ruby to run on; other releases are skipped. ``None`` for any.
        rubygems: version of its RubyGems. ``None`` for any.

    Raises:
        DependencyError: no gem or release matches; the message shows the chain of dependencies.
            All such errors are reported together.
        LimitError: the dependencies do not end, or the selection takes too many steps.
    """
    search = _GemSearch(tuple(listed), repository, GemTarget(ruby=ruby, rubygems=rubygems))
    return search.run()


@frozen(kw_only=True, eq=False)
class _Demand:
    """A requirement on a gem, with the gems that lead to it.

    Attributes:
        position: index in the list of the entry that starts the chain, from 0.
        place: file and line of that entry, for messages.
        chain: releases that lead to the requirement, outermost first; shortened in the middle if
            there are many.
        need: name of the gem, and the requirement.
    """

    position: int
    place: str
    chain: tuple[str, ...]
    need: GemDependency

    @property
    def order(self) -> tuple[int, int, tuple[str, ...], str]:
        """The sort key: the shortest chain first, because a message shows only one chain."""
        return len(self.chain), self.position, self.chain, str(self.need)

    def error(self, reason: str) -> DependencyError:
        """Return the error for a requirement that no release meets.

        Args:
            reason: why no release meets it; empty if there is no such gem.
        """
        steps = extend_chain(self.chain, str(self.need))
        if not reason:
            name = f"the gem {self.need.name}"
            return DependencyError.of_missing(name, place=self.place, chain=steps, hint=HINT)
        return DependencyError(f"{self.place}: {' → '.join(steps)}: {reason}", hint=HINT)


@define(kw_only=True)
class _Pass:
    """One pass over all gems, dependents before dependencies.

    Attributes:
        demands: demands on each gem, found so far.
        taken: selected releases of each processed gem, newest first.
        unmet: demands that no release meets.
        belated: demands on gems that were already processed, and that no selected release meets.
    """

    demands: dict[str, list[_Demand]] = field(factory=dict)
    taken: dict[str, list[GemCandidate]] = field(factory=dict)
    unmet: list[_Demand] = field(factory=list)
    belated: list[_Demand] = field(factory=list)


class _GemSearch:
    """The state of a resolution, over all passes."""

    def __init__(
        self, listed: tuple[ListedGem, ...], repository: GemRepository, target: GemTarget
    ) -> None:
        self._listed = listed
        self._repository = repository
        self._target = target
        self._choices: dict[str, Choices | None] = {}
        # The dependencies of each gem's selected releases in any pass. Names are never removed.
        self._needs: dict[str, set[str]] = {}
        # Belated demands of earlier passes, by the requirement and the release that has it.
        self._kept: dict[str, dict[tuple[str, str], _Demand]] = {}
        self._steps = _Comparisons()

    def run(self) -> GemResolution:
        for _ in range(MAX_ROUNDS):
            order = self._order()
            self._load(order)
            pass_ = _Pass()
            if not self._walk(order, pass_):
                unmet = [*pass_.unmet, *pass_.belated]
                unmet.sort(key=lambda demand: (demand.position, demand.order))
                raise_all(map(self._error, unmet))
                return self._result(pass_)
        raise _endless(f"{MAX_ROUNDS} passes")

    def _load(self, names: list[str]) -> None:
        """Fetch the releases of all new gems in one call."""
        if len(names) > MAX_GEMS:
            raise _endless(f"{MAX_GEMS} gems")
        new = sorted(set(names) - self._choices.keys())
        if not new:
            return
        known = self._repository.versions(new)
        for name in new:
            candidates = known.get(name)
            self._choices[name] = (
                None if candidates is None else Choices(name, candidates, self._target, self._steps)
            )

    def _order(self) -> list[str]:
        """Return all known names, dependents before dependencies.

        This is the reversed postorder of a depth-first walk. Only in a cycle can a gem come
        before a gem that depends on it.
        """
        left: list[str] = []
        seen: set[str] = set()
        for root in sorted({gem.name for gem in self._listed}):
            if root in seen:
                continue
            seen.add(root)
            stack = [(root, iter(sorted(self._needs.get(root, ()))))]
            while stack:
                name, rest = stack[-1]
                following = next((need for need in rest if need not in seen), None)
                if following is None:
                    left.append(name)
                    stack.pop()
                else:
                    seen.add(following)
                    needs = sorted(self._needs.get(following, ()))
                    self._steps.count(len(needs), following)
                    stack.append((following, iter(needs)))
        return left[::-1]

    def _walk(self, order: list[str], pass_: _Pass) -> bool:
        """Select releases of each gem in ``order``; return whether another pass is needed."""
        for position, gem in enumerate(self._listed):
            need = GemDependency(name=gem.name, requirement=gem.requirement)
            demand = _Demand(position=position, place=gem.place, chain=(), need=need)
            pass_.demands.setdefault(gem.name, []).append(demand)
        grown = False
        for name in order:
            demands = sorted(pass_.demands.get(name, ()), key=lambda demand: demand.order)
            demanded = [*demands, *self._kept.get(name, {}).values()]
            # A gem without demands was only a dependency of releases that are no longer selected.
            taken = self._take(name, demanded) if demanded else []
            pass_.taken[name] = taken
            pass_.unmet += [
                demand
                for demand in demands
                if not self._steps.meeting(demand.need.requirement, taken)
            ]
            for candidate in taken:
                grown |= self._pass_on(candidate, demanded[0], pass_)
        # With new dependencies the order changes, so keep no belated demands from this pass.
        return grown or self._keep(pass_.belated)

    def _take(self, name: str, demanded: list[_Demand]) -> list[GemCandidate]:
        choices = self._choices[name]
        if choices is None:
            return []
        requirements = [demand.need.requirement for demand in demanded]
        newest = choices.for_all(requirements)
        if newest is not None:
            return [newest]
        each = [choices.for_all([requirement]) for requirement in requirements]
        taken = {chosen.release.version.text: chosen for chosen in each if chosen is not None}
        return sorted(taken.values(), key=lambda chosen: chosen.release.version, reverse=True)

    def _error(self, demand: _Demand) -> DependencyError:
        """Return the error for a demand that no release meets."""
        choices = self._choices[demand.need.name]
        if choices is None:
            return demand.error("")
        return demand.error(choices.why_none(demand.need.requirement))

    def _pass_on(self, candidate: GemCandidate, cause: _Demand, pass_: _Pass) -> bool:
        """Record the dependencies of ``candidate``; return whether any is new for its gem."""
        known = self._needs.setdefault(candidate.name, set())
        before = len(known)
        chain = extend_chain(cause.chain, f"{candidate.name}-{candidate.release.version}")
        for need in candidate.release.dependencies:
            self._steps.count(1, need.name)
            known.add(need.name)
            demand = _Demand(position=cause.position, place=cause.place, chain=chain, need=need)
            pass_.demands.setdefault(need.name, []).append(demand)
            taken = pass_.taken.get(need.name)
            if taken is not None and not self._steps.meeting(need.requirement, taken):
                pass_.belated.append(demand)
        return len(known) > before

    def _keep(self, belated: list[_Demand]) -> bool:
        """Keep belated demands for the next pass; return whether any is new."""
        grown = False
        for demand in belated:
            kept = self._kept.setdefault(demand.need.name, {})
            key = str(demand.need.requirement), demand.chain[-1]
            grown |= key not in kept
            kept.setdefault(key, demand)
        return grown

    def _result(self, pass_: _Pass) -> GemResolution:
        """Return the selection of the last pass, without gems that only earlier passes required."""
        gems: dict[tuple[str, str], ResolvedGem] = {}
        listed = tuple(
            (gem, self._steps.meeting(gem.requirement, pass_.taken[gem.name])[0])
            for gem in self._listed
        )
        waiting = [candidate for _, candidate in listed]
        while waiting:
            candidate = waiting.pop()
            key = candidate.name, candidate.release.version.text
            if key in gems:
                continue
            needed = [
                (need, self._steps.meeting(need.requirement, pass_.taken[need.name])[0])
                for need in candidate.release.dependencies
            ]
            gems[key] = _resolved(candidate, needed)
            waiting += [dependency for _, dependency in needed]
        ordered = sorted(gems.values(), key=lambda gem: (gem.name, gem.version, gem.version.text))
        return GemResolution(
            gems=tuple(ordered),
            listed=tuple((gem, chosen.release.version) for gem, chosen in listed),
        )


def _resolved(
    candidate: GemCandidate, needed: list[tuple[GemDependency, GemCandidate]]
) -> ResolvedGem:
    return ResolvedGem(
        name=candidate.name,
        version=candidate.release.version,
        file_name=f"{candidate.name}-{candidate.release.version}.gem",
        download=candidate.download,
        dependencies=tuple(
            GemEdge(name=need.name, requirement=need.requirement, version=chosen.release.version)
            for need, chosen in needed
        ),
    )


def _endless(count: str) -> LimitError:
    return LimitError(
        source="the gem servers' index",
        expected=f"an end of the dependencies after {count}",
        got="none",
        hint="the index is damaged or hostile: name another gem server",
    )
