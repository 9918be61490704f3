"""Fetch what a plan names, and see that it agrees with itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from purekernel.errors import (
    ChecksumError,
    CombinedError,
    DownloadError,
    OfflineError,
    PurekernelError,
    raise_all,
)
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.wanted import Fetched, Wanted
from purekernel.formats.tinycore import build_dependencies, parse_dependencies, parse_md5
from purekernel.plan import Plan, Planner, make_plan
from purekernel.plan.plan import CHECKED_SIDES, Inquiry
from purekernel.progress import Progress, Silent
from purekernel.razor.overlay import PackedExtension
from purekernel.repos.tinycore import (
    DEPENDENCIES,
    IMPORT_SCRIPT,
    MD5,
    Extension,
    resolve_kernel,
)
from purekernel.tree import Tree

if TYPE_CHECKING:
    from purekernel.formats.core_iso import Base
    from purekernel.plan.conversion import Conversion, ConvertedExtension


@frozen(kw_only=True)
class Gathered:
    """A plan with all its files in the store.

    Attributes:
        plan: what was decided.
        planner: who decided it, and holds the base.
        downloads: who reads the store.
        fetched: each file that was wanted; ``None`` for one that no mirror has and that is
            no loss.
    """

    plan: Plan
    planner: Planner
    downloads: Downloads
    fetched: Mapping[Wanted, Fetched | None]
    _loaded: dict[Wanted, bytes] = field(factory=dict, repr=False, eq=False)
    _made: dict[str, ConvertedExtension] = field(factory=dict, repr=False, eq=False)
    _remarks: dict[str, None] = field(factory=dict, repr=False, eq=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: of the plan, and of packages that were looked into since."""
        return (*self.plan.notes, *self._remarks)

    @property
    def base(self) -> Base:
        """What the base ISO holds, unpacked."""
        return self.planner.base_of(self.iso)

    @property
    def iso(self) -> bytes:
        """The base ISO."""
        return self.content(self.planner.planned_base.wanted) or b""

    def content(self, wanted: Wanted) -> bytes | None:
        """Return a file's content, checked; the same bytes to all who ask."""
        if wanted not in self._loaded:
            fetched = self.fetched[wanted]
            if fetched is None:
                return None
            self._loaded[wanted] = self.downloads.load(fetched)
        return self._loaded[wanted]

    def file(self, role: str) -> tuple[str, bytes] | None:
        """Return the name and content of a file that stands by itself, if it is planned."""
        planned = self.plan.files.get(role)
        content = None if planned is None else self.content(planned.wanted)
        return None if planned is None or content is None else (planned.wanted.name, content)

    def builtins(self) -> Iterator[PackedExtension]:
        """Yield the extensions that are loaded at boot, needed ones first.

        What is loaded at boot must find all that its ``.dep`` names: what was left out is
        taken out of it, and of two that need each other one does not say so any more.
        Core 4 would give up on the first, and never come to an end on the second.
        """
        for name in self.plan.builtin_order():
            packed = self._packed(name, CHECKED_SIDES)
            yield self._mended(packed) if self.plan.recipe.extensions.dependencies else packed

    def mirrored(self) -> Iterator[PackedExtension]:
        """Yield the extensions in the image's own mirror, needed ones first."""
        for name in self.plan.mirror_order():
            packed = self._packed(name, None)
            yield self._mended(packed) if self.plan.recipe.extensions.dependencies else packed

    def tree(self, extension: Extension) -> Tree:
        """Return what an extension holds, unpacked; one that is a package yet is made for it."""
        if extension.record is not None:
            return self._conversion(extension).tree
        from purekernel.formats.squashfs import parse_squashfs  # noqa: PLC0415  # 25 ms

        return parse_squashfs(
            self.content(extension.package) or b"",
            source=extension.name,
            limits=self.planner.limits,
        )

    def _conversion(self, extension: Extension) -> Conversion:
        # Few have packages in their lists.
        from purekernel.plan.conversion import convert_package  # noqa: PLC0415
        from purekernel.rootfs.debian import ConversionOptions  # noqa: PLC0415

        script = extension.sides.get(IMPORT_SCRIPT)
        said = self.plan.recipe.debian
        conversion = convert_package(
            self.content(extension.package) or b"",
            source=extension.package.name,
            name=extension.name,
            needs=extension.dependencies,
            import_script=None if script is None else self.content(script),
            options=ConversionOptions(
                documentation=said.documentation,
                empty_folders=said.empty_folders,
                library_links=said.library_links,
            ),
            limits=self.planner.limits,
        )
        self._remarks.update(dict.fromkeys(conversion.notes))
        return conversion

    def _converted(self, extension: Extension, sides: tuple[str, ...] | None) -> PackedExtension:
        """Return an extension that is made of a package; it is packed once."""
        if extension.name not in self._made:
            from purekernel.plan.conversion import pack_conversion  # noqa: PLC0415  # as above

            self._made[extension.name] = pack_conversion(self._conversion(extension))
        made = self._made[extension.name]
        beside = {
            side: content for side, content in made.beside.items() if sides is None or side in sides
        }
        return PackedExtension(name=made.name, content=made.content, beside=beside)

    def _packed(self, name: str, sides: tuple[str, ...] | None) -> PackedExtension:
        extension = self.plan.graph.extensions[name]
        if extension.record is not None:
            return self._converted(extension, sides)
        beside = {
            side: content
            for side, wanted in extension.sides.items()
            if (sides is None or side in sides) and (content := self.content(wanted)) is not None
        }
        content = self.content(extension.package)
        return PackedExtension(name=name, content=content or b"", beside=beside)

    def _mended(self, packed: PackedExtension) -> PackedExtension:
        graph = self.plan.graph
        kept = set(graph.needs[packed.name])
        kept -= {end for start, end in graph.loops if start == packed.name}
        said = graph.extensions[packed.name].dependencies
        names = tuple(need for need in said if resolve_kernel(need, self.plan.kernel) in kept)
        if names == said and (not said or DEPENDENCIES in packed.beside):
            return packed
        beside = dict(packed.beside)
        beside[DEPENDENCIES] = build_dependencies(names)
        return evolve(packed, beside=beside)


def gather(
    inquiry: Inquiry, *, complete: bool = False, progress: Progress | None = None
) -> Gathered:
    """Plan what ``inquiry`` asks for, and fetch it.

    Where a mirror's index turns out to be older than the files that it speaks of, all is
    planned once more from the files.

    Args:
        inquiry: what is asked for.
        complete: fetch every file beside every extension, as a lock file has them.
        progress: is told of the steps.

    Raises:
        PurekernelError: something is not to be had, or not what it should be; all of it that
            can be found out at once is told at once.
    """
    progress = progress or Silent()
    try:
        return _gather(inquiry, complete=complete, progress=progress)
    except _IndexDoubtedError as doubt:
        try:
            return _gather(evolve(inquiry, use_indexes=False), complete=complete, progress=progress)
        except PurekernelError:
            if any(isinstance(one, OfflineError) for one in _each(doubt.error)):
                # What the index names is not there; nor is what would tell that it is wrong.
                raise doubt.error from None
            raise


class _IndexDoubtedError(Exception):
    """An index said something that its files do not bear out.

    Attributes:
        error: what came of it.
    """

    def __init__(self, error: PurekernelError) -> None:
        super().__init__(error)
        self.error = error


def _gather(inquiry: Inquiry, *, complete: bool, progress: Progress) -> Gathered:
    with progress.step("planning"):
        planner, plan = make_plan(inquiry)
    wanted = plan.wanted(complete=complete)
    try:
        with progress.step("fetching"):
            found = inquiry.downloads.fetch_all(wanted)
        gathered = Gathered(
            plan=plan,
            planner=planner,
            downloads=inquiry.downloads,
            fetched=dict(zip(wanted, found, strict=True)),
        )
        raise_all(_contradictions(gathered, locked=inquiry.bound_by_lock))
    except (DownloadError, CombinedError) as error:
        if plan.from_indexes and _may_be_the_indexs(error):
            raise _IndexDoubtedError(error) from None
        if inquiry.lock is not None:
            _blame_lock(error)
        raise
    return gathered


def _may_be_the_indexs(error: DownloadError | CombinedError) -> bool:
    return all(isinstance(one, DownloadError) for one in _each(error))


def _blame_lock(error: DownloadError | CombinedError) -> None:
    """Say of files that are not those which were pinned what can be done about it.

    Of a network that fails, the lock file is not to blame.
    """
    for one in _each(error):
        if isinstance(one, ChecksumError):
            one.hint = (
                "the lock file pins another file than the mirrors have: if theirs is meant, "
                "run 'purekernel lock --update'"
            )


def _each(error: PurekernelError) -> Iterable[PurekernelError]:
    return error.errors if isinstance(error, CombinedError) else (error,)


def _contradictions(gathered: Gathered, *, locked: bool) -> Iterator[ChecksumError]:
    """Yield where an extension and what stands beside it do not agree."""
    from_index = "the mirror's index" if gathered.plan.from_indexes else "the mirror before"
    other = "the lock file" if locked else from_index
    for extension in gathered.plan.graph.extensions.values():
        package = gathered.fetched.get(extension.package)
        for side, wanted in extension.sides.items():
            beside = gathered.fetched.get(wanted)
            if beside is None or package is None:
                continue
            if side == MD5:
                said = parse_md5(gathered.downloads.load(beside), source=beside.url)
                if said != package.md5:
                    yield ChecksumError(
                        f"{extension.name} has the MD5 {package.md5}, and {beside.name} says {said}"
                    )
            elif side == DEPENDENCIES:
                needs = parse_dependencies(gathered.downloads.load(beside), source=beside.url)
                if needs != extension.dependencies:
                    yield ChecksumError(
                        f"{beside.name} names {', '.join(needs) or 'nothing'}, and {other} "
                        f"{', '.join(extension.dependencies) or 'nothing'}"
                    )
