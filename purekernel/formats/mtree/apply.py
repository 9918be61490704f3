"""Apply a manifest to the files of a folder, or create its files in an empty tree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import evolve

from purekernel.errors import InputError, TreeError
from purekernel.formats.mtree.entry import EntryType, ManifestEntry
from purekernel.formats.mtree.parser import parse_mtree
from purekernel.input import Input
from purekernel.tree import (
    ROOT,
    Buffer,
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Layer,
    Metadata,
    Node,
    Socket,
    Symlink,
    Tree,
    describe,
    display,
    resolve,
)

# The largest number of faults in one message.
MAX_SHOWN = 20


class Find(Protocol):
    """Look up files in the folder that a manifest describes."""

    def node(self, path: bytes) -> Node | None:
        """Return the node at ``path``, or ``None``; do not follow a link at its end."""

    def content(self, path: bytes) -> Node | None:
        """Return the node at ``path`` in the folder, following links, or ``None``."""


class FindInTree:
    """Look up files in a folder that was read as a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def node(self, path: bytes) -> Node | None:
        """Return the node at ``path``, or ``None``; do not follow a link at its end."""
        return self._tree.get(path)

    def content(self, path: bytes) -> Node | None:
        """Return the node at ``path`` in the tree, following links, or ``None``."""
        try:
            return self._tree.get(resolve(self._tree, path))
        except TreeError:
            return None


# The modes of new files without a mode in the manifest. A device that any user may write to would
# be a security hole, so by default only root may.
DEFAULT_MODES: Mapping[EntryType, int] = {
    EntryType.FOLDER: 0o755,
    EntryType.FILE: 0o644,
    EntryType.LINK: 0o777,
    EntryType.FIFO: 0o644,
    EntryType.SOCKET: 0o644,
    EntryType.BLOCK: 0o600,
    EntryType.CHARACTER: 0o600,
}


def apply_manifest(manifest: Input, *, base: Tree, find: Find, mtime: int) -> Layer:
    """Return a copy of ``base`` that a manifest was applied to, and the metadata in the manifest.

    An entry changes metadata, or creates what a folder on the host cannot hold. The content of a
    file is that of the path in ``contents=``, else that of its own path. Metadata without a keyword
    is that of ``base``; new files belong to root, with ``mtime``.

    Args:
        manifest: text in the mtree format.
        base: the tree to apply the manifest to; not changed.
        find: looks up files and their contents; for the manifest of a folder, in its tree.
        mtime: the time of files without a time, in seconds since 1970, UTC.

    Raises:
        FormatError: a line of the manifest is malformed.
        InputError: files are missing, or differ from their size or digest; the message has up to
            twenty of them.
        LimitError: the contents, paths or number of entries exceed the limits of ``manifest``.
        PathError: a path is absolute or has ``..``.
        TreeError: entries contradict one another or the folder.
    """
    builder = _LayerBuilder(manifest, base.copy(), find, mtime)
    for entry in parse_mtree(manifest):
        try:
            builder.add(entry)
        except TreeError as error:
            raise error.within(f"{manifest.name}, line {entry.line}") from None
    builder.check()
    return Layer(source=manifest.name, tree=builder.tree, stated=builder.stated)


class _LayerBuilder:
    """A layer in progress, and the faults found so far."""

    def __init__(self, manifest: Input, tree: Tree, find: Find, mtime: int) -> None:
        self.tree = tree
        self.stated: dict[bytes, frozenset[str]] = {}
        self._manifest = manifest
        self._find = find
        self._mtime = mtime
        self._content_bytes = 0
        # The contents used so far, by identity.
        self._used: set[int] = set()
        self._missing: list[str] = []
        self._wrong: list[str] = []

    def add(self, entry: ManifestEntry) -> None:
        """Apply an entry, or record why it cannot be applied."""
        self._manifest.check_depth(entry.path)
        self._manifest.check_members(len(self.tree) + 1)
        found = self._find.node(entry.path) if entry.path != ROOT else self.tree[ROOT]
        if found is None and entry.optional:
            return
        if entry.nochange:
            node = found
            if node is None:
                self._missing.append(_name(entry, entry.path))
        else:
            node = self._node(entry, found)
        if node is None:
            return
        if entry.path != ROOT:
            self.tree.add_parents(
                entry.path, Metadata(mode=DEFAULT_MODES[EntryType.FOLDER], mtime=self._mtime)
            )
        self.tree.add(entry.path, node)
        if not entry.nochange and entry.metadata:
            self.stated[entry.path] = frozenset(entry.metadata)

    def check(self) -> None:
        """Raise one error for all faults.

        Raises:
            InputError: there are faults.
        """
        if self._missing:
            raise InputError(
                f"{self._manifest.name} lists missing files: {_first(self._missing, ', ')}",
                hint="add the files, set others with contents=, or mark the entries optional",
            )
        if self._wrong:
            raise InputError(
                f"{self._manifest.name} does not match its files: {_first(self._wrong, '; ')}",
                hint="correct the manifest, or restore the files that it was made for",
            )

    def _node(self, entry: ManifestEntry, found: Node | None) -> Node | None:
        kind = entry.kind or (EntryType.FILE if found is None else _kind(found))
        old = found if found is not None and _kind(found) is kind else None
        metadata = (
            Metadata(mode=DEFAULT_MODES[kind], mtime=self._mtime) if old is None else old.metadata
        )
        fields: dict[str, Any] = dict(entry.metadata)
        metadata = evolve(metadata, **fields)
        if kind is EntryType.FILE:
            return self._file(entry, metadata)
        node = _described(entry, kind, metadata)
        if node is None and old is not None:
            return evolve(old, metadata=metadata)
        if node is None:
            needed = "link=" if kind is EntryType.LINK else "device="
            self._wrong.append(f"{_name(entry, entry.path)} needs {needed}")
        return node

    def _file(self, entry: ManifestEntry, metadata: Metadata) -> File | None:
        path = entry.path if entry.contents is None else entry.contents
        found = self._find.content(path)
        if found is None:
            self._missing.append(_name(entry, path))
            return None
        if not isinstance(found, File):
            self._wrong.append(f"{_name(entry, path)} is {describe(found)}")
            return None
        if entry.mode is None:
            metadata = evolve(metadata, mode=found.metadata.mode)
        # One file may be the content of many entries. The first use was counted when it was read.
        new_bytes = len(found.content) if id(found.content) in self._used else 0
        self._used.add(id(found.content))
        self._content_bytes += len(found.content)
        self._manifest.count_unpacked(new_bytes, already_bytes=self._content_bytes - new_bytes)
        self._check_content(entry, found.content)
        return File(metadata=metadata, content=found.content)

    def _check_content(self, entry: ManifestEntry, content: Buffer) -> None:
        name = _name(entry, entry.contents or entry.path)
        if entry.size is not None and entry.size != len(content):
            self._wrong.append(f"{name} has {len(content)} bytes, not {entry.size}")
        for algorithm, digest in entry.digests:
            actual = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
            if actual != digest:
                self._wrong.append(f"{name} has {algorithm} {actual}, not {digest}")


def _described(entry: ManifestEntry, kind: EntryType, metadata: Metadata) -> Node | None:
    """Return the node that the entry alone describes, or ``None``."""
    if kind is EntryType.LINK and entry.link:
        return Symlink(metadata=metadata, target=entry.link)
    if kind in (EntryType.BLOCK, EntryType.CHARACTER) and entry.device is not None:
        major, minor = entry.device
        device = DeviceKind.BLOCK if kind is EntryType.BLOCK else DeviceKind.CHARACTER
        return Device(metadata=metadata, kind=device, major=major, minor=minor)
    if kind is EntryType.FOLDER:
        return Directory(metadata=metadata)
    if kind is EntryType.FIFO:
        return Fifo(metadata=metadata)
    return Socket(metadata=metadata) if kind is EntryType.SOCKET else None


def _kind(node: Node) -> EntryType:
    if isinstance(node, Device):
        return EntryType.BLOCK if node.kind is DeviceKind.BLOCK else EntryType.CHARACTER
    return _KINDS[type(node)]


def _first(faults: list[str], between: str) -> str:
    """Return the first faults, and the number of the others."""
    shown = between.join(faults[:MAX_SHOWN])
    more = len(faults) - MAX_SHOWN
    return shown if more <= 0 else f"{shown}{between}and {more} more"


def _name(entry: ManifestEntry, path: bytes) -> str:
    return f"{display(path)} (line {entry.line})"


_KINDS: dict[type[Node], EntryType] = {
    Directory: EntryType.FOLDER,
    Fifo: EntryType.FIFO,
    File: EntryType.FILE,
    Socket: EntryType.SOCKET,
    Symlink: EntryType.LINK,
}
