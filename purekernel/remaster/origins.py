"""Follow where the files of an image come from, through the steps of a build.

Nodes never change, and functions from tree to tree share those that they do not change. So after
each step, the nodes that are other objects than before are what the step made or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import evolve

from purekernel.analysis.origins import OriginMap, Origins
from purekernel.recipe.composition import Composition
from purekernel.tree import Directory, Metadata, Origin, OriginKind, Sources, Tree
from purekernel.tree.origin import holds_same
from purekernel.tree.path import join, parent

_NO_SOURCES = Sources()

Former = Callable[[bytes], bytes]
"""Returns the path that a path had before a step, if the step renamed it."""


def generated(what: str) -> Origin:
    """Return the origin of what a build makes."""
    return Origin(OriginKind.GENERATED, what)


class OriginTracker:
    """The origins of the files of one tree, from one step of a build to the next.

    A file comes from what made it, or last changed its content, or, for steps of the recipe, its
    owner or mode. Times do not count, nor does how a file is compressed.

    Args:
        tree: the tree before the first step.
        origin: where all its files come from.
    """

    def __init__(self, tree: Tree, origin: Origin) -> None:
        self._tree = tree
        self._origin = origin
        # Only of paths that come from elsewhere: their number, not the base's, decides what a step
        # costs beyond the comparison of objects.
        self._others: dict[bytes, Origin] = {}

    def follow(
        self,
        tree: Tree,
        origin: Origin | Callable[[bytes], Origin],
        *,
        sources: Sources = _NO_SOURCES,
        owns_metadata: bool = False,
        former: Former | None = None,
    ) -> None:
        """Enter what a step made of the tree.

        Args:
            tree: the tree after the step; it must not change any more.
            origin: where new files come from that ``sources`` do not know.
            sources: know where contents come from that the step put into the tree.
            owns_metadata: whether a file whose owner or mode the step changed comes from it.
            former: for a step that renames files.
        """
        before, self._tree = self._tree, tree
        if tree is before:
            return
        others, folders = dict(self._others), []
        for path in tree.changed_since(before):
            old, new = before.get(path), tree[path]
            if old is not None and holds_same(old, new):
                if not owns_metadata or _is_dated(old.metadata, new.metadata):
                    continue
            elif (found := sources.find(new)) is not None:
                others[path] = found
                continue
            elif former is not None and (was := former(path)) in before:
                others[path] = self._others.get(was, self._origin)
                continue
            elif isinstance(new, Directory):
                folders.append(path)
            others[path] = origin if isinstance(origin, Origin) else origin(path)
        self._others = {path: each for path, each in others.items() if path in tree}
        self._pass_up(folders)

    def _pass_up(self, folders: Iterable[bytes]) -> None:
        """Give new folders that the build made the origin of what is in them, if it is one."""
        for path in sorted(folders, reverse=True):  # deeper ones first
            inside = {self.find(join(path, entry)) for entry in self._tree.entries(path)}
            if self._others[path].kind is OriginKind.GENERATED and len(inside) == 1:
                self._others[path] = inside.pop()

    def find(self, path: bytes) -> Origin:
        """Return where a path of the tree comes from."""
        return self._others.get(path, self._origin)

    def result(self) -> OriginMap:
        """Return the origins of all files."""
        marks = {b"": self.find(b"")}
        for path, origin in self._others.items():
            if self.find(parent(path)) != origin:
                marks[path] = origin
            if isinstance(self._tree[path], Directory):
                for entry in self._tree.entries(path):
                    below = join(path, entry)
                    if self.find(below) != origin:
                        marks[below] = self.find(below)
        return OriginMap(dict(sorted(marks.items())))


class ImageTracker:
    """The origins of the files of an image that is being made.

    Attributes:
        root: those of the root file system.
        disc: those of the ISO.
    """

    def __init__(self, composition: Composition) -> None:
        base, origin = composition.base, composition.base_origin
        self.root = OriginTracker(base.initramfs.tree, origin)
        self.disc = OriginTracker(base.iso, origin)

    def result(self, composition: Composition) -> Origins:
        """Return the origins of all files."""
        tce = OriginMap()
        if composition.tce is not None:
            lists = generated("lists of extensions")
            tracker = OriginTracker(Tree(), lists)
            tracker.follow(composition.tce, lists, sources=composition.sources)
            tce = tracker.result()
        return Origins(root=self.root.result(), disc=self.disc.result(), tce=tce)


def _is_dated(old: Metadata, new: Metadata) -> bool:
    """Return whether two metadata differ in nothing but the time."""
    return old is new or evolve(old, mtime=new.mtime) == new
