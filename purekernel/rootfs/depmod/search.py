"""Find the modules of a release as kmod does, and of several of one name the one that counts."""

from __future__ import annotations

from attrs import evolve, frozen

from purekernel.rootfs.depmod.config import BUILT_IN, EXTERNAL, DepmodConfig
from purekernel.rootfs.depmod.found import (
    MAX_DEPTH,
    FoundModule,
    Listing,
    check_names,
    module_name,
)
from purekernel.rootfs.modules import LOCAL_LINK
from purekernel.tree import Directory, File, Tree, describe, display, look_up
from purekernel.tree.path import join, name, parent

SUFFIXES = (b".ko", b".ko.gz", b".ko.xz", b".ko.zst")

# The kernel's build leaves links of these names to its sources.
_NEVER_SEARCHED = (b"build", b"source")


@frozen(kw_only=True)
class _Candidate:
    """What is come by on the walk.

    Attributes:
        path: absolute, as it was walked, links and all.
        place: where that lies, or what would lie there.
        above: the folders that it was reached through, where they lie.
    """

    path: bytes
    place: bytes
    above: frozenset[bytes]

    @property
    def stem(self) -> bytes:
        """The path up to the file name's first dot, by which rules of depmod.d know it."""
        return join(parent(self.path), name(self.path).partition(b".")[0])


class ModuleSearch:
    """The walk of one run, which is over when this is made.

    Attributes:
        warnings: what was passed over and why.
    """

    def __init__(
        self, tree: Tree, folder: bytes, config: DepmodConfig, listing: Listing | None = None
    ) -> None:
        self._tree = tree
        self._folder = b"/" + folder
        self._config = config
        self._listing = listing or tree.entries
        self._found: dict[bytes, _Candidate] = {}
        self._names = 0
        self.warnings: list[str] = []
        self._search(self._folder)
        for external in config.externals:
            self._search(external)

    def modules(self) -> list[FoundModule]:
        """Return the modules that count, in the order of finding."""
        start = self._folder + b"/"
        return [
            FoundModule(path=candidate.path.removeprefix(start), name=known, node=node)
            for known, candidate in self._found.items()
            if isinstance(node := self._tree[candidate.place], File)
        ]

    def _search(self, folder: bytes) -> None:
        top = look_up(self._tree, folder.strip(b"/"))
        if top is None or not isinstance(top.node, Directory):
            self.warnings.append(f"there is no folder {display(folder)}")
            return
        pending = self._entries(folder, top.path, frozenset())
        while pending:
            candidate = pending.pop()
            found = look_up(self._tree, candidate.place)
            if found is None:
                if name(candidate.path) != LOCAL_LINK:  # which waits for extensions
                    self.warnings.append(f"{display(candidate.path)} is a link that leads nowhere")
            elif isinstance(found.node, Directory):
                if found.path in candidate.above or len(candidate.above) >= MAX_DEPTH:
                    self.warnings.append(
                        f"{display(candidate.path)} leads back to a folder that it lies in"
                    )
                else:
                    pending += self._entries(candidate.path, found.path, candidate.above)
            elif not isinstance(found.node, File):
                self.warnings.append(
                    f"{display(candidate.path)} is {describe(found.node)}: passed over"
                )
            elif candidate.path.endswith(SUFFIXES) and name(candidate.path) not in SUFFIXES:
                self._add(evolve(candidate, place=found.path))

    def _entries(self, path: bytes, place: bytes, above: frozenset[bytes]) -> list[_Candidate]:
        """Return what a folder holds, the first to look at last."""
        entries = self._listing(place)
        self._names += len(entries)
        check_names(self._names, self._folder)
        now_above = above | {place}
        return [
            _Candidate(path=path + b"/" + entry, place=join(place, entry), above=now_above)
            for entry in reversed(entries)
            if entry not in _NEVER_SEARCHED and entry not in self._config.excludes
        ]

    def _add(self, new: _Candidate) -> None:
        known = module_name(name(new.path))
        old = self._found.get(known)
        if old is not None:
            if self._keeps(old, new):
                return
            del self._found[known]
        self._found[known] = new

    def _keeps(self, old: _Candidate, new: _Candidate) -> bool:
        """Say whether ``old`` counts although there is ``new``.

        Source: depmod_module_is_higher_priority() of kmod.
        """
        old_inside, new_inside = self._inside(old.stem), self._inside(new.stem)
        for override in self._config.overrides:
            if new_inside == override:
                return False
            if old_inside == override:
                return True
        built_in = old_rank = new_rank = -1
        rank = 0
        for search in self._config.searches:
            if search == BUILT_IN:
                built_in = rank
            elif search == EXTERNAL:
                for external in self._config.externals:
                    if new.stem.startswith(external + b"/"):
                        new_rank = rank
                    if old.stem.startswith(external + b"/"):
                        old_rank = rank
                    rank += 1
            elif new_inside.startswith(search + b"/"):
                new_rank = rank
            # Of two in one folder only the new one is ranked, as kmod has it.
            elif old_inside.startswith(search + b"/"):
                old_rank = rank
            rank += 1
        new_rank = new_rank if new_rank >= 0 else built_in
        old_rank = old_rank if old_rank >= 0 else built_in
        return new_rank <= old_rank

    def _inside(self, path: bytes) -> bytes:
        """Return ``path`` from the release's folder on; empty where it lies elsewhere."""
        if not path.startswith(self._folder):
            return b""
        return path[len(self._folder) + 1 :]
