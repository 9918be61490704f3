"""Plan and read the base: a Tiny Core ISO, or a kernel and initrds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field

from purekernel.errors import (
    DownloadError,
    FormatError,
    OfflineError,
    PurekernelError,
    RecipeError,
    UsageError,
    inside,
    raise_all,
)
from purekernel.fetch.model import Download
from purekernel.fetch.urls import is_url, last_component
from purekernel.formats.address import find_part
from purekernel.formats.detect import FileKind
from purekernel.host.overlay_reader import load_layer
from purekernel.host.read import exists, is_folder
from purekernel.input import Input, Limits
from purekernel.plan.files import plan_file, split_place, with_md5
from purekernel.plan.plan import PlanContext, PlannedFile
from purekernel.recipe.conventions import BASE
from purekernel.recipe.flavour import InitrdLayout
from purekernel.records import frozen
from purekernel.repos.tinycore import check_edition
from purekernel.rootfs.ownership import own_as_root
from purekernel.tree import Tree

if TYPE_CHECKING:
    from purekernel.formats.core_iso import Base

KERNEL, INITRD = "kernel", "initrd"


def is_base_role(role: str) -> bool:
    """Return whether a file with this role is a part of the base."""
    return role in (BASE, KERNEL) or role.startswith(f"{INITRD} ")


Load = Callable[[Download], bytes]


@frozen(kw_only=True)
class PlannedBase:
    """The files of the base.

    Attributes:
        files: the files to fetch, by role: ``base`` for an ISO, ``kernel``, ``initrd 1`` and so on.
        folders: the folders among the initrds, by role.
        notes: notes for the user, one line each.
    """

    files: Mapping[str, PlannedFile] = field(factory=dict)
    folders: Mapping[str, Path] = field(factory=dict)
    notes: tuple[str, ...] = ()


def plan_base(context: PlanContext) -> PlannedBase:
    """Plan the files of the base: the recipe's own, or the mirrors' ISO.

    A file is checked against the MD5 file beside it, if there is one. Mirrors of Tiny Core always
    have one for an ISO.

    Raises:
        RecipeError: keys of the base contradict each other.
        DownloadError: the mirrors cannot be reached.
        FormatError: the MD5 file beside a mirror's ISO is damaged.
        LockError: the lock file binds, and pins no file or another file.
        CombinedError: there are several errors.
    """
    errors = list(_contradictions(context))
    raise_all(errors)
    core = context.recipe.core
    files: dict[str, PlannedFile] = {}
    folders: dict[str, Path] = {}
    notes: list[str] = []

    def plan(role: str, make: Callable[[], tuple[PlannedFile, str]]) -> None:
        try:
            files[role], note = make()
        except PurekernelError as error:
            errors.append(error)
        else:
            notes.extend([note] if note else [])

    if not core.initrd:
        plan(BASE, lambda: _plan_iso(context))
    if core.kernel is not None:
        wanted, sha256 = core.kernel, core.kernel_sha256
        plan(KERNEL, lambda: _plan_part(context, KERNEL, wanted, sha256, FileKind.BZIMAGE))
    for number, place in enumerate(core.initrd, 1):
        role = f"{INITRD} {number}"
        path = context.recipe.folder / place
        sha256 = core.initrd_sha256[number - 1] if core.initrd_sha256 else None
        if not is_url(place) and is_folder(path):
            folders[role] = path
            if sha256 is not None:
                error = RecipeError(
                    f"{place} is a folder, which has no SHA-256",
                    hint="give an initrd file, or leave out initrd-sha256",
                )
                errors.append(error.within(core.place("initrd_sha256")))
            continue
        plan(role, lambda: _plan_part(context, role, place, sha256, None))  # noqa: B023  # run at once
    raise_all(errors)
    return PlannedBase(files=files, folders=folders, notes=tuple(notes))


def read_base(
    context: PlanContext, planned: PlannedBase, load: Load, *, keep_iso_files: bool | None
) -> Base:
    """Return the base, unpacked.

    Args:
        context: the recipe and the limits.
        planned: the files of the base.
        load: returns the content of a file.
        keep_iso_files: whether to keep the files outside ``boot/`` of an ISO; see
            :func:`purekernel.formats.core_iso.parse_base`.

    Raises:
        PurekernelError: a file is damaged, or has no kernel or root file system.
    """
    from purekernel.formats.core_iso import base_of_files, parse_base  # noqa: PLC0415  # 40 ms, with pycdlib

    core = context.recipe.core

    def file(role: str) -> Input:
        return read_part(planned.files[role], load, context.limits)

    if BASE in planned.files:
        with inside(core.place("iso")):
            base = parse_base(file(BASE), keep_iso_files=keep_iso_files)
        if KERNEL in planned.files:
            with inside(core.place("kernel")):
                base = base.with_kernel(file(KERNEL).data)
        return base
    initrds: list[tuple[str, Input | Tree]] = []
    for number in range(1, len(core.initrd) + 1):
        role = f"{INITRD} {number}"
        if role in planned.folders:
            with inside(core.place("initrd")):
                tree = _folder(planned.folders[role], context)
            initrds.append((f"{planned.folders[role].name}.gz", tree))
        else:
            part = file(role)
            initrds.append((part.name, part))
    with inside(core.place("initrd")):
        return base_of_files(file(KERNEL), initrds)


def read_part(planned: PlannedFile, load: Load, limits: Limits) -> Input:
    """Return a planned file, or the part of it that its address names.

    Raises:
        PurekernelError: there is no such part.
    """
    download = planned.download
    whole = Input(load(download), name=download.name, limits=limits)
    if planned.inner is None:
        return whole
    part = find_part(whole, planned.inner)
    own_name = part.name.rpartition("/")[2].rpartition(":")[2]
    return part.unpacked(part.data, name=own_name)


def _folder(path: Path, context: PlanContext) -> Tree:
    """Return the root file system in a folder. Its owners are those that Tiny Core expects."""
    layer = load_layer(path, mtime=context.recipe.timestamp or 0, limits=context.limits)
    return own_as_root(layer).tree


def _contradictions(context: PlanContext) -> Iterator[PurekernelError]:
    core = context.recipe.core
    try:
        with inside(core.place("edition")):
            check_edition(core.edition, core.arch)
    except PurekernelError as error:
        yield error
    if core.initrd and not (core.iso is core.edition is None):
        yield RecipeError(
            "the base is an ISO or initrds, not both",
            hint="keep one of iso, edition and initrd under [core]",
        ).within(core.place("initrd"))
    if core.initrd and core.kernel is None:
        yield RecipeError(
            "initrds need a kernel, which is not given",
            hint="add kernel under [core], such as vmlinuz64",
        ).within(core.place("initrd"))
    if core.kernel_sha256 is not None and core.kernel is None:
        yield RecipeError(
            "kernel-sha256 is given without a kernel", hint="add kernel under [core]"
        ).within(core.place("kernel_sha256"))
    if core.initrd_sha256 and len(core.initrd_sha256) != len(core.initrd):
        yield RecipeError(
            f"initrd-sha256 must have one digest for each initrd: must be {len(core.initrd)}, got "
            f"{len(core.initrd_sha256)}"
        ).within(core.place("initrd_sha256"))
    if core.layout is not InitrdLayout.AS_BASE and context.recipe.razor is not None:
        yield UsageError(
            "a Razor Microkernel has one initrd", hint="leave out layout under [core]"
        ).within(core.place("layout"))


def _plan_iso(context: PlanContext) -> tuple[PlannedFile, str]:
    """Return the base ISO, and a note for the user; ``""`` for none."""
    core = context.recipe.core
    urls: tuple[str, ...]
    file, inner = split_place(context, core.iso)
    if core.iso is not None:
        requested, urls = core.iso, (context.place(file),)
    else:
        urls = context.release.iso_urls(context.mirrors)
        # A path without the mirror: a change of the mirror must not void the pin.
        requested = context.release.iso_places()[0]
    named = core.place("edition") or core.place("version")
    mirror = named or context.recipe.mirrors.place("tinycore")
    download = Download(
        name=last_component(urls[0]),
        urls=urls,
        kind=FileKind.ISO if inner is None else None,
        sha256=core.iso_sha256,
        place=mirror if core.iso is None else core.place("iso"),
        sha256_place=core.place("iso_sha256"),
    )
    part = PlannedFile(role=BASE, requested=requested, download=download, inner=inner)
    planned = plan_file(context, part)
    if core.iso is not None and not is_url(core.iso):
        return planned, ""
    return _checked(context, planned, required=core.iso is None)


def _plan_part(
    context: PlanContext, role: str, wanted: str, sha256: str | None, kind: FileKind | None
) -> tuple[PlannedFile, str]:
    """Return the kernel or an initrd, and a note for the user; ``""`` for none.

    A name without a folder is a file beside the recipe, or else a file of the mirrors.
    """
    core = context.recipe.core
    attribute = KERNEL if role == KERNEL else INITRD
    file, inner = split_place(context, wanted)
    is_name = not is_url(wanted) and "/" not in wanted and "\\" not in wanted
    on_mirror = is_name and not exists(context.recipe.folder / file)
    requested = wanted
    urls: tuple[str, ...] = (context.place(file),)
    if on_mirror:
        urls = context.release.part_urls(context.mirrors, wanted)
        requested = context.release.part_place(wanted)
    download = Download(
        name=last_component(urls[0]),
        urls=urls,
        kind=kind if inner is None else None,
        sha256=sha256,
        place=core.place(attribute),
        sha256_place=core.place(f"{attribute}_sha256"),
    )
    part = PlannedFile(role=role, requested=requested, download=download, inner=inner)
    planned = plan_file(context, part)
    if not on_mirror and not is_url(wanted):
        return planned, ""
    return _checked(context, planned, required=False)


def _checked(
    context: PlanContext, planned: PlannedFile, *, required: bool
) -> tuple[PlannedFile, str]:
    """Return the file with the MD5 that its server has for it, if it is not pinned by SHA-256.

    Args:
        context: fetches the MD5.
        planned: the file.
        required: whether a server that does not answer, or a damaged MD5, is an error.
    """
    if planned.download.sha256 is not None:
        return planned, ""
    attempts = None if required else 1
    try:
        return evolve(planned, download=with_md5(context, planned.download, attempts)), ""
    except OfflineError:
        raise
    except (DownloadError, FormatError) as error:
        if required:
            raise
        name = planned.download.name
        return planned, f"{name} is not checked against an MD5: {error.message}"
