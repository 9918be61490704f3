"""Plan the listed Debian packages and the extensions to make from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from purekernel.errors import (
    DependencyError,
    FormatError,
    LockError,
    PurekernelError,
    RecipeError,
    inside,
    raise_all,
)
from purekernel.fetch.model import MIB, Download
from purekernel.fetch.urls import join_url
from purekernel.formats.debian.control import PackageRecord, Stanza
from purekernel.formats.debian.names import parse_choice
from purekernel.formats.debian.relation import Relation, show_alternatives
from purekernel.formats.debian.release import Keyring, parse_keyring
from purekernel.formats.detect import FileKind
from purekernel.formats.tinycore import DEB, TCZ
from purekernel.host.read import load_file
from purekernel.input import Input
from purekernel.plan.lock import Lock, PinnedPackage
from purekernel.plan.locked import not_locked, pinned
from purekernel.plan.plan import PackagePlan, PlanContext, is_package, package_name
from purekernel.recipe import defaults
from purekernel.recipe.keys import Named
from purekernel.repos.debian import (
    DebianArchive,
    ListedPackage,
    PackageCandidate,
    PackageRepository,
    PackageResolution,
    PackageRules,
    ResolvedPackage,
    resolve_packages,
)
from purekernel.repos.tinycore import IMPORT_SCRIPT, Extension

# Debian's names of Core's architectures.
ARCHITECTURES = {"x86": "i386", "x86_64": "amd64"}


# The folder of packages in an archive and in each of its mirrors.
POOL = "/pool/"

# Import scripts have a few lines.
MOST_SCRIPT_BYTES = MIB
EXAMPLE = "https://ftp.debian.org/debian/dists/bookworm/main/binary-i386/Packages.xz"


# Debian packages in lists of extensions.
#
# A name that ends in ``.deb`` is a package. It is fetched from a Debian archive and converted to an
# extension. This module resolves the name; :mod:`purekernel.plan.conversion` converts the package.


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
    errors += resolution.errors
    return PackagePlan(
        extensions={
            name: planner.extension(resolved) for name, resolved in resolution.packages.items()
        },
        names={
            item.name: name
            for item, name in zip(packages, resolution.listed, strict=True)
            if name in resolution.packages
        },
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
            return resolve_packages(listed, locked, self._rules).complete()
        except PurekernelError as error:
            if context.strict:
                raise not_locked(error, "packages") from None
        try:
            return self._live(listed, locked).complete()
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
            now=self._context.now(),
            allow_expired=self._context.recipe.debian.allow_expired,
        )
        repository: PackageRepository = archive
        if locked is not None:
            repository = FirstKnown(locked, archive)
        with self._context.asking("debian_packages"):
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


class LockedPackages:
    """The packages that a lock file pins."""

    def __init__(self, lock: Lock, mirrors: Sequence[str], place: Callable[[str], str]) -> None:
        """Hold the pins of a lock file.

        Args:
            lock: the lock file's content.
            mirrors: mirrors of Debian that may have the files.
            place: converts a path in the lock to a path on this host.

        Raises:
            LockError: the lock file is damaged.
        """
        self._mirrors = mirrors
        self._place = place
        self._candidates = tuple(map(self._candidate, lock.packages.values()))

    def named(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages with this name."""
        return [candidate for candidate in self._candidates if candidate.record.name == name]

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages that provide this name."""
        return [
            candidate
            for candidate in self._candidates
            if any(name == provided for provided, _version in candidate.record.provides)
        ]

    def _candidate(self, package: PinnedPackage) -> PackageCandidate:
        fields = {
            "package": package.package,
            "version": package.version,
            "architecture": package.architecture,
            "depends": package.depends,
            "provides": package.provides,
        }
        try:
            record = PackageRecord.of(Stanza(source="the lock file", fields=fields))
        except FormatError as error:
            raise LockError(f"the lock file: damaged: {package.extension}: {error}") from None
        if record.file_name != package.pin.name:
            raise LockError(
                f"the lock file: damaged: wrong file name of {record}: must be "
                f"{record.file_name}, got {package.pin.name}"
            )
        _base, pool, path = package.pin.url.rpartition(POOL)
        urls = tuple(join_url(mirror, "pool", path) for mirror in self._mirrors if pool)
        download = Download(name=package.pin.name, urls=urls)
        return PackageCandidate(record=record, download=pinned(download, package.pin, self._place))


class FirstKnown:
    """Two repositories. The second is queried only for names that the first lacks."""

    def __init__(self, first: LockedPackages, second: PackageRepository) -> None:
        """Query ``first``, then ``second``."""
        self._first = first
        self._second = second

    def named(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages with this name."""
        return self._first.named(name) or self._second.named(name)

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages that provide this name."""
        return self._first.providing(name) or self._second.providing(name)
