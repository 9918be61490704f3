"""Find the modules of a release as kmod does, and choose among several with one name."""

from __future__ import annotations

from attrs import evolve

from purekernel.records import frozen
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

# The kernel's build creates links of these names to its sources.
_NEVER_SEARCHED = (b"build", b"source")


@frozen(kw_only=True)
class _Candidate:
    """A file or folder that the walk visits.

    Attributes:
        path: the absolute path of the walk, links not resolved.
        place: the path with the links of its folder resolved.
        above: the resolved paths of the folders that contain it.
    """

    path: bytes
    place: bytes
    above: frozenset[bytes]

    @property
    def stem(self) -> bytes:
        """The path up to the file name's first dot, as depmod.d names modules."""
        return join(parent(self.path), name(self.path).partition(b".")[0])


class ModuleSearch:
    """The modules that one walk finds; the constructor runs the walk.

    Attributes:
        warnings: what was skipped and why, one line each.
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
        """Return the modules to index, in the order of the search."""
        start = self._folder + b"/"
        return [
            FoundModule(path=candidate.path.removeprefix(start), name=kernel_name, node=node)
            for kernel_name, candidate in self._found.items()
            if isinstance(node := self._tree[candidate.place], File)
        ]

    def _search(self, folder: bytes) -> None:
        top = look_up(self._tree, folder.strip(b"/"))
        if top is None or not isinstance(top.node, Directory):
            self.warnings.append(f"{display(folder)}: folder not found")
            return
        pending = self._entries(folder, top.path, frozenset())
        while pending:
            candidate = pending.pop()
            found = look_up(self._tree, candidate.place)
            if found is None:
                if name(candidate.path) != LOCAL_LINK:  # filled by extensions
                    self.warnings.append(
                        f"{display(candidate.path)}: skipped: broken symbolic link"
                    )
            elif isinstance(found.node, Directory):
                if found.path in candidate.above or len(candidate.above) >= MAX_DEPTH:
                    self.warnings.append(
                        f"{display(candidate.path)}: skipped: link to a parent folder"
                    )
                else:
                    pending += self._entries(candidate.path, found.path, candidate.above)
            elif not isinstance(found.node, File):
                self.warnings.append(f"{display(candidate.path)}: skipped: {describe(found.node)}")
            elif candidate.path.endswith(SUFFIXES) and name(candidate.path) not in SUFFIXES:
                self._add(evolve(candidate, place=found.path))

    def _entries(self, path: bytes, place: bytes, above: frozenset[bytes]) -> list[_Candidate]:
        """Return the entries of a folder in reverse order, for a stack."""
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
        kernel_name = module_name(name(new.path))
        old = self._found.get(kernel_name)
        if old is not None:
            if self._keeps(old, new):
                return
            del self._found[kernel_name]
        self._found[kernel_name] = new

    def _keeps(self, old: _Candidate, new: _Candidate) -> bool:
        """Say whether ``old`` takes precedence over ``new``.

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
            # If both are in one folder, kmod ranks only the new one.
            elif old_inside.startswith(search + b"/"):
                old_rank = rank
            rank += 1
        new_rank = new_rank if new_rank >= 0 else built_in
        old_rank = old_rank if old_rank >= 0 else built_in
        return new_rank <= old_rank

    def _inside(self, path: bytes) -> bytes:
        """Return ``path`` relative to the release's folder; empty if it is outside."""
        if not path.startswith(self._folder):
            return b""
        return path[len(self._folder) + 1 :]
