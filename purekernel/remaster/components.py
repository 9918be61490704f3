"""Tell what an image is made of: from the fetched files of a recipe, or the parts of a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from attrs import evolve

from purekernel.analysis.components import Component, SourceFile
from purekernel.errors import FormatError
from purekernel.fetch.model import Download
from purekernel.fetch.urls import is_local, portable_name
from purekernel.formats import extension_info
from purekernel.formats import gem as gem_format
from purekernel.input import Input
from purekernel.plan.bases import is_base_role
from purekernel.plan.fetch_plan import Gathered
from purekernel.plan.plan import PlannedFile
from purekernel.razor.bundle import Bundle
from purekernel.recipe.model import Recipe
from purekernel.recipe.overlays import overlay_origin, overlay_role
from purekernel.repos.tinycore import Extension
from purekernel.repos.tinycore.extension import INFO
from purekernel.tree import Buffer, Origin, OriginKind

CORE_ISO = "Core-current.iso"


def extension_origin(extension: Extension[Any]) -> Origin:
    """Return where the files of an extension come from: itself, or the package it is made of."""
    record = extension.record
    if record is None:
        return Origin(OriginKind.EXTENSION, extension.name)
    return Origin(OriginKind.PACKAGE, record.name, record.version.text)


def recipe_components(gathered: Gathered) -> tuple[Component, ...]:
    """Return the components of a recipe's image, in order.

    The licence, version and description of an extension are those of its ``.info``, if that was
    fetched.
    """
    parts = _Parts(gathered)
    return _sorted([*parts.files(), *parts.extensions(), *parts.gems(), *parts.overlays()])


def bundle_components(bundle: Bundle) -> tuple[Component, ...]:
    """Return the components of a bundle's image, in order."""
    packed = [(Origin(OriginKind.BASE, CORE_ISO), bundle.iso)]
    packed += [
        (Origin(OriginKind.OVERLAY, name), part)
        for name, part in bundle.overlays
        if isinstance(part, Buffer)
    ]
    components = [
        Component(origin=origin, files=(_digested(origin.name, content),))
        for origin, content in packed
    ]
    return _sorted([*components, *_local_overlays(bundle.changes)])


def _local_overlays(recipe: Recipe) -> list[Component]:
    return [Component(origin=overlay_origin(choice)) for choice in recipe.overlays]


def _digested(name: str, content: Buffer) -> SourceFile:
    digest = hashlib.sha256(content).hexdigest()
    return SourceFile(name=name, size_bytes=len(content), sha256=digest)


def _sorted(components: list[Component]) -> tuple[Component, ...]:
    """Return components in order; of those with the same origin, the one that has files."""
    found: dict[Origin, Component] = {}
    for component in components:
        known = found.get(component.origin)
        if known is None or not known.files:
            found[component.origin] = component
    return tuple(sorted(found.values(), key=lambda component: component.origin.sort_key))


class _Parts:
    """Makes components of what was fetched."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._plan = gathered.plan

    def files(self) -> Iterator[Component]:
        """Yield the components of single files: the base, tarballs and boot loaders."""
        overlays = {overlay_role(each.url) for each in self._plan.recipe.overlays if each.url}
        for role, file in sorted(self._plan.files.items()):
            kind = OriginKind.BASE if is_base_role(role) else OriginKind.OVERLAY
            if role not in overlays:
                yield from self._single(Origin(kind, portable_name(file.download.name)), file)

    def _single(self, origin: Origin, file: PlannedFile) -> Iterator[Component]:
        files = self._source_files(file.download)
        if files:
            yield Component(origin=origin, files=files)

    def extensions(self) -> Iterator[Component]:
        """Yield the extensions, and the packages that are made into some."""
        extensions = self._plan.extensions
        graph = extensions.graph
        everything = {**graph.extensions, **extensions.cut_from}
        for name, extension in everything.items():
            component = Component(
                origin=extension_origin(extension),
                files=self._source_files(extension.file, *extension.companions.values()),
                needs=tuple(
                    extension_origin(everything[need])
                    for need in graph.needs.get(name, ())
                    if need in everything
                ),
            )
            record = extension.record
            if record is not None:
                yield evolve(
                    component,
                    version=record.version.text,
                    description=record.summary,
                    homepage=record.fields.get("Homepage"),
                    architecture=record.architecture,
                )
                continue
            yield self._described(component, extension)

    def _described(self, component: Component, extension: Extension[Download]) -> Component:
        beside = extension.companions.get(INFO)
        known = beside is not None and self._gathered.fetched.get(beside) is not None
        content = self._gathered.content(beside) if beside is not None and known else None
        if content is None:
            return component
        info = extension_info.parse_info(Input(content, name=extension.name + INFO))
        licence = _one_line(info.value(extension_info.LICENCE))
        return evolve(
            component,
            version=_one_line(info.value(extension_info.VERSION)),
            licences=(licence,) if licence else (),
            description=_one_line(info.value(extension_info.DESCRIPTION)),
            homepage=_one_line(info.value(extension_info.SITE)),
        )

    def gems(self) -> Iterator[Component]:
        """Yield the gems."""
        releases = self._plan.gems.releases
        origins = {gem.name: Origin(OriginKind.GEM, gem.name, str(gem.version)) for gem in releases}
        for gem in releases:
            component = Component(
                origin=Origin(OriginKind.GEM, gem.name, str(gem.version)),
                version=str(gem.version),
                files=self._source_files(gem.download),
                needs=tuple(
                    origins[edge.name] for edge in gem.dependencies if edge.name in origins
                ),
            )
            content = self._gathered.content(gem.download) or b""
            limits = self._gathered.planner.limits.unbudgeted()
            try:
                spec = gem_format.parse_gem(
                    Input(content, name=gem.file_name, limits=limits).quiet()
                ).spec
            except FormatError:  # a damaged one is reported where it is put into the image
                yield component
                continue
            yield evolve(component, licences=spec.licenses, homepage=_one_line(spec.homepage or ""))

    def overlays(self) -> Iterator[Component]:
        """Yield the user's overlays: those from the network have a digest."""
        for choice in self._plan.recipe.overlays:
            file = None if choice.url is None else self._plan.files.get(overlay_role(choice.url))
            yield Component(
                origin=overlay_origin(choice),
                files=() if file is None else self._source_files(file.download),
            )

    def _source_files(self, *downloads: Download) -> tuple[SourceFile, ...]:
        fetched = (self._gathered.fetched.get(download) for download in downloads)
        return tuple(
            SourceFile(
                name=portable_name(each.name),
                url="" if is_local(each.url) else portable_name(each.url),
                size_bytes=each.size_bytes,
                sha256=each.sha256,
            )
            for each in fetched
            if each is not None
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1000]
