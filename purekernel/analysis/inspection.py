"""Show what is in an image: how it is built, and a tree of its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path

from purekernel.analysis.contents import Contents, Part, read_contents
from purekernel.analysis.listing import (
    PlaceListing,
    entry_json,
    long_lines,
    make_entries,
    show_mode,
    show_size,
    size_of,
)
from purekernel.analysis.sections import merge_sections
from purekernel.analysis.structure import MENU, Structure, describe_part
from purekernel.analysis.usage import measure_usage, usage_lines
from purekernel.errors import InputError, PurekernelError
from purekernel.formats.mtree import build_mtree
from purekernel.host.unpack import Unpacked, select, unpack_tree
from purekernel.input import Limits, Salvage
from purekernel.records import frozen
from purekernel.rootfs.patterns import Pattern, parse_pattern
from purekernel.tree import ROOT, Directory, File, Node, Symlink, Tree
from purekernel.tree.path import escape, join, name, parent

_BRANCH, _LAST, _LINE, _BLANK = "├── ", "└── ", "│   ", "    "


class Order(Enum):
    """The order of files in a folder, and in a flat list."""

    NAME = "name"
    SIZE = "size"
    TIME = "time"


@frozen(kw_only=True)
class View:
    """What is shown of the files.

    Attributes:
        is_long: whether to list full paths, with the number of names and the time.
        order: the order of the files.
        depth: how many levels of folders to show; ``None`` for all, 0 for no files.
        patterns: show only files that match one of these; all if empty.
    """

    is_long: bool = False
    order: Order = Order.NAME
    depth: int | None = None
    patterns: tuple[Pattern, ...] = ()


def parse_patterns(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """Return patterns: one with a slash matches whole paths, another the name in any folder."""
    raw = [text.encode("utf-8", "surrogateescape").lstrip(b"/") for text in texts]
    return tuple(parse_pattern(text if b"/" in text else b"**/" + text) for text in raw)


@frozen(kw_only=True, eq=False)
class Inspection:
    """An image that was read, with the description of each part.

    Attributes:
        contents: what is in it.
        structures: the description of each of its parts.
    """

    contents: Contents
    structures: tuple[Structure, ...]

    @property
    def faults(self) -> tuple[PurekernelError, ...]:
        """What could not be read; a fault that several readers met counts once."""
        found = [*self.contents.faults, *(f for each in self.structures for f in each.faults)]
        return tuple({str(fault): fault for fault in found}.values())

    def lines(self, view: View) -> Iterator[str]:
        """Yield the lines of the text; no name has control characters in it."""
        if view.patterns:
            yield from self._matches(view)
            return
        is_first = True
        for part, structure in zip(self.contents.parts, self.structures, strict=True):
            if not is_first:
                yield ""
            is_first = False
            yield _heading(self.contents.address, part)
            for section in structure.sections:
                yield from section.lines()
            if view.depth != 0 and len(part.tree) > 1:
                yield from _list(part.tree, view)

    def usage_lines(self, depth: int) -> Iterator[str]:
        """Yield the lines that say what takes the space.

        Args:
            depth: how many levels of folders to show.
        """
        for number, part in enumerate(self.contents.parts):
            if len(part.tree) > 1:
                yield from [""] * bool(number)
                yield _heading(self.contents.address, part)
                yield from usage_lines(measure_usage(part), depth)

    def json(self, view: View) -> dict[str, object]:
        """Return the JSON document."""
        return {
            "image": self.contents.address,
            "parts": [
                {
                    "place": part.place,
                    "kind": None if part.kind is None else part.kind.name.lower(),
                    "compression": None
                    if part.compression is None
                    else part.compression.name.lower(),
                    "packed_bytes": part.packed_bytes,
                    "names": len(part.tree) - 1,
                    "content_bytes": _content_bytes(part.tree),
                    "structure": merge_sections(structure.sections, repeated=MENU),
                    "entries": [
                        {
                            **entry_json(entry.name, entry.node),
                            "names": entry.names,
                            "hard_link_to": entry.first,
                        }
                        for entry in make_entries(
                            part.tree, [(path, path) for path in _chosen(part.tree, view)]
                        )
                    ],
                }
                for part, structure in zip(self.contents.parts, self.structures, strict=True)
            ],
        }

    def usage_json(self) -> list[dict[str, object]]:
        """Return the sizes of all files of each part: raw, and packed where that is known."""
        return [
            {
                "place": part.place,
                "entries": [
                    {"path": path, "bytes": size, "packed_bytes": usage.packed_of(path)}
                    for path, size in usage.raw.items()
                ],
            }
            for part in self.contents.parts
            for usage in [measure_usage(part)]
        ]

    def mtree(self, salvage: Salvage) -> Iterator[bytes]:
        """Yield the lines of a manifest of the image itself.

        Args:
            salvage: called with the fault of each file that cannot be read.
        """
        return build_mtree(self.contents.parts[0].tree, salvage=salvage)

    def extract(self, view: View, folder: Path) -> Unpacked:
        """Unpack the image itself into a folder; with patterns, only what matches.

        Raises:
            InputError: nothing matches.
            OutputError: the folder exists or cannot be written.
            PurekernelError: a file of the image cannot be read.
        """
        tree = self.contents.parts[0].tree
        if view.patterns:
            chosen = list(_chosen(tree, view))
            if not chosen:
                raise InputError(
                    f"{self.contents.address}: no path matches",
                    hint="list all names without --find",
                )
            tree = select(tree, chosen, source=self.contents.address)
        return unpack_tree(tree, folder)

    def _matches(self, view: View) -> Iterator[str]:
        """Yield the matching files of all parts, each with its address in the image."""
        for part in self.contents.parts:
            prefix = f"{part.place}:".encode("utf-8", "surrogateescape") if part.place else b""
            paths = list(_sorted(part.tree, _chosen(part.tree, view), view.order))
            yield from _long(part.tree, [(path, prefix + path) for path in paths])


def inspect_image(address: str, *, limits: Limits) -> Inspection:
    """Read the image at an address, and describe its parts.

    Raises:
        InputError, MissingPathError: nothing is at the address.
    """
    contents = read_contents(address, limits=limits)
    structures = tuple(describe_part(contents, part) for part in contents.parts)
    return Inspection(contents=contents, structures=structures)


def _heading(address: str, part: Part) -> str:
    place = address if not part.place else f"{address}:{part.place}"
    words = ["a folder" if part.kind is None else part.kind.description]
    if part.compression is not None:
        words.append(f"in {part.compression.description}")
    if part.packed_bytes is not None:
        words.append(f"{part.packed_bytes} bytes")
    if len(part.tree) > 1:
        words.append(f"{len(part.tree) - 1} names, {_content_bytes(part.tree)} bytes in files")
    return f"{escape(place.encode('utf-8', 'surrogateescape'))}: {', '.join(words)}"


def _content_bytes(tree: Tree) -> int:
    return sum(node.size_bytes for node in tree.nodes() if isinstance(node, File))


def _list(tree: Tree, view: View) -> Iterator[str]:
    if not view.is_long:
        yield from _draw(tree, view)
        return
    paths = _sorted(tree, _chosen(tree, view), view.order)
    yield from _long(tree, [(path, path) for path in paths])


def _chosen(tree: Tree, view: View) -> Iterator[bytes]:
    """Yield the paths of a tree that are shown, without its root."""
    for path, _node in tree.walk():
        if not path or (view.depth is not None and path.count(b"/") >= view.depth):
            continue
        if not view.patterns or any(pattern.matches(path) for pattern in view.patterns):
            yield path


def _sorted(tree: Tree, paths: Iterable[bytes], order: Order) -> Iterable[bytes]:
    if order is Order.SIZE:
        return sorted(paths, key=lambda path: -size_of(tree[path]))
    if order is Order.TIME:
        return sorted(paths, key=lambda path: -tree[path].metadata.mtime)
    return paths


def _long(tree: Tree, shown: Sequence[tuple[bytes, bytes]]) -> Iterator[str]:
    entries = tuple(make_entries(tree, shown))
    if entries:
        yield from map(escape, long_lines(PlaceListing(is_folder=True, entries=entries)))


def _draw(tree: Tree, view: View) -> Iterator[str]:
    """Yield a line for each file: mode, owner and group, size, and the tree with its name."""
    totals = measure_folders(tree)
    key: Callable[[bytes], object] = {
        Order.NAME: name,
        Order.SIZE: lambda path: (-totals[path], name(path)),
        Order.TIME: lambda path: (-tree[path].metadata.mtime, name(path)),
    }[view.order]
    owners = {
        id(node.metadata): f"{node.metadata.uid}:{node.metadata.gid}" for node in tree.nodes()
    }
    owner_width = max(map(len, owners.values()), default=0)
    size_width = len(str(totals[ROOT])) + 1
    pending = _children(tree, ROOT, "", key)[::-1]
    while pending:
        path, lead, more = pending.pop()
        node = tree[path]
        size = str(totals[path]) if isinstance(node, Directory) else show_size(node)
        owner = owners[id(node.metadata)]
        columns = f"{show_mode(node)} {owner:>{owner_width}} {size:>{size_width}}"
        yield f"{columns} {lead}{_name(path, node)}"
        if isinstance(node, Directory) and (
            view.depth is None or path.count(b"/") + 1 < view.depth
        ):
            pending += _children(tree, path, more, key)[::-1]


def _children(
    tree: Tree, folder: bytes, more: str, key: Callable[[bytes], object]
) -> list[tuple[bytes, str, str]]:
    """Return the paths in a folder, each with what precedes it, and what precedes those in it."""
    paths = sorted((join(folder, entry) for entry in tree.entries(folder)), key=key)  # type: ignore[arg-type]
    shown = [(path, more + _BRANCH, more + _LINE) for path in paths]
    if shown:
        shown[-1] = (paths[-1], more + _LAST, more + _BLANK)
    return shown


def _name(path: bytes, node: Node) -> str:
    shown = escape(name(path))
    if isinstance(node, Directory):
        return shown + "/"
    return f"{shown} -> {escape(node.target)}" if isinstance(node, Symlink) else shown


def measure_folders(tree: Tree) -> dict[bytes, int]:
    """Return the size of each path; of a folder, that of all files below, hard links once."""
    totals: dict[bytes, int] = {}
    seen: set[int] = set()
    paths = list(tree.walk())
    for path, node in paths:
        size = size_of(node)
        if isinstance(node, File) and tree.count_names(path) > 1:
            inode = tree.inode(path)
            if inode in seen:
                size = 0
            seen.add(inode)
        totals[path] = size
    for path, _node in reversed(paths):
        if path:
            totals[parent(path)] += totals[path]
    return totals
