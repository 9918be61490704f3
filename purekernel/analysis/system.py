"""Work out what a booted image consists of: its root, and the extensions that it loads.

Tiny Core mounts each extension and links its files into the root where nothing is in the way. So a
file of any loaded extension counts as present. An extension that is only stored in the image, for
loading later, is seen together with what it depends on.

Source: usr/bin/tce-load and usr/bin/tce-setup of Tiny Core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

from attrs import field

from purekernel.analysis.findings import BASE, BUILD, FileOwner, Finding, OwnerKind, shown
from purekernel.errors import FormatError, TreeError
from purekernel.formats.bzimage import kernel_release
from purekernel.formats.squashfs import open_squashfs
from purekernel.formats.tinycore import TCZ, parse_dependencies
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
from purekernel.rootfs.modules import kernel_releases
from purekernel.rootfs.ownership import START_SCRIPTS
from purekernel.tree import Directory, File, Node, Symlink, Tree, resolve
from purekernel.tree.path import join, name, parent

# The folders with a list of extensions that are loaded at boot, and with a folder of extensions:
# in the root file system, on the disc, and on a partition.
LOADED_FROM = (b"tmp/builtin", b"tce")
LOADED_FROM_DISC = (b"cde", b"tce")
LOADED_FROM_PARTITION = (b"", b"tce")
OPTIONAL, ONBOOT = b"optional", b"onboot.lst"

# tce-load skips an extension if this has a file of its name.

_KERNEL = "-KERNEL" + TCZ


@frozen(kw_only=True, eq=False)
class Subject:
    """An image to check, and what it was made from.

    Attributes:
        root: the root file system.
        disc: the files of the ISO.
        tce: the folder of extensions for a writable partition.
        stock_root: the root file system of the base; its files are not checked.
        stock_disc: the files of the base's ISO; likewise.
        origins: where the files of ``root`` come from: owners and their files. Of several that
            have a path, the last one counts.
        owner_of: returns where a file of ``root`` comes from; by default by ``origins``.
        kernel: the kernel.
        words: the words of the kernel line, if no menu on the disc has it.
        limits: limits on what is read.
    """

    root: Tree
    disc: Tree = field(factory=Tree)
    tce: Tree = field(factory=Tree)
    stock_root: Tree = field(factory=Tree)
    stock_disc: Tree = field(factory=Tree)
    origins: Sequence[tuple[FileOwner, Tree]] = ()
    owner_of: Callable[[bytes], FileOwner] | None = None
    kernel: Input | None = None
    words: Sequence[str] = ()
    limits: Limits = DEFAULT_LIMITS


class View:
    """The files that programs see: those of several trees, of which the first that has a path wins.

    Args:
        trees: the root file system, then extensions in the order in which they are loaded.
    """

    def __init__(self, trees: Sequence[Tree]) -> None:
        self.trees = tuple(trees)
        self._found: dict[bytes, tuple[bytes, Node] | None] = {}

    def get(self, path: bytes) -> Node | None:
        """Return the node at ``path``, or ``None``; do not follow symbolic links."""
        for tree in self.trees:
            node = tree.get(path)
            if node is not None:
                return node
        return None

    def find(self, path: bytes) -> tuple[bytes, Node] | None:
        """Return what ``path`` is, links followed, and its path; ``None`` if it is missing."""
        path = path.lstrip(b"/")
        if path not in self._found:
            self._found[path] = self._find(path)
        return self._found[path]

    def file(self, path: bytes) -> File | None:
        """Return the file at ``path``, links followed; ``None`` if no file is there."""
        found = self.find(path)
        return found[1] if found is not None and isinstance(found[1], File) else None

    def _find(self, path: bytes) -> tuple[bytes, Node] | None:
        node = self.get(path)
        if node is not None and not isinstance(node, Symlink):
            return path, node
        try:
            path = resolve(self, path)
        except TreeError:
            return None
        node = self.get(path)
        return None if node is None or isinstance(node, Symlink) else (path, node)

    @cached_property
    def names(self) -> frozenset[bytes]:
        """The names of all files and links, without their folders."""
        return frozenset(
            name(path)
            for tree in self.trees
            for path, node in tree.walk()
            if not isinstance(node, Directory)
        )

    @cached_property
    def start_scripts(self) -> bytes:
        """The contents of all start scripts, one after the other."""
        return b"\n".join(
            _readable(node)
            for tree in self.trees
            for folder in (START_SCRIPTS, b"opt", b"etc/init.d")
            if isinstance(tree.get(folder), Directory)
            for entry in tree.entries(folder)
            if isinstance(node := tree[join(folder, entry)], File)
        )


@frozen(kw_only=True, eq=False)
class OwnedFiles:
    """New files of one owner, and what they see.

    Attributes:
        owner: where the files come from.
        files: the files with new contents, by path.
        nodes: all nodes that are new, or have other contents, modes or owners than in the base.
        view: what is there when they are used.
        is_mounted: whether they are in an extension, not in the root file system.
    """

    owner: FileOwner
    files: dict[bytes, File]
    nodes: dict[bytes, Node]
    view: View
    is_mounted: bool = False


@frozen(kw_only=True, eq=False)
class StoredExtension:
    """An extension that is in the image as a file.

    Attributes:
        name: its file name.
        path: path of the file.
        tree: its files.
        needs: names of extensions that its ``.dep`` file lists.
        is_stock: whether the base has it.
    """

    name: str
    path: bytes
    tree: Tree
    needs: tuple[str, ...] = ()
    is_stock: bool = False


def marker_of(extension: str) -> bytes:
    """Return the path of the file for which tce-load takes an extension as loaded."""
    return join(START_SCRIPTS, extension.removesuffix(TCZ).encode("utf-8", "surrogateescape"))


class System:
    """The system that an image boots to.

    Args:
        subject: the image.

    Attributes:
        release: the release of the kernel; ``None`` if it is unknown.
        faults: a finding for each extension that cannot be read.
        silenced: the extensions that are to be loaded at boot, and are not, because a file of
            their name says that they are loaded already.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.faults: list[Finding] = []
        self.release = _release(subject)
        self._stored = self._read_extensions()
        self.silenced: list[StoredExtension] = []
        self._loaded = self._load()
        self.view = View([subject.root, *(extension.tree for extension in self._loaded.values())])

    def parts(self) -> Iterator[OwnedFiles]:
        """Yield all new files: of the root file system by owner, then of each extension."""
        yield from self._root_parts()
        for extension in self._loaded.values():
            if not extension.is_stock:
                yield self._part(extension, self.view)
        for shelf in self._stored.values():
            for extension in shelf.values():
                if not extension.is_stock and extension.name not in self._loaded:
                    yield self._part(extension, self._view_of(extension, shelf))

    def _part(self, extension: StoredExtension, view: View) -> OwnedFiles:
        root = self.subject.root
        # tce-load does not replace what is there.
        nodes = {path: node for path, node in extension.tree.walk() if path not in root}
        return OwnedFiles(
            owner=FileOwner(OwnerKind.EXTENSION, extension.name),
            files=_files(nodes),
            nodes=nodes,
            view=view,
            is_mounted=True,
        )

    def _root_parts(self) -> Iterator[OwnedFiles]:
        stock = self.subject.stock_root
        nodes: dict[FileOwner, dict[bytes, Node]] = {}
        same: set[bytes] = set()
        for path, node in self.subject.root.walk():
            old = stock.get(path)
            if old is node:
                continue
            if isinstance(node, File) and _is_same(old, node):
                same.add(path)
                if _has_same_rights(old, node):
                    continue
            elif not isinstance(node, File) and _is_unchanged(old, node):
                continue
            nodes.setdefault(self.owner(path), {})[path] = node
        for owner, owned in nodes.items():
            files = {path: node for path, node in _files(owned).items() if path not in same}
            yield OwnedFiles(owner=owner, files=files, nodes=owned, view=self.view)

    def owner(self, path: bytes) -> FileOwner:
        """Return where a file of the root file system comes from."""
        if self.subject.owner_of is not None:
            return self.subject.owner_of(path)
        for owner, tree in reversed(self.subject.origins):
            if path in tree:
                return BUILD if owner == BASE else owner
        return BUILD

    def _read_extensions(self) -> dict[tuple[int, bytes], dict[str, StoredExtension]]:
        """Return the extensions in the image by name, by the number of the tree and the folder."""
        subject = self.subject
        shelves: dict[tuple[int, bytes], dict[str, StoredExtension]] = {}
        for number, (tree, stock) in enumerate(
            (
                (subject.root, subject.stock_root),
                (subject.disc, subject.stock_disc),
                (subject.tce, Tree()),
            )
        ):
            for path, node in tree.walk():
                if not path.endswith(TCZ.encode()) or not isinstance(node, File):
                    continue
                extension = self._read(tree, path, node, is_stock=_is_same(stock.get(path), node))
                if extension is not None:
                    shelf = shelves.setdefault((number, parent(path)), {})
                    shelf[extension.name] = extension
        return shelves

    def _read(
        self, tree: Tree, path: bytes, node: File, *, is_stock: bool
    ) -> StoredExtension | None:
        file_name = name(path).decode("utf-8", "backslashreplace")
        limits = self.subject.limits.unbudgeted()
        try:
            image = open_squashfs(Input(node.content, name=file_name, limits=limits))
            listed = tree.get(path + b".dep")
            needs: tuple[str, ...] = ()
            if isinstance(listed, File):
                needs = parse_dependencies(Input(listed.content, name=f"{file_name}.dep"))
        except (FormatError, TreeError) as error:
            if not is_stock:
                self.faults.append(
                    Finding(
                        code="PK110",
                        owner=FileOwner(OwnerKind.EXTENSION, file_name),
                        path=path,
                        message=f"{shown(path)} cannot be read: {error}",
                        remedy="use another copy of the extension",
                    )
                )
            return None
        return StoredExtension(
            name=file_name, path=path, tree=image.tree, needs=needs, is_stock=is_stock
        )

    def _load(self) -> dict[str, StoredExtension]:
        """Return the extensions that are loaded at boot, dependencies first."""
        subject = self.subject
        loaded: dict[str, StoredExtension] = {}
        for number, (tree, folders) in enumerate(
            (
                (subject.root, LOADED_FROM),
                (subject.disc, LOADED_FROM_DISC),
                (subject.tce, LOADED_FROM_PARTITION),
            )
        ):
            for folder in folders:
                listed = tree.get(join(folder, ONBOOT))
                shelf = self._stored.get((number, join(folder, OPTIONAL)))
                if isinstance(listed, File) and shelf:
                    names = bytes(listed.content).decode("utf-8", "replace").split()
                    for extension in self._closure(names, shelf):
                        if self._is_installed(extension.name):
                            self.silenced.append(extension)
                        else:
                            loaded.setdefault(extension.name, extension)
        return loaded

    def _closure(
        self, names: Sequence[str], shelf: dict[str, StoredExtension]
    ) -> list[StoredExtension]:
        """Return the extensions called ``names`` and what they depend on, dependencies first."""
        order: dict[str, StoredExtension] = {}
        open_names: set[str] = set()
        pending = [(each, False) for each in reversed(names)]
        while pending:
            wanted, is_done = pending.pop()
            wanted = self._resolved(wanted)
            extension = shelf.get(wanted)
            if extension is None or wanted in order:
                continue
            if is_done:
                order[wanted] = extension
            elif wanted not in open_names:
                open_names.add(wanted)
                pending.append((wanted, True))
                pending += [(need, False) for need in reversed(extension.needs)]
        return list(order.values())

    def _resolved(self, wanted: str) -> str:
        wanted = wanted if wanted.endswith(TCZ) else wanted + TCZ
        if self.release is not None and wanted.endswith(_KERNEL):
            return f"{wanted.removesuffix(_KERNEL)}-{self.release}{TCZ}"
        return wanted

    def _is_installed(self, extension: str) -> bool:
        return marker_of(extension) in self.subject.root

    @cached_property
    def all_extensions(self) -> View:
        """The files of all extensions in the image, loaded at boot or not."""
        return View([each.tree for shelf in self._stored.values() for each in shelf.values()])

    def _view_of(self, extension: StoredExtension, shelf: dict[str, StoredExtension]) -> View:
        further = [
            each.tree
            for each in self._closure([extension.name], shelf)
            if each.name not in self._loaded
        ]
        return View([*self.view.trees, *further])


def _files(nodes: Mapping[bytes, Node]) -> dict[bytes, File]:
    return {path: node for path, node in nodes.items() if isinstance(node, File)}


def _readable(node: File) -> bytes:
    """Return the content of a script; none if it is damaged, which check_programs() reports."""
    try:
        return bytes(node.content)
    except FormatError:
        return b""


def _is_same(stock: Node | None, node: File) -> bool:
    """Say whether a file has the content that the base has at its path."""
    return (
        isinstance(stock, File)
        and stock.size_bytes == node.size_bytes
        and (stock.source is node.source or stock.content == node.content)
    )


def _has_same_rights(stock: Node | None, node: Node) -> bool:
    """Say whether a node has the mode and the owners that the base has at its path."""
    if stock is None:
        return False
    old, new = stock.metadata, node.metadata
    return (old.mode, old.uid, old.gid) == (new.mode, new.uid, new.gid)


def _is_unchanged(stock: Node | None, node: Node) -> bool:
    """Say whether a node that is no file is as in the base, apart from its time."""
    if not _has_same_rights(stock, node) or type(stock) is not type(node):
        return False
    return not isinstance(node, Symlink) or (
        isinstance(stock, Symlink) and stock.target == node.target
    )


def _release(subject: Subject) -> str | None:
    if subject.kernel is not None:
        release = kernel_release(subject.kernel.data)
        if release is not None:
            return release
    folders = kernel_releases(subject.root)
    return folders[0].decode("ascii", "replace") if len(folders) == 1 else None
