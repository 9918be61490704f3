"""Find the releases that a list of gems comes to, with all that they need to run."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field, frozen

from purekernel.errors import DependencyError, LimitError, raise_all
from purekernel.formats.gem.gem_list import ListedGem
from purekernel.formats.gem.requirement import Requirement
from purekernel.formats.gem.spec import Dependency
from purekernel.formats.gem.version import Version
from purekernel.sources.rubygems.choice import Choices, Target
from purekernel.sources.rubygems.repository import Candidate, GemRepository
from purekernel.sources.rubygems.resolution import GemEdge, GemResolution, ResolvedGem

# A large application has some three hundred.
MAX_GEMS = 2000

# One for each step of the longest chain of needs, and some more for loops.
MAX_ROUNDS = 500

HINT = "correct the list, or name a gem server that has it"


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
