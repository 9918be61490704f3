"""Plan and read the files of the EFI system partition: boot loaders, stubs, and what they need."""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.errors import PurekernelError, RecipeError
from purekernel.fetch.model import Download
from purekernel.fetch.urls import is_url, last_component
from purekernel.formats.address import Item, Opener, find_part
from purekernel.formats.detect import FileKind, detect
from purekernel.host.read import exists
from purekernel.input import Input
from purekernel.plan.files import plan_file, split_place
from purekernel.plan.plan import PlanContext, PlannedFile
from purekernel.recipe.efi import BASE_PART, EfiSource
from purekernel.recipe.keys import Named
from purekernel.tree import ROOT

# The members of a package, which an address of its files leaves out.
_PACKAGE_MEMBERS = ("debian-binary", "control.tar", "data.tar")


def efi_sources(context: PlanContext) -> Iterator[EfiSource]:
    """Yield the files that the recipe wants in the EFI system partition."""
    recipe = context.recipe
    yield from recipe.efi.sources(recipe.efi_files)


def is_mirrored(context: PlanContext, source: EfiSource) -> bool:
    """Return whether a file is a part of an extension or package of the mirrors.

    A file beside the recipe that has the name of the extension or package stands before it.
    """
    part = source.part
    if part is None or part[0] == BASE_PART:
        return False
    return not exists(context.recipe.folder / part[0])


def mirrored_names(context: PlanContext) -> tuple[Named, ...]:
    """Return the extensions and packages of the mirrors that have files for the partition."""
    return tuple(
        Named(name=source.part[0], place=source.place)
        for source in efi_sources(context)
        if source.part is not None and is_mirrored(context, source)
    )


def plan_efi_files(context: PlanContext, errors: list[PurekernelError]) -> Iterator[PlannedFile]:
    """Yield the files to fetch for the partition that are in no extension, package or base.

    Args:
        context: the inputs of the plan.
        errors: receives errors in the places.
    """
    for source in efi_sources(context):
        if source.part is not None and source.part[0] == BASE_PART:
            if context.recipe.core.initrd:
                errors.append(
                    RecipeError(
                        f"{source.text} is a file of the base ISO, and the base is a kernel and "
                        "initrds",
                        hint="give another place, such as a Debian package",
                    ).within(source.place)
                )
            continue
        if is_mirrored(context, source):
            continue
        file, inner = split_place(context, source.text)
        url = file if is_url(file) else str(context.recipe.folder / file)
        download = Download(
            name=last_component(url),
            urls=(url,),
            sha256=source.sha256,
            place=source.place,
            sha256_place=source.sha256_place,
        )
        planned = PlannedFile(
            role=source.role, requested=source.text, download=download, inner=inner
        )
        try:
            yield plan_file(context, planned)
        except PurekernelError as error:
            errors.append(error)


def open_part(file: Input, inner: str | None) -> Input:
    """Return the file that ``inner`` names inside ``file``; ``None`` for ``file`` itself.

    Of a Debian package, the path is that of an installed file: ``usr/lib/shim/shimx64.efi.signed``.

    Raises:
        PurekernelError: there is no such file, or the archive is damaged.
    """
    if inner is None:
        return file
    if detect(file.data) is not FileKind.AR or inner.startswith(_PACKAGE_MEMBERS):
        return find_part(file, inner)
    from purekernel.formats.debian.package import parse_deb  # noqa: PLC0415  # 10 ms

    item = Item(address=file.name, tree=parse_deb(file).unpack(), path=ROOT, limits=file.limits)
    return Opener().find(item, inner.encode("utf-8", "surrogateescape")).load()
