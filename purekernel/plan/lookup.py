"""Answer questions about the extensions on the mirrors of a recipe, without planning an image.

The lock file is not used: the answers say what the mirrors have now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from purekernel.errors import DownloadError, NotFoundError, PurekernelError, raise_all
from purekernel.fetch.model import Download
from purekernel.fetch.urls import redact
from purekernel.formats.extension_info import ExtensionInfo, parse_info
from purekernel.formats.tinycore import TCZ, parse_extension_name, parse_listing
from purekernel.input import Input
from purekernel.plan.fetch_plan import unauthenticated_notes
from purekernel.plan.plan import PlanContext
from purekernel.records import frozen
from purekernel.repos.tinycore import (
    INFO,
    KERNEL,
    LISTING,
    Catalog,
    Dependents,
    Extension,
    ExtensionGraph,
    ExtensionMirror,
    MissingExtension,
    did_you_mean,
    refuse_missing,
    resolve_extensions,
)

MISSING_HINT = "correct the name, or ask another mirror with --mirror"


@frozen(kw_only=True)
class Dependencies:
    """The dependencies of extensions on the mirrors.

    Attributes:
        graph: the extensions. It records missing ones.
        sizes: sizes in bytes, by name; without extensions of unknown size.
        error: the error to report if any is missing.
    """

    graph: ExtensionGraph
    sizes: Mapping[str, int]
    error: PurekernelError | None


@frozen(kw_only=True)
class FoundDependents:
    """What depends on extensions.

    Attributes:
        dependents: the extensions.
        sizes: sizes in bytes, by name; without extensions of unknown size.
        missing: those asked about that no mirror has.
        error: the error to report if there are any.
    """

    dependents: Dependents
    sizes: Mapping[str, int]
    missing: tuple[str, ...]
    error: PurekernelError | None


@frozen(kw_only=True)
class FoundExtension:
    """An extension that a search found.

    Attributes:
        name: its name.
        size_bytes: its size; ``None`` if it is unknown.
        text: tags or a description.
        files: the paths that match, sorted; empty if no file was searched.
    """

    name: str
    size_bytes: int | None
    text: str
    files: tuple[str, ...]


@frozen(kw_only=True)
class Search:
    """The result of a search.

    Attributes:
        found: the extensions, the best first.
        error: the error to report if nothing was found.
    """

    found: tuple[FoundExtension, ...]
    error: NotFoundError | None


@frozen(kw_only=True)
class Description:
    """What is known of an extension.

    Attributes:
        extension: the extension on its mirror.
        size_bytes: its size; ``None`` if it is unknown.
        info: its ``.info``; ``None`` if it has none.
        files: the paths in its ``.list``; ``None`` if it has none.
        all_dependencies: what it depends on directly or not, dependencies first.
        missing: what it depends on directly or not, and no mirror has.
        total_bytes: the size with all dependencies; ``None`` if one of the sizes is unknown.
        needed_by: the extensions that depend on it directly; ``None`` if that is not known.
        all_needed_by: the extensions that depend on it directly or not; likewise.
    """

    extension: Extension[Download]
    size_bytes: int | None
    info: ExtensionInfo | None
    files: tuple[bytes, ...] | None
    all_dependencies: tuple[str, ...]
    missing: tuple[str, ...]
    total_bytes: int | None
    needed_by: tuple[str, ...] | None
    all_needed_by: tuple[str, ...] | None


@frozen(kw_only=True)
class Descriptions:
    """What is known of several extensions.

    Attributes:
        known: the extensions, in the order of their names on the command line.
        error: the error to report if any is missing.
    """

    known: tuple[Description, ...]
    error: PurekernelError | None


class ExtensionLookup:
    """Looks extensions up on the mirrors of a recipe.

    Each method raises these errors:

    - FormatError: a name is not a valid extension name; CombinedError: several are not.
    - DownloadError: the mirrors cannot be reached.

    Args:
        context: the recipe, its mirrors and its release of Core.
        source: where the names come from, for messages.
    """

    def __init__(self, context: PlanContext, *, source: str) -> None:
        self._context = context
        self._source = source
        self._searched = context.searched(context.extension_folders)
        self._mirror = ExtensionMirror(self._searched, context.downloads)
        self._kernel = context.recipe.core.kernel_release
        self._asked = "extensions" if context.recipe.mirrors.extensions else "tinycore"
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user about what was looked up so far, one line each."""
        return (*self._notes, *unauthenticated_notes(self._context.downloads.unauthenticated))

    def dependencies(self, names: Sequence[str]) -> Dependencies:
        """Return the dependencies of extensions, named with or without ``.tcz``."""
        file_names = self._file_names(names)
        with self._context.asking(self._asked):
            graph = self._resolve(file_names)
            error = self._error(graph)
        self._note(self._mirror.notes)
        return Dependencies(graph=graph, sizes=self._sizes(graph), error=error)

    def dependents(self, names: Sequence[str]) -> FoundDependents:
        """Return what depends on extensions, named with or without ``.tcz``.

        Raises:
            NotFoundError: no mirror has an index of dependencies.
        """
        file_names = self._file_names(names)
        with self._context.asking(self._asked):
            catalog = self._catalog(needs=True)
            if not catalog.has_dependencies:
                raise NotFoundError(
                    "no mirror has an index of dependencies (dep.db.gz): looked in "
                    f"{', '.join(map(redact, self._searched))}",
                    hint="ask a complete mirror, with --mirror",
                )
            dependents = catalog.dependents(file_names, kernel=self._kernel)
            # An extension may be newer than the indexes.
            unlisted = [
                name
                for name in dependents.roots
                if name not in catalog.extensions and not name.endswith(KERNEL)
            ]
            looked_up = zip(unlisted, self._mirror.describe(unlisted), strict=True)
            missing = tuple(name for name, found in looked_up if found is None)
            error = self._error(
                ExtensionGraph(
                    roots=missing,
                    extensions={},
                    needs={},
                    missing=tuple(MissingExtension(name=name, chain=(name,)) for name in missing),
                )
            )
        listed = {name: catalog.extensions.get(name) for name in dependents.needed_by}
        sizes = {name: one.size_bytes for name, one in listed.items() if one is not None}
        return FoundDependents(
            dependents=dependents,
            sizes={name: size for name, size in sizes.items() if size is not None},
            missing=missing,
            error=error,
        )

    def search(self, words: Sequence[str], file: str | None) -> Search:
        """Search the names and texts of extensions, and the names of their files.

        Args:
            words: words that must all match; see :meth:`Catalog.search`.
            file: a file that the extensions must have; see :meth:`Catalog.find_files`.

        Raises:
            NotFoundError: no mirror has an index of files.
        """
        with self._context.asking(self._asked):
            catalog = self._catalog(texts=bool(words))
            files = None if file is None else catalog.find_files(file)
            names = [one.name for one in catalog.search(words)]
            if files is not None:
                names = [name for name in names if name in files.found] if words else [*files.found]
            error = None
            if not names:
                error = self._nothing(words, file, 0 if files is None else files.containing)
        self._note(catalog.notes)
        found = []
        for name in names:
            one = catalog.extensions.get(name)
            found.append(
                FoundExtension(
                    name=name,
                    size_bytes=None if one is None else one.size_bytes,
                    text="" if one is None else one.text,
                    files=() if files is None else files.found[name],
                )
            )
        return Search(found=tuple(found), error=error)

    def describe(self, names: Sequence[str]) -> Descriptions:
        """Describe extensions, named with or without ``.tcz``."""
        file_names = self._file_names(names)
        with self._context.asking(self._asked):
            graph = self._resolve(file_names)
            roots = [name for name in graph.roots if name in graph.extensions]
            catalog = self._catalog(needs=True)
            missing = [one for one in graph.missing if one.name in graph.roots]
            error = self._error(evolve(graph, missing=tuple(missing)))
        self._note(self._mirror.notes)
        sizes = self._sizes(graph)
        infos, lists = (self._companions(graph, roots, suffix) for suffix in (INFO, LISTING))
        known = []
        for name in roots:
            needed = tuple(one for one in graph.order([name]) if one != name)
            named = {need for one in (name, *needed) for need in graph.needs[one]}
            all_sizes = [sizes[one] for one in (name, *needed) if one in sizes]
            dependents = None
            if catalog.has_dependencies:
                dependents = catalog.dependents([name], kernel=self._kernel).needed_by
            known.append(
                Description(
                    extension=graph.extensions[name],
                    size_bytes=sizes.get(name),
                    info=parse_info(infos[name]) if name in infos else None,
                    files=parse_listing(lists[name]) if name in lists else None,
                    all_dependencies=needed,
                    missing=tuple(sorted(named - graph.extensions.keys())),
                    total_bytes=sum(all_sizes) if len(all_sizes) == len(needed) + 1 else None,
                    needed_by=None if dependents is None else dependents[name],
                    all_needed_by=(
                        None if dependents is None else tuple(sorted(dependents.keys() - {name}))
                    ),
                )
            )
        return Descriptions(known=tuple(known), error=error)

    def _file_names(self, names: Sequence[str]) -> list[str]:
        file_names: list[str] = []
        errors: list[PurekernelError] = []
        for name in names:
            try:
                file_names.append(parse_extension_name(name, source=self._source))
            except PurekernelError as error:
                errors.append(error)
        raise_all(errors)
        return file_names

    def _resolve(self, names: Sequence[str]) -> ExtensionGraph:
        skip = self._context.recipe.extensions.skip
        return resolve_extensions(names, self._mirror, kernel=self._kernel, skip=skip)

    def _catalog(self, *, texts: bool = False, needs: bool = False) -> Catalog:
        catalog = Catalog(self._mirror, self._context.downloads, texts=texts, needs=needs)
        self._note(catalog.notes)
        return catalog

    def _error(self, graph: ExtensionGraph) -> PurekernelError | None:
        """Return the error about the missing extensions of ``graph``, or ``None``."""
        try:
            refuse_missing(
                graph,
                looked_in=self._searched,
                hint=MISSING_HINT,
                similar=self._mirror.suggest(one.name for one in graph.missing),
            )
        except PurekernelError as error:
            return error
        return None

    def _nothing(self, words: Sequence[str], file: str | None, containing: int) -> NotFoundError:
        """Return the error for a search without a result."""
        if file is not None and containing:
            return NotFoundError(
                f"no extension has a file {file}; the paths of {containing} contain it",
                hint=f"search for a part of a path with --file '**{file}**'",
            )
        if file is not None:
            what = f"no extension has a file {file}"
            hint = "give the name of the file, or a pattern such as 'libssl.so*'"
        else:
            what = f"no extension matches {' '.join(words)}"
            hint = (
                "use fewer or shorter words, search for a file with --file, or ask another mirror "
                "with --mirror"
            )
        if len(words) == 1 and file is None:
            name = words[0].removesuffix(TCZ) + TCZ
            question = did_you_mean(self._mirror.suggest([name]).get(name, ()))
            hint = f"{question} {hint}".lstrip()
        return NotFoundError(what, hint=hint)

    def _sizes(self, graph: ExtensionGraph) -> dict[str, int]:
        packages = {name: extension.file for name, extension in graph.extensions.items()}
        sizes = self._context.downloads.sizes(packages.values())
        known = ((name, sizes[package]) for name, package in packages.items())
        return {name: size for name, size in known if size is not None}

    def _companions(
        self, graph: ExtensionGraph, names: Sequence[str], suffix: str
    ) -> dict[str, Input]:
        """Return the files with this suffix beside extensions; note those that fail."""
        downloads = self._context.downloads
        files = [graph.extensions[name].companions[suffix] for name in names]
        found = {}
        for name, answer in zip(names, downloads.try_all(files), strict=True):
            if isinstance(answer, DownloadError):
                self._note([str(answer)])
            elif answer is not None:
                found[name] = Input(downloads.load(answer), name=answer.url)
        return found

    def _note(self, notes: Iterable[str]) -> None:
        self._notes.update(dict.fromkeys(notes))
