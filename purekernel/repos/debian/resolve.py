"""Select the packages for a list, and resolve their dependencies.

A dependency is satisfied by the first match in this order: an extension that the recipe names
as its substitute; a listed extension of the same name; a package that is already selected; and,
if dependencies are followed, a package of the archive. There is no backtracking: the newest
version that matches is selected at the first occurrence of a name, and a later dependency that
it does not satisfy is an error. ``Conflicts`` and ``Breaks`` are ignored, because extensions do
not overwrite each other's files.

Source: Debian Policy, 7, "Declaring relationships between packages".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from attrs import field

from purekernel.errors import DependencyError, LimitError, PurekernelError, extend_chain, raise_all
from purekernel.fetch.model import Download
from purekernel.formats.debian.control import PackageRecord
from purekernel.formats.debian.names import ALL, ANY, PackageChoice
from purekernel.formats.debian.relation import Alternatives, Relation, show_alternatives
from purekernel.formats.tinycore import TCZ
from purekernel.records import frozen
from purekernel.repos.steps import Steps

# A complete desktop has about 3,000 packages.
MAX_PACKAGES = 5000

_TOO_MANY = (
    "shorten the lists, do not follow the dependencies of packages, or name another packages "
    "index: this one may be damaged or hostile"
)


@frozen(kw_only=True)
class PackageCandidate:
    """A package that a resolution can select.

    Attributes:
        record: metadata of the package.
        download: the package's file.
    """

    record: PackageRecord
    download: Download


class PackageRepository(Protocol):
    """A source of packages: a Debian archive, or a lock file."""

    def named(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages called ``name``, of all versions and architectures."""
        ...

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages that provide ``name``."""
        ...


def newest_first(candidates: Iterable[PackageCandidate]) -> list[PackageCandidate]:
    """Return packages sorted by version, newest first. The sort is stable."""
    return sorted(candidates, key=lambda candidate: candidate.record.version, reverse=True)


@frozen(kw_only=True)
class ListedPackage:
    """A package in a list.

    Attributes:
        choice: name of the package, with its version and architecture if given.
        place: file and line of the entry, for messages.
        alone: whether to ignore its dependencies.
    """

    choice: PackageChoice
    place: str = field(eq=False)
    alone: bool = False


@frozen(kw_only=True)
class PackageRules:
    """Options for resolving packages.

    Attributes:
        architecture: the image's architecture, by Debian's name.
        follow: whether to include the packages that packages depend on.
        extensions: maps names of packages to the extensions that replace them; empty if the
            image already has the package.
        brought: extensions that are listed themselves. Each replaces the package of its name.
        skip: extensions that are left out.
    """

    architecture: str
    follow: bool = False
    extensions: Mapping[str, tuple[str, ...]] = field(factory=dict)
    brought: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()


@frozen(kw_only=True)
class ResolvedPackage:
    """A selected package.

    Attributes:
        extension: name of the extension that is made from the package.
        candidate: the package.
        needs: extensions that it depends on, in order.
        in_image: dependencies that the image already has, according to the recipe.
        left: dependencies that nothing satisfies.
    """

    extension: str
    candidate: PackageCandidate
    needs: tuple[str, ...] = ()
    in_image: tuple[Alternatives, ...] = ()
    left: tuple[Alternatives, ...] = ()


@frozen(kw_only=True)
class PackageResolution:
    """All packages that a list resolves to.

    Attributes:
        packages: selected packages by the name of their extension, in order of selection.
        listed: name of the extension for each entry of the list. Those that are not found are not
            among ``packages``.
        errors: what is missing or contradictory; empty if the result is complete.
    """

    packages: Mapping[str, ResolvedPackage]
    listed: tuple[str, ...]
    errors: tuple[PurekernelError, ...] = ()

    def complete(self) -> PackageResolution:
        """Return the resolution, which must be complete.

        Raises:
            DependencyError: there is an error.
            CombinedError: there are several.
        """
        raise_all(self.errors)
        return self


def extension_of(package: str) -> str:
    """Return the name of the extension that is made from a package."""
    return package + TCZ


def resolve_packages(
    listed: Sequence[ListedPackage], repository: PackageRepository, rules: PackageRules
) -> PackageResolution:
    """Return the packages that ``listed`` resolves to, with the dependencies of each.

    The order of ``listed`` only affects the order of the result.

    The result has an error for each package that is missing or of which no version matches, that is
    listed twice with different versions or architectures, or that has the name of a listed
    extension.

    Raises:
        LimitError: there are more packages than any image can hold, or the selection takes too many
            steps.
    """
    return _PackageSearch(repository, rules).run(listed)


class _PackageSearch:
    """The packages selected so far, and the errors."""

    def __init__(self, repository: PackageRepository, rules: PackageRules) -> None:
        self._repository = repository
        self._rules = rules
        self._taken: dict[str, PackageCandidate] = {}
        self._providers: dict[str, list[PackageRecord]] = {}
        self._chains: dict[str, tuple[str, ...]] = {}
        self._pending: deque[str] = deque()
        self._alone: frozenset[str] = frozenset()
        self._places: dict[str, str] = {}
        self._errors: list[PurekernelError] = []
        # Packages compared with a dependency, and names that they provide.
        self._steps = Steps("to select all packages", hint=_TOO_MANY)

    def run(self, listed: Sequence[ListedPackage]) -> PackageResolution:
        choices: dict[str, ListedPackage] = {}
        self._alone = frozenset(entry.choice.name for entry in listed if entry.alone)
        self._alone -= {entry.choice.name for entry in listed if not entry.alone}
        for entry in listed:
            first = choices.setdefault(entry.choice.name, entry)
            if first is entry:
                self._ask(entry)
            elif first.choice != entry.choice:
                self._errors.append(
                    DependencyError(
                        f"{entry.place}: {entry.choice} conflicts with {first.choice} "
                        f"({first.place}): both become {extension_of(entry.choice.name)}",
                        hint="delete one of the two",
                    )
                )
        resolved = {}
        while self._pending:
            if len(self._taken) > MAX_PACKAGES:
                raise LimitError(
                    source="the packages",
                    expected=f"at most {MAX_PACKAGES} of them",
                    got="more",
                    hint="shorten the lists, or do not follow the dependencies of packages",
                )
            name = self._pending.popleft()
            resolved[extension_of(name)] = self._resolve(name)
        return PackageResolution(
            packages=resolved,
            listed=tuple(extension_of(entry.choice.name) for entry in listed),
            errors=tuple(self._errors),
        )

    def _ask(self, listed: ListedPackage) -> None:
        choice = listed.choice
        if extension_of(choice.name) in self._rules.brought:
            self._errors.append(
                DependencyError(
                    f"{listed.place}: {choice.name}.deb becomes {extension_of(choice.name)}, "
                    "which is listed as well",
                    hint="delete one of the two",
                )
            )
            return
        architecture = choice.architecture or self._rules.architecture
        candidates = self._repository.named(choice.name)
        matching = [
            candidate
            for candidate in candidates
            if candidate.record.architecture in (architecture, ALL)
            and choice.admits(candidate.record.version)
        ]
        if matching:
            self._places[str(choice)] = listed.place
            self._take(newest_first(matching)[0], (str(choice),))
        else:
            reason = self._why_none(choice.name, candidates, architecture)
            self._errors.append(
                DependencyError.of_missing(
                    f"{choice}.deb",
                    place=listed.place,
                    reason=reason,
                    hint="correct the name, name another packages index, or leave it out with "
                    f"--skip {choice.name}.deb",
                )
            )

    def _take(self, candidate: PackageCandidate, chain: tuple[str, ...]) -> str:
        name = candidate.record.name
        self._taken[name] = candidate
        for provided in dict.fromkeys((name, *(other for other, _ in candidate.record.provides))):
            self._providers.setdefault(provided, []).append(candidate.record)
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
            relevant = tuple(relation for relation in group if relation.counts_on(architecture))
            extensions = self._satisfy(relevant, candidate.record) if relevant else ()
            if extensions is None:
                left.append(relevant)
            elif not extensions and relevant:
                in_image.append(relevant)
            needs.update(dict.fromkeys(extensions or ()))
        needs.pop(extension_of(name), None)
        return ResolvedPackage(
            extension=extension_of(name),
            candidate=candidate,
            needs=tuple(needs),
            in_image=tuple(in_image),
            left=tuple(left),
        )

    def _satisfy(self, group: Alternatives, record: PackageRecord) -> tuple[str, ...] | None:
        """Return the extensions that satisfy one of ``group``; ``None`` if there are none."""
        self._count(len(group), record)
        for relation in group:
            if relation.name in self._rules.extensions:
                return self._rules.extensions[relation.name]
        for relation in group:
            extension = extension_of(relation.name)
            if extension in self._rules.brought or extension in self._rules.skip:
                return (extension,)
        for relation in group:
            for taken in self._providers.get(relation.name, ()):
                if self._satisfies(relation, taken, record):
                    return (extension_of(taken.name),)
        if not self._rules.follow:
            return None
        for relation in group:
            candidate = self._find(relation, record)
            if candidate is not None:
                chain = extend_chain(self._chains[record.name], str(relation))
                return (extension_of(self._take(candidate, chain)),)
        self._errors.append(self._unmet(group, record))
        return ()

    def _find(self, relation: Relation, record: PackageRecord) -> PackageCandidate | None:
        """Return a package of the archive that satisfies ``relation``, or ``None``."""
        architecture = self._architecture(record)
        if relation.qualifier not in ("", ANY):
            architecture = relation.qualifier
        for candidates in (
            newest_first(self._repository.named(relation.name)),
            # Of the packages that provide it, prefer the first in the alphabet.
            sorted(
                newest_first(self._repository.providing(relation.name)),
                key=lambda candidate: candidate.record.name,
            ),
        ):
            # They are sorted as well, which compares their versions.
            self._count(4 * len(candidates), record)
            for candidate in candidates:
                if (
                    candidate.record.architecture in (architecture, ALL)
                    and candidate.record.name not in self._taken
                    and self._satisfies(relation, candidate.record, record)
                ):
                    return candidate
        return None

    def _satisfies(self, relation: Relation, found: PackageRecord, record: PackageRecord) -> bool:
        """Count a comparison for ``record``; return whether ``found`` satisfies ``relation``."""
        self._count(1 + len(found.provides), record)
        return _satisfies(relation, found)

    def _count(self, steps: int, record: PackageRecord) -> None:
        self._steps.count(steps, f"the dependencies of the package {record.name}")

    def _architecture(self, record: PackageRecord) -> str:
        return self._rules.architecture if record.architecture == ALL else record.architecture

    def _unmet(self, group: Alternatives, record: PackageRecord) -> DependencyError:
        wanted = show_alternatives(group)
        chain = self._chains[record.name]
        place = self._places.get(chain[0])
        chain = extend_chain(chain, wanted)
        reasons = "; ".join(
            dict.fromkeys(
                self._why_none(
                    relation.name,
                    self._repository.named(relation.name),
                    self._architecture(record),
                )
                if (taken := self._taken.get(relation.name)) is None
                else f"{taken.record} is already selected"
                for relation in group
            )
        )
        hint = (
            "name an extension for it under [[need]] in the recipe, with an empty list if the "
            "image already has it, or name another packages index"
        )
        if any(relation.name in self._taken for relation in group):
            # An archive may have it.
            prefix = f"{place}: " if place else ""
            return DependencyError(f"{prefix}{' → '.join(chain)}: {reasons}", hint=hint)
        return DependencyError.of_missing(
            wanted, place=place, chain=chain, reason=reasons, hint=hint
        )

    def _why_none(
        self, name: str, candidates: Sequence[PackageCandidate], architecture: str
    ) -> str:
        if not candidates:
            providers = {found.record.name for found in self._repository.providing(name)}
            if providers:
                return f"no package is called {name}; it is provided by {_some(sorted(providers))}"
            return f"no packages index has {name}"
        available = [str(candidate.record) for candidate in newest_first(candidates)]
        return f"no match for {architecture}; available: {_some(available)}"


def _satisfies(relation: Relation, record: PackageRecord) -> bool:
    """Return whether a package satisfies ``relation``, by its name or by what it provides."""
    if relation.name == record.name and relation.admits(record.version):
        return True
    return any(
        relation.name == name
        and (relation.version is None or (version is not None and relation.admits(version)))
        for name, version in record.provides
    )


def _some(words: Iterable[str]) -> str:
    return ", ".join(_first(words, 5))


def _first(words: Iterable[str], count: int) -> Iterator[str]:
    for number, word in enumerate(words):
        if number == count:
            yield "…"
            return
        yield word
