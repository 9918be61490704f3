"""Compare two images in depth: their files, and what is in the archives among them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from attrs import evolve

from purekernel.analysis.diff.containers import (
    MENU_ENDINGS,
    Container,
    PackedSizes,
    menu_facts,
    menu_files,
    menus_of,
    open_container,
    structure_of,
)
from purekernel.analysis.diff.model import (
    Aspect,
    Change,
    ChangeKind,
    Comparison,
    Cost,
    FactChange,
    Side,
    compare_facts,
)
from purekernel.analysis.diff.renames import find_renames
from purekernel.analysis.open import Places
from purekernel.errors import PurekernelError
from purekernel.formats.address import SEPARATOR, Item
from purekernel.formats.detect import detect, name_kind
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Device,
    Directory,
    File,
    Node,
    Symlink,
    Tree,
    branch,
    file_type,
)
from purekernel.tree.path import escape, name, parent
from purekernel.tree.tree import DEFAULT_DIRECTORY

# Archives in archives: an extension in an initrd in a partition of a disk is at depth 4.
MAX_DEPTH = 16

# What is compared first, so that files that differ at their start are not copied.
_FIRST_BYTES = 4096
_PIECE_BYTES = 1 << 22


def compare(
    old: str,
    new: str,
    *,
    ignore: Iterable[Aspect] = (),
    limits: Limits = DEFAULT_LIMITS,
    is_expanded: bool = False,
) -> Comparison:
    """Return what differs between two images, archives, folders or files.

    What cannot be read is a fault of the result, and all else is compared.

    Args:
        old: the address of the old one.
        new: the address of the new one.
        ignore: what not to compare.
        limits: the limits of all that is read, together.
        is_expanded: whether each file of a folder is a change of its own, if the whole folder was
            added, removed or renamed.

    Raises:
        InputError, MissingPathError: nothing is at an address.
        TreeError: a link there cannot be followed.
    """
    places = Places(limits)
    olds, news = (places.find(each).follow() for each in (old, new))
    return compare_items(olds, news, ignore=ignore, is_expanded=is_expanded)


def compare_items(
    old: Item,
    new: Item,
    *,
    ignore: Iterable[Aspect] = (),
    has_estimates: bool = True,
    is_expanded: bool = False,
) -> Comparison:
    """Return what differs between two files or folders; see :func:`compare`.

    Args:
        old: the old one; not a link.
        new: the new one.
        ignore: what not to compare.
        has_estimates: whether to estimate what changed files take in compressed archives.
        is_expanded: as for :func:`compare`.
    """
    comparer = _Comparer(
        old, new, frozenset(ignore), has_estimates=has_estimates, is_expanded=is_expanded
    )
    inside = comparer.compare_tops()
    return Comparison(
        old=_side(old),
        new=_side(new),
        changes=tuple(comparer.changes),
        facts=inside.facts,
        is_repacked=inside.is_repacked,
        faults=tuple(comparer.faults),
    )


def _side(item: Item) -> Side:
    node = item.node
    if not isinstance(node, File):
        return Side(address=item.address, kind="a folder")
    head = node.part(0, 33 * 1024)
    kind = name_kind(head) or detect(head).description
    return Side(address=item.address, kind=kind, size_bytes=node.size_bytes)


@frozen
class _Inside:
    """What the comparison of two archives found, besides the changes of files.

    Attributes:
        facts: how their structure differs.
        is_repacked: whether they differ, and nothing in them does.
        is_ignored: whether all that differs in them is ignored.
    """

    facts: tuple[FactChange, ...] = ()
    is_repacked: bool = False
    is_ignored: bool = False


class _Comparer:
    """Compares two items; the attributes are those of Comparison."""

    def __init__(
        self,
        old: Item,
        new: Item,
        ignore: frozenset[Aspect],
        *,
        has_estimates: bool,
        is_expanded: bool,
    ) -> None:
        self._tops = (old, new)
        self._ignore = ignore
        self._has_estimates = has_estimates
        self._is_expanded = is_expanded
        self._ignored = 0
        self.changes: list[Change] = []
        self.faults: list[PurekernelError] = []

    def compare_tops(self) -> _Inside:
        """Compare the items themselves."""
        old, new = (item.node for item in self._tops)
        try:
            if isinstance(old, File) and isinstance(new, File) and _is_equal(old, new):
                return _Inside()
        except PurekernelError as error:
            self.faults.append(error)
            return _Inside()
        sides = [self._open_top(item) for item in self._tops]
        if sides[0] is not None and sides[1] is not None:
            return self._compare_inside("", sides[0], sides[1], depth=0)
        if not self.faults:
            differing = [each for each in _aspects(old, new) if each in _OF_CONTENT]
            if aspects := self._wanted(differing):
                cost = Cost(old_bytes=_size(old), new_bytes=_size(new))
                self.changes.append(
                    Change(
                        kind=ChangeKind.CHANGED, place="", path=b"", old=old, new=new,
                        aspects=aspects, cost=cost,
                    )
                )  # fmt: skip
        return _Inside()

    def _open_top(self, item: Item) -> Container | None:
        if isinstance(item.node, Directory):
            return Container(tree=branch(item.tree, item.path) if item.path else item.tree)
        return self._open(item, "", item.node) if isinstance(item.node, File) else None

    def _open(self, top: Item, place: str, node: File) -> Container | None:
        """Open an archive of one side; what cannot be read of it is a fault."""
        shown = f"{top.address}{SEPARATOR}{place}" if place else top.address
        try:
            file = Input(
                node.content, name=shown, limits=top.limits, is_counted=not place and top.is_counted
            )
            return open_container(file, own_name=name(os.fsencode(place)) or name(top.path))
        except PurekernelError as error:
            self.faults.append(error)
            return None

    def _compare_inside(self, place: str, old: Container, new: Container, *, depth: int) -> _Inside:
        changes, ignored = len(self.changes), self._ignored
        facts = compare_facts(structure_of(old), structure_of(new))
        if facts and not self._wanted([Aspect.STRUCTURE]):
            facts = ()
        self._compare_trees(place, old, new, depth)
        if facts or len(self.changes) > changes:
            return _Inside(facts=facts)
        if self._ignored > ignored:
            return _Inside(is_ignored=True)
        are_files = old.file is not None and new.file is not None
        return _Inside(is_repacked=are_files and bool(self._wanted([Aspect.PACKING])))

    def _wanted(self, aspects: Sequence[Aspect]) -> tuple[Aspect, ...]:
        """Return what is not ignored, and count what is."""
        wanted = tuple(each for each in aspects if each not in self._ignore)
        self._ignored += len(aspects) - len(wanted)
        return wanted

    def _compare_trees(self, place: str, old: Container, new: Container, depth: int) -> None:
        pair = _Pair(place, old, new)
        removed = {path: node for path, node in pair.olds.items() if path not in pair.news}
        added = {path: node for path, node in pair.news.items() if path not in pair.olds}
        renames = find_renames(old.tree, removed, new.tree, added)
        found = [self._renamed(pair, *paths) for paths in renames.items()]
        found += self._only(pair, ChangeKind.REMOVED, removed, renames.keys())
        found += self._only(pair, ChangeKind.ADDED, added, set(renames.values()))
        tops = {ROOT: (old.tree[ROOT], new.tree[ROOT])}
        both = {
            path: (node, pair.news[path]) for path, node in pair.olds.items() if path in pair.news
        }
        for path, nodes in {**tops, **both}.items():
            if change := self._changed(pair, path, *nodes):
                found.append(change)
        found.sort(key=lambda change: change.path.split(b"/"))
        for change in self._with_menus(pair, found):
            self._enter(change, depth)

    def _enter(self, change: Change, depth: int) -> None:
        """Add a change; of a file that is an archive on both sides, what changed in it, too."""
        index = len(self.changes)
        self.changes.append(change)
        old, new = change.old, change.new
        if (
            Aspect.CONTENT not in change.aspects
            or not isinstance(old, File)
            or not isinstance(new, File)
            or depth >= MAX_DEPTH
        ):
            return
        inner = place_of(change)
        faults = len(self.faults)
        olds = self._open(self._tops[0], inner, old)
        news = None if len(self.faults) > faults else self._open(self._tops[1], inner, new)
        if olds is None or news is None:
            return
        inside = self._compare_inside(inner, olds, news, depth=depth + 1)
        aspects = change.aspects
        if inside.is_ignored or (not inside.is_repacked and not self._has_news(index, inside)):
            aspects = tuple(each for each in aspects if each is not Aspect.CONTENT)
        elif inside.is_repacked:
            aspects = (*(each for each in aspects if each is not Aspect.CONTENT), Aspect.PACKING)
        if aspects or change.facts:
            self.changes[index] = evolve(
                change, aspects=aspects, facts=inside.facts, is_entered=True
            )
        else:
            del self.changes[index]

    def _has_news(self, index: int, inside: _Inside) -> bool:
        return bool(inside.facts) or len(self.changes) > index + 1

    # The kinds of changes.

    def _only(
        self, pair: _Pair, kind: ChangeKind, nodes: Mapping[bytes, Node], renamed: Collection[bytes]
    ) -> Iterator[Change]:
        """Yield the changes of what only one side has: one for a whole folder."""
        is_old = kind is ChangeKind.REMOVED
        sizes = pair.old_sizes if is_old else pair.new_sizes
        has_cost = self._has_estimates or not sizes.is_estimate
        names: dict[bytes, int] = {}
        packed: dict[bytes, int] = {}
        tops: dict[bytes, bytes] = {}
        moved: set[bytes] = set()
        for path in nodes:  # folders come before what is in them
            folder = parent(path)
            if path in renamed or folder in moved:
                moved.add(path)
                continue
            top = tops[path] = path if self._is_expanded else tops.get(folder, path)
            names[top] = names.get(top, 0) + 1
            if has_cost:
                packed[top] = packed.get(top, 0) + sizes.of(path)
        for path, count in names.items():
            size = packed.get(path, 0)
            cost = Cost(
                old_bytes=size if is_old else 0,
                new_bytes=0 if is_old else size,
                is_estimate=sizes.is_estimate,
            )
            yield Change(
                kind=kind, place=pair.place, path=path, old=nodes[path] if is_old else None,
                new=None if is_old else nodes[path], names=count,
                cost=cost if has_cost else None,
            )  # fmt: skip

    def _renamed(self, pair: _Pair, old_path: bytes, new_path: bytes) -> Change:
        old, new = pair.olds[old_path], pair.news[new_path]
        aspects = [each for each in _aspects(old, new) if each not in _OF_CONTENT]
        return Change(
            kind=ChangeKind.RENAMED, place=pair.place, path=new_path, old_path=old_path, old=old,
            new=new, aspects=self._wanted(aspects),
            names=sum(1 for _each in pair.old.tree.walk(old_path)),
        )  # fmt: skip

    def _changed(self, pair: _Pair, path: bytes, old: Node, new: Node) -> Change | None:
        try:
            aspects = _aspects(old, new)
        except PurekernelError as error:
            self.faults.append(error)
            return None
        if pair.is_implied(path):
            # An archive that does not list a folder says nothing about its mode, owner and time.
            aspects = [each for each in aspects if each in _OF_CONTENT]
        old_links, new_links = pair.old_links.get(path, ()), pair.new_links.get(path, ())
        if old_links != new_links:
            aspects.append(Aspect.HARD_LINKS)
        wanted = self._wanted(aspects)
        if not wanted:
            return None
        cost = None
        is_estimate = pair.old_sizes.is_estimate or pair.new_sizes.is_estimate
        if (self._has_estimates or not is_estimate) and _OF_CONTENT & set(wanted):
            cost = Cost(
                old_bytes=pair.old_sizes.of(path),
                new_bytes=pair.new_sizes.of(path),
                is_estimate=is_estimate,
            )
        return Change(
            kind=ChangeKind.CHANGED, place=pair.place, path=path, old=old, new=new, aspects=wanted,
            cost=cost, old_links=old_links, new_links=new_links,
        )  # fmt: skip

    def _with_menus(self, pair: _Pair, changes: list[Change]) -> list[Change]:
        """Return the changes, with how the entries of boot menus differ."""
        edited = {each.path for each in changes if each.path.lower().endswith(MENU_ENDINGS)}
        if not edited:
            return changes
        try:
            olds, news = menus_of(pair.old), menus_of(pair.new)
        except PurekernelError as error:
            self.faults.append(error)
            return changes
        facts: dict[bytes, tuple[FactChange, ...]] = {}
        for path in sorted(olds.keys() & news.keys()):
            old, new = menu_facts(olds[path]), menu_facts(news[path])
            for file in dict.fromkeys((*old, *new)):
                differing = compare_facts(old.get(file, {}), new.get(file, {}))
                # What a menu offers may be in a file that it includes.
                files = (file, *menu_files(news[path]), *menu_files(olds[path]))
                place = next((each for each in files if each in edited), None)
                if differing and place is not None:
                    facts[place] = (*facts.get(place, ()), *differing)
        return [evolve(each, facts=facts.get(each.path, ())) for each in changes]


class _Pair:
    """Two trees, and what is looked up in them.

    Attributes:
        place: where they are in the images.
        old, new: the containers.
        olds, news: their nodes by path, in the order of walk(), without the root.
        old_sizes, new_sizes: what files take.
        old_links, new_links: the other names of hard links, by path.
    """

    def __init__(self, place: str, old: Container, new: Container) -> None:
        self.place = place
        self.old, self.new = old, new
        self.olds, self.news = _nodes(old.tree), _nodes(new.tree)
        self.old_sizes, self.new_sizes = PackedSizes(old), PackedSizes(new)
        self.old_links, self.new_links = _links(old.tree), _links(new.tree)

    def is_implied(self, path: bytes) -> bool:
        """Return whether one of the containers has a folder only because of what is in it."""
        if not path:
            tops = (self.old.tree[ROOT], self.new.tree[ROOT])
            no_archive = self.old.kind is None or self.new.kind is None
            return no_archive or any(top.metadata == DEFAULT_DIRECTORY.metadata for top in tops)
        return self.old.tree.is_implied(path) or self.new.tree.is_implied(path)


def place_of(change: Change) -> str:
    """Return where a change is, as an address inside the image."""
    inner = escape(change.path)
    return f"{change.place}{SEPARATOR}{inner}" if change.place else inner


def _nodes(tree: Tree) -> dict[bytes, Node]:
    return {path: node for path, node in tree.walk() if path}


def _links(tree: Tree) -> dict[bytes, tuple[bytes, ...]]:
    return {
        path: tuple(each for each in names if each != path)
        for names in tree.hard_links().values()
        for path in names
    }


def _size(node: Node) -> int:
    return node.size_bytes if isinstance(node, File) else 0


_OF_CONTENT = frozenset({Aspect.CONTENT, Aspect.TYPE, Aspect.LINK, Aspect.DEVICE})


def _aspects(old: Node, new: Node) -> list[Aspect]:
    """Return what differs between two nodes, in the order of Aspect.

    Raises:
        PurekernelError: a content is damaged or unreadable.
    """
    if old is new:
        return []
    aspects = []
    if isinstance(old, File) and isinstance(new, File):
        if not _is_equal(old, new):
            aspects.append(Aspect.CONTENT)
    elif file_type(old) != file_type(new):
        aspects.append(Aspect.TYPE)
    before, after = old.metadata, new.metadata
    if before.mode != after.mode and not isinstance(old, Symlink):
        aspects.append(Aspect.MODE)
    if (before.uid, before.gid) != (after.uid, after.gid):
        aspects.append(Aspect.OWNER)
    if before.mtime != after.mtime:
        aspects.append(Aspect.TIME)
    if isinstance(old, Symlink) and isinstance(new, Symlink) and old.target != new.target:
        aspects.append(Aspect.LINK)
    if (
        isinstance(old, Device)
        and isinstance(new, Device)
        and (old.major, old.minor) != (new.major, new.minor)
    ):
        aspects.append(Aspect.DEVICE)
    if before.xattrs != after.xattrs:
        aspects.append(Aspect.XATTRS)
    return aspects


def _is_equal(old: File, new: File) -> bool:
    """Return whether two files have the same content.

    Slices are compared as bytes, because views compare item by item.
    """
    if old.source is new.source:
        return True
    if old.size_bytes != new.size_bytes:
        return False
    before, after = memoryview(old.content).cast("B"), memoryview(new.content).cast("B")
    start, size_bytes = 0, _FIRST_BYTES
    while start < len(before):
        end = start + size_bytes
        if bytes(before[start:end]) != bytes(after[start:end]):
            return False
        start, size_bytes = end, _PIECE_BYTES
    return len(before) == len(after)
