"""Plan the extensions: which there are, what they need, and what files are cut out of some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from purekernel.errors import (
    DependencyError,
    FormatError,
    LockError,
    PurekernelError,
    inside,
)
from purekernel.fetch.shipped import load_shipped_list
from purekernel.fetch.urls import join_url
from purekernel.formats.bzimage import kernel_release
from purekernel.formats.tinycore import DEB, TCZ
from purekernel.plan.lock.locked import FirstOf, KnownExtensions, LockedExtensions
from purekernel.plan.packages import PlannedPackages, is_package, package_name
from purekernel.plan.plan import Inquiry
from purekernel.razor.project import BUILTIN_LIST, EXECUTABLE_LIST, MIRROR_LIST, Project
from purekernel.recipe import defaults
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.lists import parse_extension_list, parse_path_list
from purekernel.recipe.model import Cut, Named
from purekernel.repos.tinycore import (
    KERNEL,
    Extension,
    ExtensionGraph,
    ExtensionMirror,
    ExtensionRepository,
    refuse_missing,
    resolve_extensions,
    resolve_kernel,
)
from purekernel.rootfs.modules import kernel_releases

if TYPE_CHECKING:
    from purekernel.formats.core_iso import Base


@frozen(kw_only=True)
class PlannedExtensions:
    """The extensions of a plan.

    Attributes:
        graph: all of them, and what they need.
        kernel: the release that ``-KERNEL`` stands for, where anything asked for it.
        builtin: those that are loaded at boot, in the user's order.
        mirror: those in the image's own mirror, likewise.
        merged: those unpacked into the root file system, likewise.
        cuts: files to cut out of extensions.
        cut_from: those extensions, by name.
        from_indexes: whether any of this rests on a mirror's index.
        disputable: whether something is wrong with them only if the index is right about
            what some of them need.
        left_out: names that are left out as asked.
        notes: which mirrors were passed over, a line each.
        errors: what is wrong with them.
    """

    graph: ExtensionGraph
    kernel: str | None
    builtin: tuple[str, ...]
    mirror: tuple[str, ...]
    merged: tuple[str, ...]
    cuts: tuple[Cut, ...]
    cut_from: Mapping[str, Extension]
    from_indexes: bool
    disputable: bool = False
    left_out: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    errors: tuple[PurekernelError, ...] = field(default=())


def plan_extensions(
    inquiry: Inquiry,
    project: Project | None,
    flavour: Flavour | None,
    base: Callable[[], Base],
    *,
    base_is_pinned: bool,
) -> PlannedExtensions:
    """Plan the extensions of a recipe; what is wrong with them is noted, not raised.

    Args:
        inquiry: what the plan is made from.
        project: whose lists count where the recipe has none.
        flavour: whom the image is for.
        base: gives the base, whose kernel ``-KERNEL`` stands for; only called if needed.
        base_is_pinned: whether it is the lock file's, whose word on its kernel counts then.

    Raises:
        DownloadError: the mirrors cannot be asked.
        FormatError: what they say is damaged.
    """
    errors: list[PurekernelError] = []
    lists = _names(inquiry, project, errors)
    kept = [_for_flavour(inquiry, names, flavour) for names in lists]
    cuts = _cuts(inquiry, project)
    packages = PlannedPackages()
    if any(is_package(one.name) for names in (*kept, _cut_names(cuts)) for one in names):
        from purekernel.plan.packages import plan_packages  # noqa: PLC0415  # 15 ms

        packages = plan_packages(
            inquiry, [one for names in kept for one in names], _cut_names(cuts), errors
        )
    builtin, mirror, merged = map(packages.in_place, kept)
    cuts = tuple(
        evolve(cut, extension=extension)
        for cut in cuts
        for extension in packages.in_place([cut.extension])
    )
    live = ExtensionMirror(
        inquiry.extension_folders, inquiry.downloads, use_indexes=inquiry.use_indexes
    )
    repository: ExtensionRepository = FirstOf(
        KnownExtensions(packages.extensions), _repository(inquiry, live)
    )
    asked = (*merged, *builtin, *mirror)
    kernel = inquiry.recipe.core.kernel
    if kernel is None and inquiry.lock is not None and base_is_pinned:
        kernel = inquiry.lock.kernel
    graph, kernel = _resolve(inquiry, repository, asked, kernel, base)
    cut_from = _cut_from(inquiry, repository, cuts, kernel, errors)
    _note_missing(inquiry, graph, asked, kernel, errors)
    disputable = any(len(missing.chain) > 1 for missing in graph.missing)
    if flavour is Flavour.PROD and not inquiry.all_flavours:
        brought_back = _brings_openssh(graph, (*builtin, *merged, *mirror), kernel)
        errors += brought_back
        disputable = disputable or bool(brought_back)

    def roots(names: Iterable[Named]) -> tuple[str, ...]:
        resolved = dict.fromkeys(resolve_kernel(one.name, kernel) for one in names)
        return tuple(name for name in resolved if name in graph.extensions)

    return PlannedExtensions(
        graph=graph,
        kernel=kernel,
        builtin=roots(builtin),
        mirror=roots(mirror),
        merged=roots(merged),
        cuts=cuts,
        cut_from=cut_from,
        from_indexes=live.went_by_indexes,
        disputable=live.went_by_indexes and disputable,
        left_out=graph.skipped
        | {
            resolve_kernel(one.name, kernel)
            for names in lists
            for one in names
            if one.name in inquiry.recipe.extensions.skip
        },
        notes=(*live.notes, *packages.notes),
        errors=tuple(errors),
    )


def release_of(base: Base) -> str:
    """Return the release of a base's kernel: its one folder of modules, or its own word.

    Raises:
        DependencyError: neither tells.
    """
    folders = kernel_releases(base.root)
    if len(folders) == 1:
        return folders[0].decode("ascii", "replace")
    said = kernel_release(base.kernel.content)
    if said is None:
        raise DependencyError(
            "the base does not tell the release of its kernel, which '-KERNEL' in the name of an "
            "extension stands for",
            hint="say it with kernel under [core], or --kernel",
        )
    return said


def _repository(inquiry: Inquiry, live: ExtensionMirror) -> ExtensionRepository:
    if inquiry.lock is None:
        return live

    def urls(name: str) -> tuple[str, ...]:
        return tuple(join_url(folder, name) for folder in inquiry.extension_folders)

    locked = LockedExtensions(inquiry.lock, urls, inquiry.place)
    return locked if inquiry.strict else FirstOf(locked, live)


def _names(
    inquiry: Inquiry, project: Project | None, errors: list[PurekernelError]
) -> tuple[tuple[Named, ...], tuple[Named, ...], tuple[Named, ...]]:
    """Return the extensions that are loaded at boot, mirrored, and merged."""
    said = inquiry.recipe.extensions
    builtin, mirror = said.builtin, said.mirror
    if project is not None:
        builtin = _default_list(project, BUILTIN_LIST, errors) if builtin is None else builtin
        mirror = _default_list(project, MIRROR_LIST, errors) if mirror is None else mirror
    return builtin or (), mirror or (), said.merged


def _default_list(
    project: Project, path: bytes, errors: list[PurekernelError]
) -> tuple[Named, ...]:
    """Return the project's own list, or else ours."""
    data = project.content(path)
    name = path.rpartition(b"/")[2].decode()
    if data is None:
        return parse_extension_list(load_shipped_list(name), source=f"the default {name}")
    found: list[PurekernelError] = []
    with inside(project.source):
        names = parse_extension_list(data, source=path.decode(), errors=found)
    errors += [error.within(project.source) for error in found]
    return names


def _for_flavour(
    inquiry: Inquiry,
    names: Iterable[Named],
    flavour: Flavour | None,
) -> tuple[Named, ...]:
    skip = inquiry.recipe.extensions.skip
    kept = tuple(one for one in names if skip.isdisjoint((one.name, _plain(one.name))))
    if flavour is not Flavour.PROD or inquiry.all_flavours:
        return kept
    return tuple(one for one in kept if one.name != defaults.OPENSSH)


def _plain(name: str) -> str:
    """Return a package's name in lists without the version or architecture that it asks for."""
    try:
        return package_name(name) + DEB if is_package(name) else name
    except FormatError:  # told when it is planned
        return name


def _cut_names(cuts: Iterable[Cut]) -> tuple[Named, ...]:
    """Return what files are cut out of."""
    return tuple(cut.extension for cut in cuts)


def _cuts(inquiry: Inquiry, project: Project | None) -> tuple[Cut, ...]:
    said = inquiry.recipe.cuts
    # A recipe that cuts from the same extension says itself what.
    if project is None or any(cut.extension.name == defaults.UTIL_LINUX for cut in said):
        return said
    source = EXECUTABLE_LIST.decode()
    with inside(project.source):
        files = parse_path_list(project.content(EXECUTABLE_LIST) or b"", source=source)
    extension = Named(name=defaults.UTIL_LINUX, place=source)
    return (*([Cut(extension=extension, files=files)] if files else []), *said)


def _resolve(
    inquiry: Inquiry,
    repository: ExtensionRepository,
    asked: Sequence[Named],
    kernel: str | None,
    base: Callable[[], Base],
) -> tuple[ExtensionGraph, str | None]:
    said = inquiry.recipe.extensions

    def resolve(kernel: str | None) -> ExtensionGraph:
        return resolve_extensions(
            [one.name for one in asked],
            repository,
            kernel=kernel,
            skip=_skipped(said.skip),
            follow=said.dependencies,
        )

    graph = resolve(kernel)
    if kernel is None and any(missing.name.endswith(KERNEL) for missing in graph.missing):
        kernel = release_of(base())
        graph = resolve(kernel)
    return graph, kernel


def _skipped(names: Iterable[str]) -> frozenset[str]:
    """Return the extensions that are left out, those that packages would become as well."""
    plain = [_plain(name) for name in names]
    return frozenset(name.removesuffix(DEB) + TCZ if is_package(name) else name for name in plain)


def _cut_from(
    inquiry: Inquiry,
    repository: ExtensionRepository,
    cuts: Iterable[Cut],
    kernel: str | None,
    errors: list[PurekernelError],
) -> dict[str, Extension]:
    named = {resolve_kernel(cut.extension.name, kernel): cut.extension for cut in cuts}
    found = repository.describe(list(named))
    for (name, said), extension in zip(named.items(), found, strict=True):
        if extension is None:
            errors.append(
                _not_locked(name, (name,))
                if inquiry.bound_by_lock
                else DependencyError(
                    f"{said.place}: no mirror has {name}, from which files are to be cut",
                    hint="correct the name, or cut from another extension",
                )
            )
    return {extension.name: extension for extension in found if extension is not None}


def _note_missing(
    inquiry: Inquiry,
    graph: ExtensionGraph,
    asked: Iterable[Named],
    kernel: str | None,
    errors: list[PurekernelError],
) -> None:
    if inquiry.bound_by_lock:
        errors += [_not_locked(missing.name, missing.chain) for missing in graph.missing]
        return
    places = {resolve_kernel(one.name, kernel): one.place for one in asked}
    try:
        refuse_missing(graph, places, looked_in=inquiry.extension_folders)
    except PurekernelError as error:
        errors.append(error)


def _not_locked(name: str, chain: Sequence[str]) -> LockError:
    why = f", which is needed: {' → '.join(chain)}" if len(chain) > 1 else ""
    return LockError(
        f"the lock file does not have {name}{why}", hint="run 'purekernel lock' to pin it"
    )


def _brings_openssh(
    graph: ExtensionGraph, names: Iterable[Named], kernel: str | None
) -> list[DependencyError]:
    """Return errors about what brings back what a production image leaves out."""
    resolved = [(one, resolve_kernel(one.name, kernel)) for one in names]
    return [
        DependencyError(
            f"{one.place}: a production image has no {defaults.OPENSSH}, and {name} needs it",
            hint=f"leave out {name}, or {defaults.OPENSSH} with --skip {defaults.OPENSSH} "
            f"if {name} can do without it",
        )
        for one, name in resolved
        if defaults.OPENSSH in graph.order([name])
    ]
