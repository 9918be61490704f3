"""Plan the folders of a FAT volume: the names of each, and what FAT cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.errors import MAX_FILES_NAMED, PurekernelError, UnrepresentableError
from purekernel.formats.fat.layout import MOST_FOLDER_ENTRIES
from purekernel.formats.fat.names import (
    count_long_entries,
    decode_name,
    fault_of_name,
    fold,
    is_short,
    short_names,
)
from purekernel.records import frozen
from purekernel.tree import ROOT, Directory, File, Node, Tree, describe, display
from purekernel.tree.path import join
from purekernel.tree.path import name as name_of

MOST_FILE_BYTES = 0xFFFFFFFF

_RENAME = "rename the file, or leave it out"


@frozen(kw_only=True)
class NamedNode:
    """A name in a folder.

    Attributes:
        text: the name.
        short: the short name, 11 bytes.
        path: the path in the tree.
        node: the file or folder.
    """

    text: str
    short: bytes
    path: bytes
    node: File | Directory


@frozen(kw_only=True)
class PlannedFolder:
    """A folder to write.

    Attributes:
        names: its names, in order.
        entries: how many entries they take, with "." and "..".
        mtime: its time.
    """

    names: tuple[NamedNode, ...]
    entries: int
    mtime: int

    def files(self) -> Iterator[tuple[NamedNode, File]]:
        """Yield the files."""
        for entry in self.names:
            if isinstance(entry.node, File):
                yield entry, entry.node


class _Faults:
    """What FAT cannot hold, by reason, so that there is one error for each reason."""

    def __init__(self) -> None:
        self._paths: dict[tuple[str, str], list[bytes]] = {}

    def add(self, path: bytes, what: str, hint: str) -> None:
        self._paths.setdefault((what, hint), []).append(path)

    def errors(self) -> list[PurekernelError]:
        errors: list[PurekernelError] = []
        for (what, hint), paths in self._paths.items():
            shown = ", ".join(map(display, paths[:MAX_FILES_NAMED]))
            more = (
                f" and {len(paths) - MAX_FILES_NAMED} more" if len(paths) > MAX_FILES_NAMED else ""
            )
            errors.append(UnrepresentableError(f"FAT cannot hold {what}: {shown}{more}", hint=hint))
        return errors


def plan_folders(tree: Tree) -> tuple[dict[bytes, PlannedFolder], list[PurekernelError]]:
    """Return the folders by path, without what FAT cannot hold, and an error for each reason."""
    faults = _Faults()
    folders: dict[bytes, PlannedFolder] = {}
    pending = [ROOT]
    while pending:
        path = pending.pop()
        folder = folders[path] = _plan_folder(tree, path, faults)
        pending += (entry.path for entry in folder.names if isinstance(entry.node, Directory))
        if folder.entries > MOST_FOLDER_ENTRIES:
            what = f"a folder of more than {MOST_FOLDER_ENTRIES} entries (a long name is several)"
            faults.add(path, what, "distribute its files over several folders")
    return folders, faults.errors()


def _plan_folder(tree: Tree, folder: bytes, faults: _Faults) -> PlannedFolder:
    paths: dict[str, bytes] = {}
    seen: dict[str, bytes] = {}
    for raw in tree.entries(folder):
        path = join(folder, raw)
        text = _check_node(path, tree[path], faults)
        if text is None:
            continue
        first = seen.setdefault(fold(text), path)
        if first != path:
            what = f"a name that is the same without case as {display(first)}"
            faults.add(path, what, "rename one of them, or leave it out")
            continue
        paths[text] = path
    shorts = short_names(paths)
    names: list[NamedNode] = []
    entries = 2
    for text, path in paths.items():
        node = tree[path]
        if isinstance(node, File | Directory):
            names.append(NamedNode(text=text, short=shorts[text], path=path, node=node))
            entries += 1 if is_short(text, shorts[text]) else 1 + count_long_entries(text)
    return PlannedFolder(names=tuple(names), entries=entries, mtime=tree[folder].metadata.mtime)


def _check_node(path: bytes, node: Node, faults: _Faults) -> str | None:
    """Return the name of a node that FAT can hold; else add what is wrong with it."""
    text = decode_name(name_of(path))
    if text is None:
        faults.add(path, "a name that is not UTF-8", _RENAME)
    elif fault := fault_of_name(text):
        faults.add(path, f"a name {fault}", _RENAME)
    if not isinstance(node, File | Directory):
        faults.add(path, describe(node), "put a file there in its place, or leave it out")
        return None
    if isinstance(node, File) and node.size_bytes > MOST_FILE_BYTES:
        faults.add(path, "a file of 4 GiB or more", "split the file, or leave it out")
        return None
    return None if text is None or fault_of_name(text) else text
