"""Define where a file of an image comes from, and find it by what a node holds."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import field

from purekernel.input import Buffer
from purekernel.records import frozen
from purekernel.tree.node import File, LazyContent, Node, Symlink, with_metadata
from purekernel.tree.tree import Pass, Tree


class OriginKind(Enum):
    """The kinds of sources of files, in the order in which they are listed."""

    BASE = "base"
    """The Core that an image starts from."""
    EXTENSION = "extension"
    """An extension, with the files beside it."""
    PACKAGE = "package"
    """A Debian package."""
    GEM = "gem"
    """A Ruby gem."""
    OVERLAY = "overlay"
    """What the user lays over the base, and files that the recipe puts on the ISO."""
    EDIT = "edit"
    """What the recipe writes or changes in the image: ``[[edit]]``, ``[[file]]``, ``[system]``."""
    GENERATED = "generated"
    """What a build makes: lists of extensions, module indexes, the loader's cache."""


@frozen
class Origin:
    """Where a file of an image comes from.

    Names are those of the recipe, never paths of the host that builds: they are part of an image
    that embeds its origins.

    Attributes:
        kind: the kind of source.
        name: name of the base's file, the extension, package or gem; path or URL of the overlay as
            the recipe writes it; the table of the recipe (``[[edit]] 2``); or what made the file.
        version: the version of a package or gem; empty for others.
    """

    kind: OriginKind
    name: str
    version: str = ""

    def __str__(self) -> str:
        """Return kind, name and version for people: ``package lshw 02.19``."""
        return " ".join(filter(None, (self.kind.value, self.name, self.version)))

    @property
    def sort_key(self) -> tuple[int, str, str]:
        """The order of origins: by kind, then by name and version."""
        return _ORDER[self.kind], self.name, self.version


_ORDER = {kind: number for number, kind in enumerate(OriginKind)}


@frozen(eq=False)
class OriginPass:
    """A change to a tree that tells where what it makes comes from.

    Attributes:
        run: makes the change.
        origin: the origin of what has none in ``origins``.
        origins: the origins of paths, which ``run`` enters while it runs.
    """

    run: Pass
    origin: Origin
    origins: dict[bytes, Origin] = field(factory=dict)

    def __call__(self, tree: Tree) -> Tree:
        """Return the changed tree."""
        self.origins.clear()
        return self.run(tree)

    def origin_of(self, path: bytes) -> Origin:
        """Return where a path comes from that the last run made or changed."""
        return self.origins.get(path, self.origin)


def origin_of_pass(words: str, run: Pass) -> Callable[[bytes], Origin]:
    """Return the function from a path to its origin, for what a pass of a recipe made.

    Args:
        words: the description of the pass, for one that does not tell.
        run: the pass, after it was run.
    """
    if isinstance(run, OriginPass):
        return run.origin_of
    origin = Origin(OriginKind.EDIT, words)
    return lambda _path: origin


class Sources:
    """Finds where nodes come from, by the nodes or by the objects that hold their contents.

    A step of a build that copies a file to another path, or gives it another owner, mode or time,
    makes a new node with the same content object. So what is not found here was made by the step.
    Copies of empty files, folders and devices hold nothing that tells their source.
    """

    def __init__(self) -> None:
        # The objects are kept, so that no other one gets the identity of one of them.
        self._found: dict[int, tuple[object, Origin]] = {}

    def add_tree(self, tree: Tree, origin: Origin) -> None:
        """Enter all nodes of ``tree``. What was entered before keeps its origin."""
        for node in tree.nodes():
            self._add_node(node, origin)

    def add_content(self, content: Buffer | LazyContent, origin: Origin) -> None:
        """Enter the content of a file."""
        self._add(content if _tells(content) else None, origin)

    def add_changes(self, before: Tree, after: Tree, origin_of: Callable[[bytes], Origin]) -> None:
        """Enter what a step made: the files and links of ``after`` that are not known here."""
        for path in after.changed_since(before):
            old, new = before.get(path), after[path]
            if old is None or not holds_same(old, new):
                self._add_node(new, origin_of(path))

    def find(self, node: Node) -> Origin | None:
        """Return where ``node`` comes from; ``None`` if that is not known here."""
        found = self._found.get(id(node)) or self._found.get(id(_held(node)))
        return None if found is None else found[1]

    def _add_node(self, node: Node, origin: Origin) -> None:
        self._add(node, origin)
        self._add(_held(node), origin)

    def _add(self, held: object, origin: Origin) -> None:
        if held is not None:
            self._found.setdefault(id(held), (held, origin))


def _held(node: Node) -> object:
    """Return the object that holds the content of a file or the target of a link."""
    if isinstance(node, File):
        return node.source if _tells(node.source) else None
    if isinstance(node, Symlink):
        return node.target if _tells(node.target) else None
    return None


def _tells(content: Buffer | LazyContent) -> bool:
    """Return whether an object belongs to one source: Python shares the shortest ``bytes``."""
    return not isinstance(content, bytes) or len(content) > 1


def holds_same(before: Node, after: Node) -> bool:
    """Return whether two nodes differ in nothing but owner, mode, time and attributes.

    Contents are compared as objects, which is fast.
    """
    if isinstance(before, File) and isinstance(after, File):
        return before.source is after.source or before.size_bytes == after.size_bytes == 0
    if isinstance(before, File) or isinstance(after, File):
        return False
    return with_metadata(before, after.metadata) == after
