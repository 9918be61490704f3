"""Find the packages that a list comes to, and what takes the place of what they depend on.

What a package depends on is looked for in this order: an extension that the recipe's table
names for it; an extension of its name that is asked for anyway; a package that is taken
already; and, where dependencies are followed, the archive. Nothing is tried out: the newest
version that will do is taken when a name is first met, and what it does not satisfy later is
an error. ``Conflicts`` and ``Breaks`` are not looked at, for extensions do not overwrite one
another's files.

Source: Debian Policy, 7, "Declaring relationships between packages".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import field, frozen

from purekernel.errors import DependencyError, LimitError, PurekernelError, raise_all
from purekernel.formats.debian.names import ALL, ANY, PackageChoice
from purekernel.formats.debian.record import PackageRecord
from purekernel.formats.debian.relation import Alternatives, Relation, show_alternatives
from purekernel.formats.tinycore import TCZ
from purekernel.repos.debian.archive import newest_first
from purekernel.repos.debian.repository import Candidate, PackageRepository

# A desktop with all its programs has some 3,000.
MAX_PACKAGES = 5000


@frozen(kw_only=True)
class AskedPackage:
    """A package in a list.

    Attributes:
        choice: which.
        place: where that is said, for messages.
        alone: whether what it depends on does not matter.
    """

    choice: PackageChoice
    place: str = field(eq=False)
    alone: bool = False


@frozen(kw_only=True)
class PackageRules:
    """How packages become extensions.

    Attributes:
        architecture: that of the image, as Debian calls it.
        follow: whether what packages depend on comes with them.
        extensions: for names of packages, the extensions that do in their place; none where the
            image has it anyway.
        brought: extensions that are asked for, which do in the place of packages of their names.
        skip: extensions that are left out.
    """

    architecture: str
    follow: bool = False
    extensions: Mapping[str, tuple[str, ...]] = field(factory=dict)
    brought: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()


@frozen(kw_only=True)
class ResolvedPackage:
    """A package that is taken.

    Attributes:
        extension: the name of what it becomes.
        candidate: the package.
        needs: the extensions that it needs, in order.
        in_image: what it depends on that the image is said to have.
        left: what it depends on, and nothing brings.
    """

    extension: str
    candidate: Candidate
    needs: tuple[str, ...] = ()
    in_image: tuple[Alternatives, ...] = ()
    left: tuple[Alternatives, ...] = ()


@frozen(kw_only=True)
class PackageResolution:
    """All packages that a list comes to.

    Attributes:
        packages: by the names of the extensions that they become, in the order in which they
            were met.
        asked: for each package in the list, that name.
    """

    packages: Mapping[str, ResolvedPackage]
    asked: tuple[str, ...]


def extension_of(package: str) -> str:
    """Return the name of the extension that a package becomes."""
    return package + TCZ


def resolve_packages(
    asked: Sequence[AskedPackage], repository: PackageRepository, rules: PackageRules
) -> PackageResolution:
    """Return the packages that are taken for ``asked``, and what each needs.

    The order of ``asked`` makes no difference but to the order of what comes out.

    Raises:
        DependencyError: a package is not there, or none that would do; one of another
            architecture or version is asked for under the same name; or an extension of that
            name is. All that is wrong is told at once.
        LimitError: there are more packages than any image could hold.
    """
    return _Search(repository, rules).run(asked)


class _Search:
    """What is taken so far."""

    def __init__(self, repository: PackageRepository, rules: PackageRules) -> None:
        self._repository = repository
        self._rules = rules
        self._taken: dict[str, Candidate] = {}
        self._standing_for: dict[str, list[PackageRecord]] = {}
        self._chains: dict[str, tuple[str, ...]] = {}
        self._pending: deque[str] = deque()
        self._alone: frozenset[str] = frozenset()
        self._errors: list[PurekernelError] = []

    def run(self, asked: Sequence[AskedPackage]) -> PackageResolution:
        choices: dict[str, AskedPackage] = {}
        self._alone = frozenset(one.choice.name for one in asked if one.alone)
        self._alone -= {one.choice.name for one in asked if not one.alone}
        for one in asked:
            first = choices.setdefault(one.choice.name, one)
            if first is one:
                self._ask(one)
            elif first.choice != one.choice:
                self._errors.append(
                    DependencyError(
                        f"{one.place}: {one.choice} is asked for, and {first.place} asks for "
                        f"{first.choice}; both would become {extension_of(one.choice.name)}",
                        hint="take one of the two out",
                    )
                )
        resolved = {}
        while self._pending:
            if len(self._taken) > MAX_PACKAGES:
                raise LimitError(
                    source="the packages",
                    expected=f"at most {MAX_PACKAGES} of them",
                    got="more",
                    hint="shorten the lists, or do not follow what packages depend on",
                )
            name = self._pending.popleft()
            resolved[extension_of(name)] = self._resolve(name)
        raise_all(self._errors)
        return PackageResolution(
            packages=resolved, asked=tuple(extension_of(one.choice.name) for one in asked)
        )

    def _ask(self, asked: AskedPackage) -> None:
        choice = asked.choice
        if extension_of(choice.name) in self._rules.brought:
            self._errors.append(
                DependencyError(
                    f"{asked.place}: {choice.name}.deb would become "
                    f"{extension_of(choice.name)}, which is asked for as well",
                    hint="take one of the two out",
                )
            )
            return
        architecture = choice.architecture or self._rules.architecture
        candidates = self._repository.named(choice.name)
        fitting = [
            one
            for one in candidates
            if one.record.architecture in (architecture, ALL) and choice.admits(one.record.version)
        ]
        if fitting:
            self._take(newest_first(fitting)[0], (str(choice),))
        else:
            why = self._why_none(choice.name, candidates, architecture)
            self._errors.append(
                DependencyError(
                    f"{asked.place}: {_wish(choice)}: {why}",
                    hint="correct the name, name another packages index, or leave it out with "
                    f"--skip {choice.name}.deb",
                )
            )

    def _take(self, candidate: Candidate, chain: tuple[str, ...]) -> str:
        name = candidate.record.name
        self._taken[name] = candidate
        for provided in dict.fromkeys((name, *(one for one, _ in candidate.record.provides))):
            self._standing_for.setdefault(provided, []).append(candidate.record)
        self._chains[name] = chain
        self._pending.append(name)
        return name

    def _resolve(self, name: str) -> ResolvedPackage:
        candidate = self._taken[name]
        if name in self._alone:
            return ResolvedPackage(extension=extension_of(name), candidate=candidate)
        needs: dict[str, None] = {}
        in_image: list[Alternatives] = []
        left: list[Alternatives] = []
        architecture = self._architecture(candidate.record)
        for group in candidate.record.depends:
            counting = tuple(one for one in group if one.counts_on(architecture))
            found = self._satisfy(counting, candidate.record) if counting else ()
            if found is None:
                left.append(counting)
            elif not found and counting:
                in_image.append(counting)
            needs.update(dict.fromkeys(found or ()))
        needs.pop(extension_of(name), None)
        return ResolvedPackage(
            extension=extension_of(name),
            candidate=candidate,
            needs=tuple(needs),
            in_image=tuple(in_image),
            left=tuple(left),
        )

    def _satisfy(self, group: Alternatives, record: PackageRecord) -> tuple[str, ...] | None:
        """Return the extensions that do for one of ``group``; ``None`` where nothing does."""
        for relation in group:
            if relation.name in self._rules.extensions:
                return self._rules.extensions[relation.name]
        for relation in group:
            extension = extension_of(relation.name)
            if extension in self._rules.brought or extension in self._rules.skip:
                return (extension,)
        for relation in group:
            for taken in self._standing_for.get(relation.name, ()):
                if _satisfies(relation, taken):
                    return (extension_of(taken.name),)
        if not self._rules.follow:
            return None
        for relation in group:
            found = self._find(relation, record)
            if found is not None:
                chain = (*self._chains[record.name], str(relation))
                return (extension_of(self._take(found, chain)),)
        self._errors.append(self._unmet(group, record))
        return ()

    def _find(self, relation: Relation, record: PackageRecord) -> Candidate | None:
        """Return the package of the archive that does for ``relation``, if there is one."""
        architecture = self._architecture(record)
        if relation.qualifier not in ("", ANY):
            architecture = relation.qualifier
        for candidates in (
            newest_first(self._repository.named(relation.name)),
            # Whoever is first in the alphabet, of all that stand for it.
            sorted(
                newest_first(self._repository.providing(relation.name)),
                key=lambda one: one.record.name,
            ),
        ):
            for candidate in candidates:
                if (
                    candidate.record.architecture in (architecture, ALL)
                    and candidate.record.name not in self._taken
                    and _satisfies(relation, candidate.record)
                ):
                    return candidate
        return None

    def _architecture(self, record: PackageRecord) -> str:
        return self._rules.architecture if record.architecture == ALL else record.architecture

    def _unmet(self, group: Alternatives, record: PackageRecord) -> DependencyError:
        reasons = []
        for relation in group:
            taken = self._taken.get(relation.name)
            reasons.append(
                f"{taken.record} is taken already"
                if taken is not None
                else self._why_none(
                    relation.name,
                    self._repository.named(relation.name),
                    self._architecture(record),
                )
            )
        steps = " → ".join((*self._chains[record.name], show_alternatives(group)))
        return DependencyError(
            f"{steps}: {'; '.join(dict.fromkeys(reasons))}",
            hint="name an extension for it under [[need]] in the recipe, with an empty list if the "
            "image has it, or name another packages index",
        )

    def _why_none(self, name: str, candidates: Sequence[Candidate], architecture: str) -> str:
        if not candidates:
            providers = {one.record.name for one in self._repository.providing(name)}
            if providers:
                return f"no package is called {name}; it is provided by {_some(sorted(providers))}"
            return f"no packages index has {name}"
        there = [str(one.record) for one in newest_first(candidates)]
        return f"for {architecture} there is none such; there is {_some(there)}"


def _satisfies(relation: Relation, record: PackageRecord) -> bool:
    """Say whether a package does for ``relation``, by its name or by what it provides."""
    if relation.name == record.name and relation.admits(record.version):
        return True
    return any(
        relation.name == name
        and (relation.version is None or (version is not None and relation.admits(version)))
        for name, version in record.provides
    )


def _wish(choice: PackageChoice) -> str:
    return f"{choice} cannot be had"


def _some(words: Iterable[str]) -> str:
    return ", ".join(_first(words, 5))


def _first(words: Iterable[str], count: int) -> Iterator[str]:
    for number, word in enumerate(words):
        if number == count:
            yield "…"
            return
        yield word
