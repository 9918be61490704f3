"""Apply the SHA-256 that a recipe gives for extensions, packages and gems."""

from __future__ import annotations

from attrs import evolve

from purekernel.errors import ChecksumError, PurekernelError, RecipeError
from purekernel.fetch.model import Download
from purekernel.formats.tinycore import DEB
from purekernel.plan.plan import ExtensionPlan, GemPlan, PlanContext
from purekernel.recipe.additions import Checksum
from purekernel.repos.tinycore import Extension, resolve_kernel

GEM = ".gem"


def with_checksums(
    context: PlanContext,
    extensions: ExtensionPlan,
    gems: GemPlan,
    errors: list[PurekernelError],
) -> tuple[ExtensionPlan, GemPlan, list[str]]:
    """Return the extensions and gems with the recipe's checksums, and notes for the user.

    Args:
        context: the recipe, and the lock file if there is one.
        extensions: the planned extensions.
        gems: the planned gems.
        errors: receives an error for each checksum that is given twice, or that contradicts the
            lock file or an index.
    """
    checksums = _Checksums(context, extensions.kernel, errors)
    graph = extensions.graph
    extensions = evolve(
        extensions,
        graph=evolve(
            graph,
            extensions={name: checksums.extension(each) for name, each in graph.extensions.items()},
        ),
        cut_from={name: checksums.extension(each) for name, each in extensions.cut_from.items()},
    )
    releases = tuple(
        evolve(gem, download=checksums.apply(gem.download, gem.download.name, gem.name + GEM))
        for gem in gems.releases
    )
    return extensions, evolve(gems, releases=releases), checksums.notes()


class _Checksums:
    """The checksums of a recipe, by the names of files."""

    def __init__(
        self, context: PlanContext, kernel: str | None, errors: list[PurekernelError]
    ) -> None:
        self._given: dict[str, Checksum] = {}
        self._used: set[str] = set()
        self._errors = errors
        self._source = "the lock file" if context.bound_by_lock else "the index"
        for checksum in context.recipe.checksums:
            name = resolve_kernel(checksum.file, kernel)
            if name in self._given:
                errors.append(
                    RecipeError(
                        f"{name} has a checksum already", hint="delete one of the two"
                    ).within(checksum.place("file"))
                )
            self._given.setdefault(name, checksum)

    def extension(self, extension: Extension[Download]) -> Extension[Download]:
        record = extension.record
        names = [extension.name] if record is None else [record.file_name, record.name + DEB]
        file = self.apply(extension.file, *names)
        return extension if file is extension.file else evolve(extension, file=file)

    def apply(self, download: Download, *names: str) -> Download:
        """Return ``download`` with the checksum of the first of ``names`` that has one."""
        name = next((name for name in names if name in self._given), None)
        if name is None:
            return download
        self._used.add(name)
        checksum = self._given[name]
        place = checksum.place("sha256")
        if download.sha256 is not None and download.sha256 != checksum.sha256:
            self._errors.append(
                ChecksumError(
                    f"{download.name}: wrong SHA-256: must be {checksum.sha256}, got "
                    f"{download.sha256} in {self._source}"
                ).within(place)
            )
        return evolve(download, sha256=checksum.sha256, sha256_place=place, digest_source="")

    def notes(self) -> list[str]:
        """Return a note for each checksum that no file has."""
        return [
            f"{checksum.place('file')}: the checksum of {name} is not used, because the image has "
            "no such file"
            for name, checksum in self._given.items()
            if name not in self._used
        ]
