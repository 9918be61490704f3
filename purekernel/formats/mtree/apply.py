"""Make what a manifest describes, over the files of a folder or over nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import evolve

from purekernel.errors import InputError, TreeError
from purekernel.formats.mtree.entry import Entry, Kind
from purekernel.input import DEFAULT_LIMITS, Limits
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

# Of the faults found in a manifest, how many one message shows.
MAX_SHOWN = 20


class Find(Protocol):
    """Looks into the folder that a manifest speaks of."""

    def node(self, path: bytes) -> Node | None:
        """Return what stands at ``path``, or ``None``; a link at its end is not followed."""

    def content(self, path: bytes) -> Node | None:
        """Return what ``path`` leads to inside the folder, links followed, or ``None``."""


class FindInTree:
    """Looks into a folder that has been read as a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def node(self, path: bytes) -> Node | None:
        """Return what stands at ``path``, or ``None``; a link at its end is not followed."""
        return self._tree.get(path)

    def content(self, path: bytes) -> Node | None:
        """Return what ``path`` leads to inside the tree, links followed, or ``None``."""
        try:
            return self._tree.get(resolve(self._tree, path))
        except TreeError:
            return None


# For what the folder does not hold and the manifest says no mode of. A device that
# anyone may write to would be a hole, so nobody but root may unless it is said.
DEFAULT_MODES: Mapping[Kind, int] = {
    Kind.FOLDER: 0o755,
    Kind.FILE: 0o644,
    Kind.LINK: 0o777,
    Kind.FIFO: 0o644,
    Kind.SOCKET: 0o644,
    Kind.BLOCK: 0o600,
    Kind.CHARACTER: 0o600,
}


def apply_manifest(
    entries: Iterable[Entry],
    *,
    base: Tree,
    find: Find,
    source: str,
    mtime: int,
    limits: Limits = DEFAULT_LIMITS,
) -> Layer:
    """Return ``base`` with what ``entries`` say done to it, and which metadata they said.

    An entry changes metadata, or makes what a folder on the host cannot hold. A file's
    content is what ``contents=`` names, else what stands at its own path. What no entry
    says keeps what ``base`` has; what is made new is root's, with ``mtime``.

    Args:
        entries: in the manifest's order.
        base: left as it is.
        find: looks up files and their contents; for a manifest over a folder, in that
            folder's tree.
        source: the manifest, for messages.
        mtime: the time of what has none stated, in seconds since 1970.
        limits: bounds on depth and number.

    Raises:
        InputError: files are missing, or not what their size or digest says; the first
            twenty of them are listed.
        LimitError: contents come to more than ``limits`` allow.
        TreeError: entries contradict one another or the folder.
    """
    maker = _Maker(base.copy(), find, source, mtime, limits)
    for entry in entries:
        try:
            maker.make(entry)
        except TreeError as error:
            raise error.within(f"{source}, line {entry.line}") from None
    maker.check()
    return Layer(source=source, tree=maker.tree, stated=maker.stated)


class _Maker:
    """A manifest on its way into a layer, and what was found wrong on that way."""

    def __init__(self, tree: Tree, find: Find, source: str, mtime: int, limits: Limits) -> None:
        self.tree = tree
        self.stated: dict[bytes, frozenset[str]] = {}
        self._find = find
        self._source = source
        self._mtime = mtime
        self._limits = limits
        self._content_bytes = 0
        self._missing: list[str] = []
        self._wrong: list[str] = []

    def make(self, entry: Entry) -> None:
        """Do what one entry says, or note why it cannot be done."""
        self._limits.check_depth(entry.path, source=self._source)
        self._limits.check_members(len(self.tree) + 1, source=self._source)
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
                entry.path, Metadata(mode=DEFAULT_MODES[Kind.FOLDER], mtime=self._mtime)
            )
        self.tree.add(entry.path, node)
        if not entry.nochange and entry.metadata:
            self.stated[entry.path] = frozenset(entry.metadata)

    def check(self) -> None:
        """Raise one error for all that was found wrong.

        Raises:
            InputError: there was something.
        """
        if self._missing:
            raise InputError(
                f"{self._source} names what is not there: {_first(self._missing, ', ')}",
                hint="add the files, name others with contents=, or mark the entries optional",
            )
        if self._wrong:
            raise InputError(
                f"{self._source} does not fit its files: {_first(self._wrong, '; ')}",
                hint="correct the manifest, or put back the files that it was made for",
            )

    def _node(self, entry: Entry, found: Node | None) -> Node | None:
        kind = entry.kind or (Kind.FILE if found is None else _kind(found))
        old = found if found is not None and _kind(found) is kind else None
        metadata = (
            Metadata(mode=DEFAULT_MODES[kind], mtime=self._mtime) if old is None else old.metadata
        )
        said: dict[str, Any] = dict(entry.metadata)
        metadata = evolve(metadata, **said)
        if kind is Kind.FILE:
            return self._file(entry, metadata)
        node = _described(entry, kind, metadata)
        if node is None and old is not None:
            return evolve(old, metadata=metadata)
        if node is None:
            needed = "link=" if kind is Kind.LINK else "device="
            self._wrong.append(f"{_name(entry, entry.path)} needs {needed}")
        return node

    def _file(self, entry: Entry, metadata: Metadata) -> File | None:
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
        # One file may be the content of very many.
        self._content_bytes += len(found.content)
        self._limits.check_unpacked(self._content_bytes, source=self._source)
        self._check_content(entry, found.content)
        return File(metadata=metadata, content=found.content)

    def _check_content(self, entry: Entry, content: Buffer) -> None:
        name = _name(entry, entry.contents or entry.path)
        if entry.size is not None and entry.size != len(content):
            self._wrong.append(f"{name} has {len(content)} bytes, not {entry.size}")
        for algorithm, digest in entry.digests:
            found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
            if found != digest:
                self._wrong.append(f"{name} has {algorithm} {found}, not {digest}")


def _described(entry: Entry, kind: Kind, metadata: Metadata) -> Node | None:
    """Return what the entry alone is enough to make, or ``None``."""
    if kind is Kind.LINK and entry.link:
        return Symlink(metadata=metadata, target=entry.link)
    if kind in (Kind.BLOCK, Kind.CHARACTER) and entry.device is not None:
        major, minor = entry.device
        device = DeviceKind.BLOCK if kind is Kind.BLOCK else DeviceKind.CHARACTER
        return Device(metadata=metadata, kind=device, major=major, minor=minor)
    if kind is Kind.FOLDER:
        return Directory(metadata=metadata)
    if kind is Kind.FIFO:
        return Fifo(metadata=metadata)
    return Socket(metadata=metadata) if kind is Kind.SOCKET else None


def _kind(node: Node) -> Kind:
    if isinstance(node, Device):
        return Kind.BLOCK if node.kind is DeviceKind.BLOCK else Kind.CHARACTER
    return _KINDS[type(node)]


def _first(faults: list[str], between: str) -> str:
    """Return the first of what may be very many, and how many more there are."""
    shown = between.join(faults[:MAX_SHOWN])
    more = len(faults) - MAX_SHOWN
    return shown if more <= 0 else f"{shown}{between}and {more} more"


def _name(entry: Entry, path: bytes) -> str:
    return f"{display(path)} (line {entry.line})"


_KINDS: dict[type[Node], Kind] = {
    Directory: Kind.FOLDER,
    Fifo: Kind.FIFO,
    File: Kind.FILE,
    Socket: Kind.SOCKET,
    Symlink: Kind.LINK,
}
