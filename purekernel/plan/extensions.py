"""Plan the extensions, their dependencies, and the files to cut out of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from purekernel.errors import (
    DependencyError,
    FormatError,
    LockError,
    PurekernelError,
)
from purekernel.fetch.model import Download
from purekernel.fetch.urls import join_url, redact
from purekernel.formats.bzimage import kernel_release
from purekernel.formats.tinycore import DEB, TCZ
from purekernel.plan.efi import mirrored_names
from purekernel.plan.locked import FirstOf, KnownExtensions, LockedExtensions
from purekernel.plan.placing import place_extensions
from purekernel.plan.plan import ExtensionPlan, PackagePlan, PlanContext, is_package, package_name
from purekernel.recipe import defaults
from purekernel.recipe.additions import Cut
from purekernel.recipe.conventions import Conventions
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.keys import Named
from purekernel.repos.tinycore import (
    KERNEL,
    Extension,
    ExtensionGraph,
    ExtensionMirror,
    ExtensionRepository,
    did_you_mean,
    refuse_missing,
    resolve_extensions,
    resolve_kernel,
    similar_names,
)
from purekernel.rootfs.modules import kernel_releases

if TYPE_CHECKING:
    from purekernel.formats.core_iso import Base


def plan_extensions(
    context: PlanContext,
    conventions: Conventions,
    flavour: Flavour | None,
    base: Callable[[], Base],
    errors: list[PurekernelError],
    *,
    base_is_pinned: bool,
) -> ExtensionPlan:
    """Plan the extensions of a recipe.

    Args:
        context: the inputs of the plan.
        conventions: give the lists that the recipe does not.
        flavour: the image's flavour.
        base: returns the base, to find the release that ``-KERNEL`` stands for. Called only if
            needed.
        errors: receives errors in the extensions.
        base_is_pinned: whether the lock file pins the base. If so, its kernel release applies.

    Raises:
        DownloadError: the mirrors cannot be reached.
        FormatError: a file from a mirror is damaged.
    """
    lists = _names(context, conventions, errors)
    kept = [_for_flavour(context, names, flavour) for names in lists]
    cuts = conventions.cuts(context.recipe.cuts)
    efi = mirrored_names(context)
    packages = PackagePlan()
    if any(is_package(item.name) for names in (*kept, _cut_names(cuts), efi) for item in names):
        from purekernel.plan.packages import plan_packages  # noqa: PLC0415  # 15 ms

        listed_names = [item for names in kept for item in names]
        packages = plan_packages(context, listed_names, (*_cut_names(cuts), *efi), errors)
    builtin, mirror, merged, cde, tce = map(packages.in_place, kept)
    cuts = tuple(
        evolve(cut, extension=extension)
        for cut in cuts
        for extension in packages.in_place([cut.extension])
    )
    live = ExtensionMirror(
        context.searched(context.extension_folders),
        context.downloads,
        use_indexes=context.use_indexes,
    )
    repository: ExtensionRepository = FirstOf(
        KnownExtensions(packages.extensions), _repository(context, live)
    )
    listed = (*merged, *builtin, *cde, *tce, *mirror)
    kernel = context.recipe.core.kernel_release
    if kernel is None and context.lock is not None and base_is_pinned:
        kernel = context.lock.kernel
    with context.asking("extensions" if context.recipe.mirrors.extensions else "tinycore"):
        graph, kernel = _resolve(context, repository, listed, kernel, base)
        sources = (*_cut_names(cuts), *packages.in_place(efi))
        cut_from = _cut_from(context, repository, sources, kernel, errors, live=live)
    cut_names = {resolve_kernel(item.name, kernel) for item in _cut_names(cuts)}
    cut_from = {
        # A boot loader is taken from a package as it is, without the script of a conversion.
        name: extension if name in cut_names else evolve(extension, companions={})
        for name, extension in cut_from.items()
    }
    places = {resolve_kernel(item.name, kernel): item.place for item in listed}
    _note_missing(context, graph, places, errors, live)
    disputable = bool(graph.missing)
    if flavour is Flavour.PROD and not context.all_flavours:
        openssh_errors = _brings_openssh(graph, (*builtin, *merged, *cde, *tce, *mirror), kernel)
        errors += openssh_errors
        disputable = disputable or bool(openssh_errors)

    def roots(names: Iterable[Named]) -> tuple[str, ...]:
        resolved = dict.fromkeys(resolve_kernel(item.name, kernel) for item in names)
        return tuple(name for name in resolved if name in graph.extensions)

    planned = ExtensionPlan(
        graph=graph,
        kernel=kernel,
        builtin=roots(builtin),
        mirror=roots(mirror),
        merged=roots(merged),
        cde=roots(cde),
        tce=roots(tce),
    )
    if not graph.missing:
        given = context.recipe.extensions
        planned = place_extensions(
            planned,
            packages,
            base,
            errors,
            ondemand=_for_flavour(context, given.ondemand, flavour),
            copied=_for_flavour(context, given.copy2fs, flavour),
            copy_all=given.place("copy2fs_all") if given.copy2fs_all else None,
        )
    return evolve(
        planned,
        cuts=cuts,
        cut_from=cut_from,
        efi_from={
            item.name: resolve_kernel(renamed.name, kernel)
            for item in efi
            for renamed in packages.in_place([item])
        },
        places=places,
        from_indexes=live.went_by_indexes,
        disputable=live.went_by_indexes and disputable,
        skipped=graph.skipped
        | {
            resolve_kernel(item.name, kernel)
            for names in lists
            for item in names
            if item.name in context.recipe.extensions.skip
        },
        notes=(*live.notes, *packages.notes, *planned.notes),
    )


def release_of(base: Base) -> str:
    """Return the release of a base's kernel, from its only module folder or from the kernel.

    Raises:
        DependencyError: the release is in neither.
    """
    folders = kernel_releases(base.root)
    if len(folders) == 1:
        return folders[0].decode("ascii", "replace")
    release = kernel_release(base.kernel.content)
    if release is None:
        raise DependencyError(
            "the release of the base's kernel is unknown: '-KERNEL' in the name of an extension "
            "stands for it",
            hint="set it with kernel-release under [core], or --kernel-release",
        )
    return release


def _repository(context: PlanContext, live: ExtensionMirror) -> ExtensionRepository:
    if context.lock is None:
        return live

    def urls(name: str) -> tuple[str, ...]:
        return tuple(join_url(folder, name) for folder in context.extension_folders)

    locked = LockedExtensions(context.lock, urls, context.place)
    return locked if context.strict else FirstOf(locked, live)


def _names(
    context: PlanContext, conventions: Conventions, errors: list[PurekernelError]
) -> tuple[tuple[Named, ...], ...]:
    """Return the names of the builtin, mirrored, merged, cde and tce extensions."""
    listed = context.recipe.extensions
    builtin, mirror = listed.builtin, listed.mirror
    return (
        conventions.builtin(errors) if builtin is None else builtin,
        conventions.mirror(errors) if mirror is None else mirror,
        listed.merged,
        listed.cde,
        listed.tce,
    )


def _for_flavour(
    context: PlanContext,
    names: Iterable[Named],
    flavour: Flavour | None,
) -> tuple[Named, ...]:
    skip = context.recipe.extensions.skip
    kept = tuple(item for item in names if skip.isdisjoint((item.name, _plain(item.name))))
    if flavour is not Flavour.PROD or context.all_flavours:
        return kept
    return tuple(item for item in kept if item.name != defaults.OPENSSH)


def _plain(name: str) -> str:
    """Return a listed name; of a package, without the requested version or architecture."""
    try:
        return package_name(name) + DEB if is_package(name) else name
    except FormatError:  # reported when the package is planned
        return name


def _cut_names(cuts: Iterable[Cut]) -> tuple[Named, ...]:
    """Return the extensions and packages to cut from."""
    return tuple(cut.extension for cut in cuts)


def _resolve(
    context: PlanContext,
    repository: ExtensionRepository,
    listed: Sequence[Named],
    kernel: str | None,
    base: Callable[[], Base],
) -> tuple[ExtensionGraph, str | None]:
    settings = context.recipe.extensions

    def resolve(kernel: str | None) -> ExtensionGraph:
        return resolve_extensions(
            [item.name for item in listed],
            repository,
            kernel=kernel,
            skip=_skipped(settings.skip),
            follow=settings.dependencies,
        )

    graph = resolve(kernel)
    if kernel is None and any(missing.name.endswith(KERNEL) for missing in graph.missing):
        kernel = release_of(base())
        graph = resolve(kernel)
    return graph, kernel


def _skipped(names: Iterable[str]) -> frozenset[str]:
    """Return the extensions to skip, with those made from skipped packages."""
    plain = [_plain(name) for name in names]
    return frozenset(name.removesuffix(DEB) + TCZ if is_package(name) else name for name in plain)


def _cut_from(
    context: PlanContext,
    repository: ExtensionRepository,
    sources: Iterable[Named],
    kernel: str | None,
    errors: list[PurekernelError],
    *,
    live: ExtensionMirror,
) -> dict[str, Extension[Download]]:
    """Return the extensions that only some files are taken from, by name."""
    named = {resolve_kernel(item.name, kernel): item for item in sources}
    found = repository.describe(list(named))
    missing = [name for name, one in zip(named, found, strict=True) if one is None]
    similar = {} if context.bound_by_lock else live.suggest(missing)
    for name in missing:
        question = did_you_mean(similar.get(name, ()))
        hint = f"{question} correct the name, or take the files from another extension".lstrip()
        errors.append(
            _not_locked(context, name, (name,))
            if context.bound_by_lock
            else DependencyError.of_missing(name, place=named[name].place, hint=hint)
        )
    return {extension.name: extension for extension in found if extension is not None}


def _note_missing(
    context: PlanContext,
    graph: ExtensionGraph,
    places: Mapping[str, str],
    errors: list[PurekernelError],
    live: ExtensionMirror,
) -> None:
    if context.bound_by_lock:
        errors += [_not_locked(context, missing.name, missing.chain) for missing in graph.missing]
        return
    try:
        folders = context.extension_folders
        refuse_missing(
            graph,
            places,
            looked_in=context.searched(folders),
            hint=context.http_hint(folders),
            similar=live.suggest(missing.name for missing in graph.missing),
        )
    except PurekernelError as error:
        errors.append(error)
    if errors:
        # Otherwise fetching reports them.
        absent = find_absent(context, graph)
        errors += [absent_error(graph, name, places) for name in absent]


def find_absent(context: PlanContext, graph: ExtensionGraph) -> tuple[str, ...]:
    """Return the extensions that an index lists, and whose file no mirror has."""
    extensions = graph.extensions
    found = context.downloads.look_all(extension.file for extension in extensions.values())
    return tuple(name for name, exists in zip(extensions, found, strict=True) if exists is False)


def absent_error(graph: ExtensionGraph, name: str, places: Mapping[str, str]) -> DependencyError:
    """Return the error for an extension, or its package, whose file no mirror has."""
    file = graph.extensions[name].file
    chain = graph.chain(name)
    urls = ", ".join(map(redact, dict.fromkeys(file.urls)))
    return DependencyError.of_missing(
        file.name,
        place=places.get(chain[0]),
        chain=chain,
        hint=f"looked for {urls}; use another mirror, or leave it out with --skip {name}",
    )


def _not_locked(context: PlanContext, name: str, chain: Sequence[str]) -> LockError:
    missing = DependencyError.of_missing(name, chain=chain).missing
    pinned = () if context.lock is None else context.lock.extensions
    question = did_you_mean(similar_names(name, pinned))
    return LockError(
        f"the lock file does not pin {missing}",
        hint=f"{question} run 'purekernel lock' to pin it".lstrip(),
    )


def _brings_openssh(
    graph: ExtensionGraph, names: Iterable[Named], kernel: str | None
) -> list[DependencyError]:
    """Return an error for each extension that depends on OpenSSH in a production image."""
    resolved = [(item, resolve_kernel(item.name, kernel)) for item in names]
    return [
        DependencyError(
            f"{item.place}: {name} depends on {defaults.OPENSSH}: a production image must not have "
            "it",
            hint=f"remove {name}, or skip the dependency with --skip {defaults.OPENSSH} if {name} "
            "works without it",
        )
        for item, name in resolved
        if defaults.OPENSSH in graph.order([name])
    ]
