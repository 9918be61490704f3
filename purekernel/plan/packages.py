"""Plan the Debian packages in lists: which there are, and the extensions that they become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from purekernel.errors import DependencyError, LockError, PurekernelError, RecipeError, raise_all
from purekernel.fetch.urls import join_url
from purekernel.fetch.wanted import MIB, Kind, Wanted
from purekernel.formats.debian.names import parse_choice
from purekernel.formats.debian.relation import Relation, show_alternatives
from purekernel.formats.debian.signature import Keyring, parse_keyring
from purekernel.formats.tinycore import DEB, TCZ
from purekernel.host.read import load_file
from purekernel.plan.lock.locked import FirstKnown, LockedPackages, pinned
from purekernel.plan.plan import Inquiry
from purekernel.recipe import defaults
from purekernel.recipe.model import Named
from purekernel.repos.debian import (
    AskedPackage,
    DebianArchive,
    PackageRepository,
    PackageResolution,
    PackageRules,
    ResolvedPackage,
    resolve_packages,
)
from purekernel.repos.tinycore import IMPORT_SCRIPT, Extension

# What Debian calls the architectures of Core.
ARCHITECTURES = {"x86": "i386", "x86_64": "amd64"}


# Scripts of a few lines.
MOST_SCRIPT_BYTES = MIB
EXAMPLE = "https://ftp.debian.org/debian/dists/bookworm/main/binary-i386/Packages.xz"


# A name that ends in ``.deb`` in a list of extensions stands for a package that is fetched from a
# Debian archive and made into an extension (:mod:`purekernel.plan.conversion`).


@frozen(kw_only=True)
class PlannedPackages:
    """What the packages of a plan come to.

    Attributes:
        extensions: those that they become, by name; of each the file is a package yet.
        names: for each name in a list, the extension's.
        notes: what the user should know, a line each.
    """

    extensions: Mapping[str, Extension] = field(factory=dict)
    names: Mapping[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()

    def in_place(self, listed: Iterable[Named]) -> tuple[Named, ...]:
        """Return names with those of extensions in the place of those of packages.

        A package that could not be planned is left out: why is told already.
        """
        return tuple(
            evolve(one, name=self.names[one.name]) if is_package(one.name) else one
            for one in listed
            if not is_package(one.name) or one.name in self.names
        )


def is_package(name: str) -> bool:
    """Say whether a name in a list is that of a package."""
    return name.endswith(DEB)


def package_name(name: str) -> str:
    """Return the package's own name, of one whose version or architecture may be said as well.

    Raises:
        FormatError: it is no name of a package.
    """
    return parse_choice(name, source="a list of extensions").name


def plan_packages(
    inquiry: Inquiry,
    listed: Sequence[Named],
    cut_from: Sequence[Named],
    errors: list[PurekernelError],
) -> PlannedPackages:
    """Return what the packages among ``listed`` and ``cut_from`` come to.

    What a lock pins is taken where it still meets the lists; where it does not, and the lock
    does not bind, the archives are asked.

    Args:
        inquiry: what the plan is made from.
        listed: all names in lists, those of extensions as well.
        cut_from: names of what files are cut out of; what these depend on does not matter.
        errors: takes what is wrong with them.
    """
    whole = {one.name for one in listed}
    packages = [one for one in (*listed, *cut_from) if is_package(one.name)]
    try:
        asked = [
            AskedPackage(
                choice=parse_choice(one.name, source=one.place),
                place=one.place,
                alone=one.name not in whole,
            )
            for one in packages
        ]
        planner = _Planner(inquiry, _rules(inquiry, listed))
        resolution = planner.resolve(asked)
    except PurekernelError as error:
        errors.append(error)
        return PlannedPackages()
    return PlannedPackages(
        extensions={name: planner.extension(one) for name, one in resolution.packages.items()},
        names={one.name: name for one, name in zip(packages, resolution.asked, strict=True)},
        notes=(*planner.notes, *_notes(resolution)),
    )


class _Planner:
    """Knows whom to ask, and how what came of it is to be had."""

    def __init__(self, inquiry: Inquiry, rules: PackageRules) -> None:
        self.notes: tuple[str, ...] = ()
        self._inquiry = inquiry
        self._rules = rules
        self._mirrors = tuple(map(inquiry.place, inquiry.recipe.mirrors.debian))

    def resolve(self, asked: Sequence[AskedPackage]) -> PackageResolution:
        inquiry = self._inquiry
        if inquiry.lock is None:
            return self._live(asked, None)
        locked = LockedPackages(inquiry.lock, self._mirrors, inquiry.place)
        try:
            return resolve_packages(asked, locked, self._rules)
        except PurekernelError as error:
            if inquiry.strict:
                raise _not_locked(error) from None
        try:
            return self._live(asked, locked)
        except PurekernelError:
            # What is pinned and what is new do not go together: all of it anew.
            return self._live(asked, None)

    def _live(
        self, asked: Sequence[AskedPackage], locked: LockedPackages | None
    ) -> PackageResolution:
        indexes = tuple(map(self._inquiry.place, self._inquiry.recipe.mirrors.debian_packages))
        if not indexes:
            raise_all(_no_index(one) for one in asked)
        archive = DebianArchive(
            indexes,
            self._inquiry.downloads,
            mirrors=self._mirrors,
            keyring=_keyring(self._inquiry),
        )
        repository: PackageRepository = archive
        if locked is not None:
            repository = FirstKnown(locked, archive)
        resolution = resolve_packages(asked, repository, self._rules)
        self.notes = archive.notes
        return resolution

    def extension(self, resolved: ResolvedPackage) -> Extension:
        """Return the extension that a package becomes."""
        script = self._script(resolved)
        return Extension(
            name=resolved.extension,
            dependencies=resolved.needs,
            package=resolved.candidate.wanted,
            sides={} if script is None else {IMPORT_SCRIPT: script},
            record=resolved.candidate.record,
        )

    def _script(self, resolved: ResolvedPackage) -> Wanted | None:
        """Return what the mirror of Tiny Core may have to be run for a package."""
        name = resolved.extension.removesuffix(TCZ) + IMPORT_SCRIPT
        wanted = Wanted(
            name=name,
            urls=tuple(join_url(folder, name) for folder in self._inquiry.script_folders),
            kind=Kind.TEXT,
            optional=True,
            most_bytes=MOST_SCRIPT_BYTES,
        )
        lock = self._inquiry.lock
        locked = None if lock is None else lock.packages.get(resolved.extension)
        if locked is None or locked.pin.sha256 != resolved.candidate.wanted.sha256:
            return wanted
        if locked.script is None:
            return None
        return pinned(wanted, locked.script, self._inquiry.place)


def _rules(inquiry: Inquiry, listed: Iterable[Named]) -> PackageRules:
    recipe = inquiry.recipe
    for need in recipe.needs:
        for name in need.extensions:
            if is_package(name):
                raise RecipeError(
                    f"{recipe.source}: {name} under [[need]] is a package, and only an extension "
                    f"can take the place of {need.package}",
                    hint=f"list {name} among the extensions; then it counts by itself",
                )
    skipped = recipe.extensions.skip
    return PackageRules(
        architecture=ARCHITECTURES[recipe.core.arch],
        follow=recipe.debian.follow and recipe.extensions.dependencies,
        extensions={
            **dict.fromkeys(defaults.PACKAGES_IN_CORE, ()),
            **{need.package: need.extensions for need in recipe.needs},
        },
        brought=frozenset(one.name for one in listed if not is_package(one.name)),
        skip=frozenset(package_name(one) + TCZ if is_package(one) else one for one in skipped),
    )


def _keyring(inquiry: Inquiry) -> Keyring | None:
    said = inquiry.recipe.debian.keyring
    if said is None:
        return None
    path = Path(inquiry.place(said))
    return parse_keyring(load_file(path), source=str(path))


def _no_index(asked: AskedPackage) -> DependencyError:
    return DependencyError(
        f"{asked.place}: {asked.choice.name}{DEB} is a Debian package, and no packages index is "
        "named to look it up in",
        hint=f"name one with --dpkg-list {EXAMPLE}, or with debian-packages under [mirrors]",
    )


def _not_locked(error: PurekernelError) -> LockError:
    return LockError(
        f"the lock file does not have all packages: {error}",
        hint="run 'purekernel lock' to pin them",
    )


def _notes(resolution: PackageResolution) -> list[str]:
    """Return what is taken for granted, and what nothing brings."""
    strictest: dict[str, Relation] = {}
    for one in resolution.packages.values():
        for relation in (group[0] for group in one.in_image):
            before = strictest.setdefault(relation.name, relation)
            if relation.version is not None and (
                before.version is None or before.version < relation.version
            ):
                strictest[relation.name] = relation
    notes = []
    if strictest:
        words = ", ".join(str(relation) for _name, relation in sorted(strictest.items()))
        notes.append(f"Debian's packages are taken to find in the image: {words}")
    notes += [
        f"{name}: nothing brings {', '.join(map(show_alternatives, one.left))}, which its package "
        "depends on"
        for name, one in resolution.packages.items()
        if one.left
    ]
    return notes
