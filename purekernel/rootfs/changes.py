"""Change a root file system: remove paths, write files, add links, set owners and modes.

Each function changes the tree that it is given, so that a pass can copy the tree once and apply
many changes. Symbolic links among the parents of a path are followed inside the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from attrs import evolve

from purekernel.errors import ConflictError, MissingPathError, TreeError
from purekernel.rootfs.attributes import Mode
from purekernel.rootfs.patterns import find_paths, is_wild
from purekernel.similar import find_similar
from purekernel.tree import (
    ROOT,
    Buffer,
    Directory,
    File,
    Found,
    Metadata,
    Node,
    Symlink,
    Tree,
    describe,
    display,
    look_up,
    make_parents,
    parse_path,
    plain_metadata,
    resolve,
    with_metadata,
)
from purekernel.tree.path import join, name, parent

Owned = Callable[[bytes, Node], Metadata]
"""Returns the metadata of a new node; see :func:`purekernel.rootfs.ownership.owners_of`."""

OwnerChange = tuple[int | None, int | None]
"""A uid and a gid; ``None`` for one that stays as it is."""


class Existing(Enum):
    """What happens to a name that exists where a link is to be."""

    ERROR = "error"
    KEEP = "keep"
    REPLACE = "replace"


def match_paths(tree: Tree, pattern: str) -> list[bytes]:
    """Return the paths that ``pattern`` matches; see :func:`find_paths`.

    Raises:
        MissingPathError: there are none; the hint has a path that may be meant.
        PathError: the pattern is not allowed in an image.
    """
    text = pattern.encode("utf-8", "surrogateescape")
    found = find_paths(tree, text)
    if not found:
        missing = "no path matches" if is_wild(text) else "the image has no"
        raise MissingPathError(f"{missing} {display(text)}", hint=_suggest(tree, text))
    return found


def _suggest(tree: Tree, text: bytes) -> str:
    """Return a hint with a path that is similar in the first component that is missing."""
    folder, known = ROOT, ROOT
    for part in parse_path(b"./" + text.lstrip(b"/")).split(b"/"):
        if is_wild(part):
            break
        found = look_up(tree, join(folder, part))
        if found is None or not isinstance(found.node, Directory):
            if join(folder, part) in tree:
                break
            names = [each.decode("utf-8", "replace") for each in tree.entries(folder)]
            near = find_similar(part.decode("utf-8", "replace"), names)
            if near:
                return f"did you mean {display(join(known, near[0].encode()))}?"
            break
        folder, known = found.path, join(known, part)
    inside = f", and {display(known)} exists" if known else ""
    return f'correct the path{inside}; missing = "ok" allows it to be absent'


def remove_paths(tree: Tree, pattern: str) -> None:
    """Remove what ``pattern`` matches, folders with their content.

    A link is removed, not its target.

    Raises:
        MissingPathError: nothing matches.
        PathError: the pattern is not allowed in an image.
    """
    for path in match_paths(tree, pattern):
        if path in tree:  # not in a folder that was removed
            tree.remove(path)


def find_files(tree: Tree, pattern: str, seen: set[int]) -> Iterator[Found]:
    """Yield the files that ``pattern`` matches; links are followed.

    Other nodes are skipped if some match is a file.

    Args:
        tree: a root file system.
        pattern: a path or a pattern.
        seen: the inode numbers of files that are not yielded; those of the others are added.

    Raises:
        MissingPathError: nothing matches, or a link has no target.
        ConflictError: what matches is no file.
        PathError: the pattern is not allowed in an image.
    """
    has_files = False
    other: Found | None = None
    for path in match_paths(tree, pattern):
        found = look_up(tree, path)
        if found is None or not isinstance(found.node, File):
            other = found
            continue
        has_files = True
        if found.inode not in seen:
            seen.add(found.inode)
            yield found
    if has_files:
        return
    if other is None:
        raise MissingPathError(
            f"{display(pattern.encode())} is a link without a target",
            hint="give the path of a file",
        )
    raise ConflictError(
        f"{display(pattern.encode())} must be a file, got {describe(other.node)}",
        hint="give the path of a file; etc/*.conf means the files in a folder",
    )


def write_file(
    tree: Tree,
    path: str,
    content: Buffer,
    *,
    mode: Mode | None,
    owner: OwnerChange,
    mtime: int,
    owned: Owned,
) -> None:
    """Write a file. A link at ``path`` is replaced, not written through.

    A file that exists keeps its mode and owner if none is given. A new one gets the mode 0644 and
    the owner that ``owned`` returns; so do missing folders, with mode 0755.

    Raises:
        PathError: the path is not allowed in an image.
        ConflictError: ``path`` is a folder, or one of its parents is not.
    """
    place = _make_place(tree, path, mtime, owned)
    new: Node = File(metadata=Metadata(mode=0o644, mtime=mtime), content=content)
    old = tree.get(place)
    if isinstance(old, Directory):
        raise ConflictError(
            f"{display(place)} is a folder, and a file cannot replace it",
            hint="give the path of a file in it, or remove the folder first",
        )
    if isinstance(old, File):
        metadata = evolve(old.metadata, mtime=mtime, xattrs=())
    else:
        metadata = owned(place, new)
    chosen = metadata.mode if mode is None else mode(metadata.mode, False)
    tree.add(place, with_metadata(new, _changed(metadata, chosen, owner)))


def add_link(
    tree: Tree,
    path: str,
    target: str,
    *,
    existing: Existing,
    hard: bool,
    mtime: int,
    owned: Owned,
) -> None:
    """Add a link, symbolic or hard. One that exists with that target stays.

    Args:
        tree: a root file system.
        path: the path of the link.
        target: what a symbolic link holds; for a hard link the path of a file.
        existing: what happens to another node at ``path``; a folder is never replaced.
        hard: whether to make a hard link.
        mtime: the time of new nodes, in seconds since 1970, UTC.
        owned: returns the metadata of new nodes.

    Raises:
        PathError: a path is not allowed in an image.
        ConflictError: ``path`` exists and must not be replaced, or a parent is not a folder.
        MissingPathError: the target of a hard link does not exist.
    """
    place = _make_place(tree, path, mtime, owned)
    raw = target.encode("utf-8", "surrogateescape")
    link = Symlink(metadata=Metadata(mode=0o777, mtime=mtime), target=raw)
    first = _hard_target(tree, raw) if hard else b""
    old = tree.get(place)
    if old is not None:
        if hard:
            is_there = tree.inode(place) == tree.inode(first)
        else:
            is_there = isinstance(old, Symlink) and old.target == raw
        if is_there or existing is Existing.KEEP:
            return
        if existing is Existing.ERROR or isinstance(old, Directory):
            keep = 'existing = "keep" keeps it'
            hint = keep if isinstance(old, Directory) else f'{keep}, and "replace" replaces it'
            raise ConflictError(f"{display(place)} exists and is {describe(old)}", hint=hint)
    if hard:
        tree.link(place, first)
    else:
        tree.add(place, evolve(link, metadata=owned(place, link)))


def _hard_target(tree: Tree, raw: bytes) -> bytes:
    first = resolve(tree, raw, follow_last=False)
    if isinstance(tree[first], Directory):
        raise ConflictError(
            f"{display(first)} is a folder and cannot have hard links",
            hint="make a symbolic link, without hard = true",
        )
    return first


def set_attributes(
    tree: Tree, path: bytes, *, mode: Mode | None, folder_mode: Mode | None, owner: OwnerChange
) -> bool:
    """Set mode and owner of ``path``; a symbolic link has no mode, and is not followed.

    Args:
        tree: a root file system.
        path: the path of a node.
        mode: the mode; ``None`` to keep it.
        folder_mode: the mode of folders; ``None`` for the same as ``mode``.
        owner: the owner.

    Returns:
        Whether there was anything to set.

    Raises:
        TreeError: the mode takes the right to search from a folder that stays readable.
    """
    node = tree[path]
    is_folder = isinstance(node, Directory)
    chosen = (folder_mode or mode) if is_folder else mode
    if isinstance(node, Symlink):
        chosen = None
    if chosen is None and owner == (None, None):
        return False
    new = old = node.metadata.mode
    if chosen is not None:
        new = chosen(old, is_folder)
        if is_folder and folder_mode is None and (new & 0o444) >> 2 & old & ~new:
            raise TreeError(
                f"the mode {new:04o} would make the folder {display(path)} unusable: without x, "
                "no one reaches what is in it",
                hint='give folder-mode = "0755", or a mode such as "u=rwX,go=rX"',
            )
    tree.replace(path, with_metadata(node, _changed(node.metadata, new, owner)))
    return True


def _make_place(tree: Tree, path: str, mtime: int, owned: Owned) -> bytes:
    """Return ``path`` with the links among its parents followed; make missing folders."""
    wanted = parse_path(b"./" + path.encode("utf-8", "surrogateescape").lstrip(b"/"))

    def metadata(folder: bytes) -> Metadata:
        return owned(folder, Directory(metadata=Metadata(mode=0o755, mtime=mtime)))

    return join(make_parents(tree, wanted, metadata), name(wanted))


def _changed(metadata: Metadata, mode: int, owner: OwnerChange) -> Metadata:
    """Return ``metadata`` with another mode, and the uid and gid that ``owner`` gives."""
    uid = metadata.uid if owner[0] is None else owner[0]
    gid = metadata.gid if owner[1] is None else owner[1]
    if metadata.xattrs:
        return evolve(metadata, mode=mode, uid=uid, gid=gid)
    return plain_metadata(mode, uid, gid, metadata.mtime)


def farm_links(tree: Tree, targets: str, into: str) -> list[tuple[str, str]]:
    """Return path and target of a link in the folder ``into`` for each path of ``targets``.

    The targets are absolute. Paths in ``into`` itself have no link.

    Raises:
        MissingPathError: nothing matches ``targets``.
        PathError: a path is not allowed in an image.
    """
    folder = parse_path(b"./" + into.encode("utf-8", "surrogateescape").lstrip(b"/"))
    reached = look_up(tree, folder)
    real = folder if reached is None else reached.path
    return [
        (_text(join(folder, name(path))), "/" + _text(path))
        for path in match_paths(tree, targets)
        if parent(path) != real
    ]


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
