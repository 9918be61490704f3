"""Find what an address names inside an archive: ``image.iso:boot/core.gz:etc/passwd``.

Each colon opens the file before it; what follows is a path inside it. A name may contain colons
too: the longest name that exists wins. Symbolic links are followed inside their own archive only.
docs/addresses.md describes addresses for users.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import evolve, field

from purekernel.errors import InputError, MissingPathError, TreeError
from purekernel.formats.archive import Archive, open_archive, open_container
from purekernel.formats.detect import detect, name_kind
from purekernel.formats.oci import INDEX, LAYOUT, is_oci_layout
from purekernel.input import Input, Limits
from purekernel.records import frozen
from purekernel.similar import find_similar
from purekernel.tree import (
    ROOT,
    Directory,
    File,
    Metadata,
    Node,
    Symlink,
    Tree,
    branch,
    describe,
    display,
    resolve,
)
from purekernel.tree.path import PATH_MAX_BYTES, escape, join, name, parent

SEPARATOR = ":"

# Names may contain colons, and each may open an archive, so each is looked up. Real addresses have
# at most five.
MAX_COLONS = 64

# How many names an error lists.
MAX_LISTED = 8


@frozen(kw_only=True)
class Item:
    """A file, folder or other node that an address names.

    Attributes:
        address: the address, for messages.
        tree: the tree that it is in.
        path: its path in the tree; the node there may be a symbolic link.
        limits: the limits of what is read from it.
        is_counted: whether the budget has counted its content.
    """

    address: str
    tree: Tree = field(repr=False)
    path: bytes
    limits: Limits = field(repr=False)
    is_counted: bool = field(default=True, repr=False)

    @property
    def node(self) -> Node:
        """The node itself, not what a link leads to."""
        return self.tree[self.path]

    def follow(self) -> Item:
        """Return what the item leads to if it is a symbolic link; else the item itself.

        Raises:
            MissingPathError: the target is missing.
            LinkLoopError: the links form a loop.
            TreeError: the target cannot be reached.
        """
        node = self.node
        if not isinstance(node, Symlink):
            return self
        try:
            path = resolve(self.tree, self.path)
        except MissingPathError:
            path = None
        except TreeError as error:
            raise error.within(self.address) from None
        if path is None or path not in self.tree:
            raise MissingPathError(
                f"{self.address} is a symbolic link to {display(node.target)}, which is missing",
                hint="links are followed inside the archive or folder that they are in",
                file=self.address,
            )
        return self._at(path)

    def load(self) -> Input:
        """Return the content of the file, after links.

        Raises:
            InputError: the item is not a file.
            TreeError: as :meth:`follow`.
            PurekernelError: the content is damaged or unreadable.
        """
        item = self.follow()
        node = item.node
        if not isinstance(node, File):
            raise InputError(
                f"{self.address} is {describe(node)}, not a file",
                hint=f"list it with 'purekernel ls {self.address}'"
                if isinstance(node, Directory)
                else "give the address of a file",
                file=self.address,
            )
        return Input(
            node.content, name=self.address, limits=self.limits, is_counted=self.is_counted
        )

    def step(self, inner: bytes) -> tuple[Item, bytes | None]:
        """Return what the first part of ``inner`` names in this item's tree, and the other parts.

        Args:
            inner: an address without its file, such as ``boot/core.gz:etc``. A leading slash is
                ignored; an empty part is the top folder.

        Returns:
            The item at the longest path that exists, and what follows its colon; ``None`` if
            nothing does.

        Raises:
            MissingPathError: there is no such path.
            InputError: the path leads through a file.
            TreeError: a link on the path forms a loop.
        """
        for path, rest in _splits(inner):
            if len(path) >= PATH_MAX_BYTES:
                continue
            try:
                found = resolve(self.tree, path, follow_last=False)
            except TreeError:
                continue
            if found in self.tree:
                return self._at(found, address=self._below(path)), rest
        raise self._missing(inner.partition(b":")[0])

    def _at(self, path: bytes, *, address: str | None = None) -> Item:
        return evolve(self, path=path, address=self.address if address is None else address)

    def _below(self, path: bytes) -> str:
        """Return the address of ``path`` in the tree."""
        return f"{self.address}{SEPARATOR}{escape(path.strip(b'/'))}"

    def _missing(self, path: bytes) -> TreeError | InputError:
        """Return the error for a path that is not in the tree: where it ends, and what is there."""
        if len(path) >= PATH_MAX_BYTES:
            return InputError(
                f"{self.address} has no path of {len(path)} bytes", hint="check the address"
            )
        folder = shown = ROOT
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        for index, part in enumerate(parts):
            rest = b"/".join(parts[index + 1 :])
            if part == b"..":
                folder, shown = parent(folder), join(shown, part)
                continue
            entry = join(folder, part)
            if entry not in self.tree:
                return self._has_no(part, folder=folder, shown=shown)
            shown = join(shown, part)
            item = self._at(entry, address=self._below(shown))
            try:
                item = item.follow()
            except TreeError as error:
                return error
            if not isinstance(item.node, Directory):
                return _not_a_folder(item, rest)
            folder = item.path
        return MissingPathError(f"{self.address} has no {display(path)}", file=self.address)

    def _has_no(self, part: bytes, *, folder: bytes, shown: bytes) -> MissingPathError:
        where = self._below(shown) if shown else self.address
        names = [escape(entry) for entry in self.tree.entries(folder)]
        nearest = find_nearest(escape(part), names)
        hint = f"it has {_listed(names)}" if names else "it is empty"
        if nearest is not None:
            hint = f"did you mean {where}{'/' if shown else SEPARATOR}{nearest}? {hint}"
        return MissingPathError(f"{where} has no {escape(part)}", hint=hint, file=self.address)


class Opener:
    """Opens archives, each once."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, bytes], Archive | None] = {}

    def find(self, top: Item, inner: bytes | None) -> Item:
        """Return what ``inner`` names inside ``top``.

        Args:
            top: a file, or a folder.
            inner: an address without its file; ``None`` for ``top`` itself.

        Raises:
            MissingPathError: something in the address is missing.
            InputError: something in it is not an archive, or it has too many colons.
            FormatError: an archive in it is damaged.
            LimitError: an archive in it exceeds the limits.
            TreeError: a link in it forms a loop.
        """
        if inner is None:
            return top
        if inner.count(b":") >= MAX_COLONS:
            raise InputError(
                f"{top.address}: an address must have at most {MAX_COLONS} colons",
                hint="check the address",
            )
        folder = top if isinstance(top.node, Directory) else self._enter(top)
        item, rest = folder.step(inner)
        while rest is not None:
            item, rest = self._enter(item).step(rest)
        return item

    def open(self, item: Item) -> Archive | None:
        """Open the archive in a file, after links; return ``None`` if the file holds none.

        Raises as :meth:`Item.load`, and:
            FormatError: the archive is damaged.
            LimitError: it exceeds the limits.
        """
        key = (item.address, item.path)
        if key not in self._opened:
            own_name = name(item.path) or b"content"
            metadata = item.follow().node.metadata
            layout = _layout_of(item)
            if layout is not None:
                self._opened[key] = open_container(layout, item.load())
            else:
                self._opened[key] = open_archive(item.load(), name=own_name, metadata=metadata)
        return self._opened[key]

    def _enter(self, item: Item) -> Item:
        """Return the top folder of the archive in a file."""
        if isinstance(item.follow().node, Directory):
            raise InputError(
                f"{item.address} is a folder, not an archive",
                hint=f"write a slash after a folder: {item.address}/…",
                file=item.address,
            )
        archive = self.open(item)
        if archive is None:
            data = item.load().data
            kind = name_kind(data) or detect(data).description
            raise InputError(
                f"{item.address} is {kind}, so nothing is inside it",
                hint="a colon may follow an archive, a compressed file or a file system image",
                file=item.address,
            )
        return top_of(archive, item)


def _layout_of(item: Item) -> Tree | None:
    """Return the OCI image layout whose index an item is, or ``None``."""
    folder = parent(item.path)
    if name(item.path) != INDEX or join(folder, LAYOUT) not in item.tree:
        return None
    layout = branch(item.tree, folder) if folder else item.tree
    return layout if is_oci_layout(layout) else None


def top_of(archive: Archive, item: Item) -> Item:
    """Return the top folder of ``archive``, which is in the file ``item``."""
    return evolve(item, tree=archive.tree, path=ROOT, is_counted=archive.is_counted)


def find_part(file: Input, inner: str) -> Input:
    """Return the file that ``inner`` names inside the archive ``file``.

    Args:
        file: the archive.
        inner: an address without its file, such as ``boot/core.gz:etc/passwd``.

    Raises:
        PurekernelError: as :meth:`Opener.find` and :meth:`Item.load`.
    """
    return Opener().find(item_of(file), inner.encode("utf-8", "surrogateescape")).load()


def item_of(file: Input) -> Item:
    """Return a file as the top of an address."""
    tree = Tree()
    node = File(metadata=Metadata(mode=0o644), content=file.data)
    own_name = re.split(r"[/\\]", file.name)[-1] or "content"
    path = own_name.encode("utf-8", "surrogateescape")
    tree.add(path, node)
    return Item(
        address=file.name, tree=tree, path=path, limits=file.limits, is_counted=file.is_counted
    )


def find_nearest(wanted: str, names: list[str]) -> str | None:
    """Return the name that ``wanted`` may stand for: equal but for case, or else similar."""
    for other in names:
        if other.casefold() == wanted.casefold():
            return other
    return next(iter(find_similar(wanted, names)), None)


def _listed(names: list[str]) -> str:
    if len(names) <= MAX_LISTED:
        return ", ".join(names)
    return ", ".join(names[:MAX_LISTED]) + f" and {len(names) - MAX_LISTED} more"


def _not_a_folder(item: Item, rest: bytes) -> InputError:
    hint = "check the address"
    if isinstance(item.node, File):
        hint = f"to look inside a file, write a colon after it: {item.address}:{escape(rest)}"
    return InputError(
        f"{item.address} is {describe(item.node)}, not a folder", hint=hint, file=item.address
    )


def _splits(inner: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the paths that ``inner`` may start with, the longest first, and what follows each."""
    yield inner, None
    end = inner.rfind(b":")
    while end >= 0:
        yield inner[:end], inner[end + 1 :]
        end = inner.rfind(b":", 0, end)
