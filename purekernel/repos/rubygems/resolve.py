"""Find the releases that a list of gems comes to, with all that they need to run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from attrs import define, field, frozen

from purekernel.errors import DependencyError, LimitError, raise_all
from purekernel.fetch.wanted import Wanted
from purekernel.formats.gem.compact import Release
from purekernel.formats.gem.gem_list import ListedGem
from purekernel.formats.gem.requirement import Requirement
from purekernel.formats.gem.spec import RUBY, Dependency
from purekernel.formats.gem.version import Version
from purekernel.repos.rubygems.repository import Candidate, GemRepository

# A large application has some three hundred.
MAX_GEMS = 2000


# One for each step of the longest chain of needs, and some more for loops.
MAX_ROUNDS = 500
HINT = "correct the list, or name a gem server that has it"


# RubyGems up to 1.8.24 writes several clauses on Ruby's version into one text when it installs
# a gem, and cannot read that afterwards: the gem is there and cannot be used.
FIRST_WITH_SEVERAL_CLAUSES = Version("1.8.25")


# What a list of gems comes to.


@frozen(kw_only=True)
class GemEdge:
    """One gem's need of another.

    Attributes:
        name: of the gem that is needed.
        requirement: on its version.
        version: that which was taken for it.
    """

    name: str
    requirement: Requirement
    version: Version = field(eq=lambda version: version.text)


@frozen(kw_only=True)
class ResolvedGem:
    """One release that is taken.

    Attributes:
        name: of the gem.
        version: of the release.
        file_name: ``json_pure-1.7.7.gem``.
        wanted: its file.
        dependencies: what it needs to run, in the order in which it says so.
    """

    name: str
    version: Version = field(eq=lambda version: version.text)
    file_name: str
    wanted: Wanted
    dependencies: tuple[GemEdge, ...] = ()


@frozen(kw_only=True)
class GemResolution:
    """All gems that a list comes to.

    Attributes:
        gems: by name, then version.
        listed: what was asked for, in the list's order, and the version that was taken for it.
    """

    gems: tuple[ResolvedGem, ...]
    listed: tuple[tuple[ListedGem, Version], ...]


# Choose releases of one gem for what is required of it, or say why there is none.


@frozen(kw_only=True)
class Target:
    """Where gems are to run; ``None`` where that does not matter.

    Attributes:
        ruby: its version.
        rubygems: the version of its RubyGems.
    """

    ruby: Version | None = None
    rubygems: Version | None = None

    def obstacle(self, release: Release) -> str:
        """Say what keeps ``release`` from running there; empty where nothing does."""
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
        return " and ".join(f"{what} {version}" for what, version in parts if version is not None)


class Choices:
    """The releases of one gem, newest first."""

    def __init__(self, candidates: Collection[Candidate], target: Target) -> None:
        self._all = candidates
        self._target = target
        # Of two versions that are equal, 1.0 and 1.0.0, the longer is the newer.
        self._ruby = sorted(
            (candidate for candidate in candidates if candidate.release.platform == RUBY),
            key=lambda candidate: (candidate.release.version, candidate.release.version.text),
            reverse=True,
        )
        self._running = [found for found in self._ruby if not target.obstacle(found.release)]

    def for_all(self, requirements: Sequence[Requirement]) -> Candidate | None:
        """Return the newest release that meets all of ``requirements``.

        Prereleases are among them where one of the requirements names one.
        """
        prerelease = any(requirement.prerelease for requirement in requirements)
        for candidate in self._running:
            version = candidate.release.version
            if (prerelease or not version.prerelease) and all(
                requirement.admits(version) for requirement in requirements
            ):
                return candidate
        return None

    def why_none(self, requirement: Requirement) -> str:
        """Say why no release meets ``requirement``."""
        if not self._all:
            return "all its releases were withdrawn"
        if not self._ruby:
            platforms = sorted({candidate.release.platform for candidate in self._all})
            return f"it has no release for platform ruby, only for {', '.join(platforms)}"
        matching = [found for found in self._ruby if requirement.accepts(found.release.version)]
        if matching:
            return self._why_not_running(matching[0].release)
        versions = [candidate.release.version for candidate in self._ruby]
        prereleases = [version for version in versions if requirement.admits(version)]
        if prereleases:
            return f"only prereleases would do, such as {prereleases[0]}; none was asked for"
        newest = next((version for version in versions if not version.prerelease), versions[0])
        return f"no release matches; the newest is {newest}"

    def _why_not_running(self, newest: Release) -> str:
        running = next(
            (found for found in self._running if not found.release.version.prerelease), None
        )
        other = (
            "no other release runs there either"
            if running is None
            else f"the newest that runs there is {running.release.version}"
        )
        return (
            f"what matches does not run on {self._target}: {newest.version} "
            f"{self._target.obstacle(newest)}; {other}"
        )


def resolve_gems(
    listed: Iterable[ListedGem],
    repository: GemRepository,
    *,
    ruby: Version | None = None,
    rubygems: Version | None = None,
) -> GemResolution:
    """Return the releases that are taken for ``listed``, and for all that these need to run.

    Only releases for platform ``ruby`` are taken, and prereleases only where a requirement
    names one. A gem is looked at after every gem that needs it, so that all that is required
    of it is known by then:

    1. The newest release that meets all requirements on the gem is taken.
    2. Where there is none such, for each requirement the newest that meets it: an index may
       offer several versions of a gem, and its user chooses among them.

    Where gems need each other in a circle, one comes first (the first met on a walk from the
    list's gems, by name); when what is required of it later does not fit what was taken, the
    choice is made again with that requirement as well.

    The order of the list, and that in which the repository knows releases, make no
    difference.

    Args:
        listed: the gems that are asked for.
        repository: what knows their releases.
        ruby: the version of the Ruby they are to run on; what does not is passed over.
        rubygems: likewise of its RubyGems.

    Raises:
        DependencyError: a name or a requirement that nothing meets, with the chain of needs
            that led there. All are reported at once.
        LimitError: there is no end to what the gems need.
    """
    search = _Search(tuple(listed), repository, Target(ruby=ruby, rubygems=rubygems))
    return search.run()


@frozen(kw_only=True, eq=False)
class _Demand:
    """What is required of a gem, and who requires it.

    Attributes:
        position: of the first gem of the chain in the list, from 0.
        place: where that is.
        chain: the releases that led here, outermost first.
        need: the gem and the requirement.
    """

    position: int
    place: str
    chain: tuple[str, ...]
    need: Dependency

    @property
    def order(self) -> tuple[int, int, tuple[str, ...], str]:
        """The shortest chain first, since a message shows one of several."""
        return len(self.chain), self.position, self.chain, str(self.need)

    def error(self, why: str) -> DependencyError:
        """Return the error to raise when nothing meets it."""
        steps = " → ".join((*self.chain, str(self.need)))
        return DependencyError(f"{self.place}: {steps}: {why}", hint=HINT)


@define(kw_only=True)
class _Round:
    """One walk over all gems, needers first.

    Attributes:
        demands: on each gem, as far as was walked.
        taken: releases of each gem that was looked at, newest first.
        unmet: demands that nothing meets.
        belated: demands on gems that had been looked at, met by nothing that was taken.
    """

    demands: dict[str, list[_Demand]] = field(factory=dict)
    taken: dict[str, list[Candidate]] = field(factory=dict)
    unmet: list[_Demand] = field(factory=list)
    belated: list[_Demand] = field(factory=list)


class _Search:
    """What is known so far, over all rounds."""

    def __init__(
        self, listed: tuple[ListedGem, ...], repository: GemRepository, target: Target
    ) -> None:
        self._listed = listed
        self._repository = repository
        self._target = target
        self._choices: dict[str, Choices | None] = {}
        # The names that each gem's releases needed in any round; they only ever grow.
        self._needs: dict[str, set[str]] = {}
        # Belated demands of earlier rounds, by what is required and the release requiring it.
        self._kept: dict[str, dict[tuple[str, str], _Demand]] = {}

    def run(self) -> GemResolution:
        for _ in range(MAX_ROUNDS):
            order = self._order()
            self._learn(order)
            round_ = _Round()
            if not self._walk(order, round_):
                unmet = [*round_.unmet, *round_.belated]
                unmet.sort(key=lambda demand: (demand.position, demand.order))
                raise_all(map(self._error, unmet))
                return self._result(round_)
        raise _endless(f"{MAX_ROUNDS} rounds")

    def _learn(self, names: list[str]) -> None:
        """Ask for the releases of all gems that are new, at once."""
        if len(names) > MAX_GEMS:
            raise _endless(f"{MAX_GEMS} gems")
        new = sorted(set(names) - self._choices.keys())
        if not new:
            return
        known = self._repository.versions(new)
        for name in new:
            candidates = known.get(name)
            self._choices[name] = None if candidates is None else Choices(candidates, self._target)

    def _order(self) -> list[str]:
        """Return all names known, those that need others before these.

        A depth-first walk, its order of leaving reversed: only within a circle may a gem
        stand before one that needs it.
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
                    stack.append((following, iter(sorted(self._needs.get(following, ())))))
        return left[::-1]

    def _walk(self, order: list[str], round_: _Round) -> bool:
        """Take releases of each gem in ``order``; say whether another round is needed."""
        for position, gem in enumerate(self._listed):
            need = Dependency(name=gem.name, requirement=gem.requirement)
            demand = _Demand(position=position, place=gem.place, chain=(), need=need)
            round_.demands.setdefault(gem.name, []).append(demand)
        grown = False
        for name in order:
            demands = sorted(round_.demands.get(name, ()), key=lambda demand: demand.order)
            asked = [*demands, *self._kept.get(name, {}).values()]
            # Without any, only what is no longer taken needed it.
            taken = self._take(name, asked) if asked else []
            round_.taken[name] = taken
            round_.unmet += [
                demand for demand in demands if not _meeting(demand.need.requirement, taken)
            ]
            for candidate in taken:
                grown |= self._pass_on(candidate, asked[0], round_)
        # While there are needs that the order did not know of, being late means nothing.
        return grown or self._keep(round_.belated)

    def _take(self, name: str, asked: list[_Demand]) -> list[Candidate]:
        choices = self._choices[name]
        if choices is None:
            return []
        requirements = [demand.need.requirement for demand in asked]
        found = choices.for_all(requirements)
        if found is not None:
            return [found]
        each = [choices.for_all([requirement]) for requirement in requirements]
        taken = {found.release.version.text: found for found in each if found is not None}
        return sorted(taken.values(), key=lambda found: found.release.version, reverse=True)

    def _error(self, demand: _Demand) -> DependencyError:
        """Return the error of a demand that nothing meets."""
        choices = self._choices[demand.need.name]
        if choices is None:
            return demand.error("there is no gem of that name")
        return demand.error(choices.why_none(demand.need.requirement))

    def _pass_on(self, candidate: Candidate, because: _Demand, round_: _Round) -> bool:
        """Note what ``candidate`` needs; say whether its gem was not known to need that."""
        known = self._needs.setdefault(candidate.name, set())
        before = len(known)
        chain = (*because.chain, f"{candidate.name}-{candidate.release.version}")
        for need in candidate.release.dependencies:
            known.add(need.name)
            demand = _Demand(position=because.position, place=because.place, chain=chain, need=need)
            round_.demands.setdefault(need.name, []).append(demand)
            taken = round_.taken.get(need.name)
            if taken is not None and not _meeting(need.requirement, taken):
                round_.belated.append(demand)
        return len(known) > before

    def _keep(self, belated: list[_Demand]) -> bool:
        """Remember belated demands for the next round; say whether there were new ones."""
        grown = False
        for demand in belated:
            kept = self._kept.setdefault(demand.need.name, {})
            key = str(demand.need.requirement), demand.chain[-1]
            grown |= key not in kept
            kept.setdefault(key, demand)
        return grown

    def _result(self, round_: _Round) -> GemResolution:
        """Put together what the last round took, less what only earlier rounds asked for."""
        gems: dict[tuple[str, str], ResolvedGem] = {}
        listed = tuple(
            (gem, _meeting(gem.requirement, round_.taken[gem.name])[0]) for gem in self._listed
        )
        waiting = [found for _, found in listed]
        while waiting:
            candidate = waiting.pop()
            key = candidate.name, candidate.release.version.text
            if key in gems:
                continue
            needed = [
                (need, _meeting(need.requirement, round_.taken[need.name])[0])
                for need in candidate.release.dependencies
            ]
            gems[key] = _resolved(candidate, needed)
            waiting += [found for _, found in needed]
        ordered = sorted(gems.values(), key=lambda gem: (gem.name, gem.version, gem.version.text))
        return GemResolution(
            gems=tuple(ordered),
            listed=tuple((gem, found.release.version) for gem, found in listed),
        )


def _meeting(requirement: Requirement, taken: list[Candidate]) -> list[Candidate]:
    """Return what of ``taken`` meets ``requirement``, newest first.

    One that was taken for several requirements may be a prerelease, which one of them named.
    """
    return [found for found in taken if requirement.admits(found.release.version)]


def _resolved(candidate: Candidate, needed: list[tuple[Dependency, Candidate]]) -> ResolvedGem:
    return ResolvedGem(
        name=candidate.name,
        version=candidate.release.version,
        file_name=f"{candidate.name}-{candidate.release.version}.gem",
        wanted=candidate.wanted,
        dependencies=tuple(
            GemEdge(name=need.name, requirement=need.requirement, version=found.release.version)
            for need, found in needed
        ),
    )


def _endless(what: str) -> LimitError:
    return LimitError(
        source="the gem servers' index",
        expected=f"an end to what the gems need after {what}",
        got="none",
        hint="the index is damaged or hostile: name another gem server",
    )
