"""Plan the listed Debian packages and the extensions to make from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from purekernel.errors import (
    DependencyError,
    LockError,
    PurekernelError,
    RecipeError,
    inside,
    raise_all,
)
from purekernel.fetch.model import MIB, Download
from purekernel.fetch.urls import join_url
from purekernel.formats.debian.names import parse_choice
from purekernel.formats.debian.relation import Relation, show_alternatives
from purekernel.formats.debian.release import Keyring, parse_keyring
from purekernel.formats.detect import FileKind
from purekernel.formats.tinycore import DEB, TCZ
from purekernel.host.read import load_file
from purekernel.input import Input
from purekernel.plan.locked import FirstKnown, LockedPackages, pinned
from purekernel.plan.plan import PlanContext
from purekernel.recipe import defaults
from purekernel.recipe.model import Named
from purekernel.repos.debian import (
    DebianArchive,
    ListedPackage,
    PackageRepository,
    PackageResolution,
    PackageRules,
    ResolvedPackage,
    resolve_packages,
)
from purekernel.repos.tinycore import IMPORT_SCRIPT, Extension

# Debian's names of Core's architectures.
ARCHITECTURES = {"x86": "i386", "x86_64": "amd64"}


# Import scripts have a few lines.
MOST_SCRIPT_BYTES = MIB
EXAMPLE = "https://ftp.debian.org/debian/dists/bookworm/main/binary-i386/Packages.xz"


# Debian packages in lists of extensions.
#
# A name that ends in ``.deb`` is a package. It is fetched from a Debian archive and converted to an
# extension. This module resolves the name; :mod:`purekernel.plan.conversion` converts the package.


@frozen(kw_only=True)
class PackagePlan:
    """The packages of a plan.

    Attributes:
        extensions: the extensions to make from them, by name. The file of each is still a .deb.
        names: name of the extension for each listed name.
        notes: notes for the user, one line each.
    """

    extensions: Mapping[str, Extension[Download]] = field(factory=dict)
    names: Mapping[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()

    def in_place(self, listed: Iterable[Named]) -> tuple[Named, ...]:
        """Replace the names of packages by the names of their extensions.

        A package that could not be planned is skipped, because its error is already recorded.
        """
        return tuple(
            evolve(item, name=self.names[item.name]) if is_package(item.name) else item
            for item in listed
            if not is_package(item.name) or item.name in self.names
        )


def is_package(name: str) -> bool:
    """Say whether a listed name is a Debian package."""
    return name.endswith(DEB)


def package_name(name: str) -> str:
    """Return the package name of a listed name, without version and architecture.

    Raises:
        FormatError: the name is not a valid package name.
    """
    return parse_choice(name, source="a list of extensions").name


def plan_packages(
    context: PlanContext,
    listed: Sequence[Named],
    cut_from: Sequence[Named],
    errors: list[PurekernelError],
) -> PackagePlan:
    """Plan the packages among ``listed`` and ``cut_from``.

    Use the pinned packages if they satisfy the lists. Otherwise, unless the lock file binds, query
    the archives.

    Args:
        context: the inputs of the plan.
        listed: all listed names, including extensions.
        cut_from: names to cut files from. Their dependencies are not followed.
        errors: receives errors in the packages.
    """
    whole = {item.name for item in listed}
    packages = [item for item in (*listed, *cut_from) if is_package(item.name)]
    try:
        requested = [
            ListedPackage(
                choice=parse_choice(item.name, source=item.place),
                place=item.place,
                alone=item.name not in whole,
            )
            for item in packages
        ]
        planner = _Planner(context, _rules(context, listed))
        resolution = planner.resolve(requested)
    except PurekernelError as error:
        errors.append(error)
        return PackagePlan()
    return PackagePlan(
        extensions={
            name: planner.extension(resolved) for name, resolved in resolution.packages.items()
        },
        names={item.name: name for item, name in zip(packages, resolution.listed, strict=True)},
        notes=(*planner.notes, *_notes(resolution)),
    )


class _Planner:
    """Resolve packages against the lock file and the archives."""

    def __init__(self, context: PlanContext, rules: PackageRules) -> None:
        self.notes: tuple[str, ...] = ()
        self._context = context
        self._rules = rules
        self._mirrors = tuple(map(context.place, context.recipe.mirrors.debian))

    def resolve(self, listed: Sequence[ListedPackage]) -> PackageResolution:
        context = self._context
        if context.lock is None:
            return self._live(listed, None)
        locked = LockedPackages(context.lock, self._mirrors, context.place)
        try:
            return resolve_packages(listed, locked, self._rules)
        except PurekernelError as error:
            if context.strict:
                raise _not_locked(error) from None
        try:
            return self._live(listed, locked)
        except PurekernelError:
            # The pinned and the new packages conflict: ignore the pins.
            return self._live(listed, None)

    def _live(
        self, listed: Sequence[ListedPackage], locked: LockedPackages | None
    ) -> PackageResolution:
        indexes = tuple(map(self._context.place, self._context.recipe.mirrors.debian_packages))
        if not indexes:
            raise_all(_no_index(package) for package in listed)
        archive = DebianArchive(
            indexes,
            self._context.downloads,
            mirrors=self._mirrors,
            keyring=_keyring(self._context),
        )
        repository: PackageRepository = archive
        if locked is not None:
            repository = FirstKnown(locked, archive)
        resolution = resolve_packages(listed, repository, self._rules)
        self.notes = archive.notes
        return resolution

    def extension(self, resolved: ResolvedPackage) -> Extension[Download]:
        """Return the extension to make from a package."""
        script = self._script(resolved)
        return Extension(
            name=resolved.extension,
            dependencies=resolved.needs,
            file=resolved.candidate.download,
            companions={} if script is None else {IMPORT_SCRIPT: script},
            record=resolved.candidate.record,
        )

    def _script(self, resolved: ResolvedPackage) -> Download | None:
        """Return the optional import script for a package on Tiny Core's mirror."""
        name = resolved.extension.removesuffix(TCZ) + IMPORT_SCRIPT
        download = Download(
            name=name,
            urls=tuple(join_url(folder, name) for folder in self._context.script_folders),
            kind=FileKind.TEXT,
            optional=True,
            most_bytes=MOST_SCRIPT_BYTES,
        )
        lock = self._context.lock
        locked = None if lock is None else lock.packages.get(resolved.extension)
        if locked is None or locked.pin.sha256 != resolved.candidate.download.sha256:
            return download
        if locked.script is None:
            return None
        return pinned(download, locked.script, self._context.place)


def _rules(context: PlanContext, listed: Iterable[Named]) -> PackageRules:
    recipe = context.recipe
    for need in recipe.needs:
        for name in need.extensions:
            if is_package(name):
                raise RecipeError(
                    f"{need.place('extensions')}: {name} replaces {need.package}: must be an "
                    "extension, got a package",
                    hint=f"list {name} among the extensions instead",
                )
    skipped = recipe.extensions.skip
    return PackageRules(
        architecture=ARCHITECTURES[recipe.core.arch],
        follow=recipe.debian.follow and recipe.extensions.dependencies,
        extensions={
            **dict.fromkeys(defaults.PACKAGES_IN_CORE, ()),
            **{need.package: need.extensions for need in recipe.needs},
        },
        brought=frozenset(item.name for item in listed if not is_package(item.name)),
        skip=frozenset(package_name(name) + TCZ if is_package(name) else name for name in skipped),
    )


def _keyring(context: PlanContext) -> Keyring | None:
    keyring = context.recipe.debian.keyring
    if keyring is None:
        return None
    path = Path(context.place(keyring))
    with inside(context.recipe.debian.place("keyring")):
        return parse_keyring(Input(load_file(path), name=str(path)))


def _no_index(listed: ListedPackage) -> DependencyError:
    return DependencyError(
        f"{listed.place}: {listed.choice.name}{DEB} is a Debian package: no packages index is "
        "configured",
        hint=f"name one with --dpkg-list {EXAMPLE}, or with debian-packages under [mirrors]",
    )


def _not_locked(error: PurekernelError) -> LockError:
    return LockError(
        f"the lock file does not pin all packages: {error}",
        hint="run 'purekernel lock' to pin them",
    )


def _notes(resolution: PackageResolution) -> list[str]:
    """Return notes about dependencies that are assumed to be met, or that are not met."""
    strictest: dict[str, Relation] = {}
    for package in resolution.packages.values():
        for relation in (group[0] for group in package.in_image):
            before = strictest.setdefault(relation.name, relation)
            if relation.version is not None and (
                before.version is None or before.version < relation.version
            ):
                strictest[relation.name] = relation
    notes = []
    if strictest:
        words = ", ".join(str(relation) for _name, relation in sorted(strictest.items()))
        notes.append(
            f"assumed to be in the image already, as Debian's packages depend on it: {words}"
        )
    notes += [
        f"{name}: missing dependency of its package: "
        f"{', '.join(map(show_alternatives, package.left))}"
        for name, package in resolution.packages.items()
        if package.left
    ]
    return notes
