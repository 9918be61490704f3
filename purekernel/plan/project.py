"""Read the recipe's Razor-Microkernel project from a folder, a tarball or a URL."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from purekernel.errors import InputError, MissingFileError, inside
from purekernel.fetch.git import describe_checkout
from purekernel.fetch.model import MIB, Download
from purekernel.fetch.urls import is_local, is_url, last_component, local_path, redact
from purekernel.host.overlay_folder import load_folder
from purekernel.host.overlay_reader import load_layer, parse_layer
from purekernel.host.read import check_digest, exists, is_folder
from purekernel.input import Input, Limits
from purekernel.plan.files import plan_file
from purekernel.plan.plan import PROJECT, PlanContext, PlannedFile
from purekernel.razor.conventions import RazorConventions
from purekernel.razor.project import is_project_name, parse_project
from purekernel.recipe.razor import Razor
from purekernel.records import frozen

# The largest release of the project unpacks to a few hundred KB.
MOST_BYTES = 64 * MIB


@frozen(kw_only=True)
class FoundProject:
    """A project and its origin.

    Attributes:
        conventions: the project, and whether the times of its files are meaningful. Those of a
            tarball are; those of a checkout are arbitrary.
        planned: the downloaded file; ``None`` for a local project.
    """

    conventions: RazorConventions
    planned: PlannedFile | None = None


def find_project(context: PlanContext, razor: Razor) -> FoundProject:
    """Read the project that ``razor`` names.

    Raises:
        PurekernelError: the project is missing, or lacks a needed file.
    """
    limits = evolve(context.limits, unpacked_bytes=MOST_BYTES)
    path = context.recipe.folder / razor.project
    if is_url(razor.project) and is_local(razor.project):
        path = local_path(razor.project)
    if is_url(razor.project) and not is_folder(path):
        download = Download(
            name=last_component(razor.project),
            urls=(razor.project,),
            sha256=razor.project_sha256,
            most_bytes=MOST_BYTES,
            place=razor.place("project"),
            sha256_place=razor.place("project_sha256"),
        )
        file = PlannedFile(role=PROJECT, requested=razor.project, download=download)
        planned = plan_file(context, file)
        fetched = context.downloads.fetch(planned.download)
        if fetched is None:
            raise MissingFileError(f"{redact(razor.project)} not found")
        data = context.downloads.load(fetched)
        with inside(razor.place("project")):
            layer = parse_layer(Input(data, name=fetched.url, limits=limits))
            return FoundProject(
                conventions=RazorConventions(project=parse_project(layer)), planned=planned
            )
    if razor.project_sha256 is not None and exists(path):
        with inside(razor.place("project_sha256")):
            check_digest(path, razor.project_sha256)
    with inside(razor.place("project")):
        return _load_project(path, limits)


def _load_project(path: Path, limits: Limits) -> FoundProject:
    """Read the project in a folder or tarball on the host."""
    if is_folder(path):
        layer = load_folder(path, mtime=0, limits=limits, wanted=is_project_name)
        layer = evolve(layer, source=str(path.absolute()))
        project = parse_project(layer, version=describe_checkout(path))
        return FoundProject(conventions=RazorConventions(project=project, dated=False))
    if not exists(path):
        raise InputError(
            f"Razor-Microkernel project not found: {path}",
            hint="name its folder, a tarball of it or a URL of one; in a recipe, a path is "
            "relative to the recipe's folder",
        )
    project = parse_project(load_layer(path, mtime=0, limits=limits))
    return FoundProject(conventions=RazorConventions(project=project))
