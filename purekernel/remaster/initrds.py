"""Distribute a root file system over initrds.

The kernel unpacks the initrds one after the other; later files replace earlier ones. Nothing in an
initrd can delete a file of an earlier one.

Source: init/initramfs.c of Linux.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve

from purekernel.errors import PurekernelError, UnrepresentableError, UsageError, raise_all
from purekernel.formats.core_iso import BOOT_FOLDER, Base
from purekernel.recipe.flavour import InitrdLayout
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Buffer,
    Device,
    Directory,
    Node,
    Symlink,
    Tree,
    display,
    with_example,
)
from purekernel.tree.path import ancestors, escape, join, parent

# The second initrd on the ISO, and the next ones if there is one already.
SECOND = b"changes"


@frozen(kw_only=True)
class InitrdPart:
    """An initrd of the output.

    Attributes:
        path: its path on the ISO.
        tree: the files to pack; ``None`` to keep the initrd of the base as it is.
        early: archives that stay in front, uncompressed.
    """

    path: bytes
    tree: Tree | None
    early: Buffer = b""


def arrange_initrds(
    root: Tree, base: Base, layout: InitrdLayout, *, place: str = ""
) -> list[InitrdPart]:
    """Return the initrds that together unpack to ``root``, in order.

    Args:
        root: the finished root file system.
        base: the base that it was made from.
        layout: how to distribute it.
        place: where the layout was chosen, for messages.

    Raises:
        UnrepresentableError: a second initrd cannot express a change.
        CombinedError: it cannot express several.
        UsageError: the base has no initrd file to leave unchanged.
    """
    if layout is InitrdLayout.SECOND:
        return _with_second(root, base, place)
    if layout is InitrdLayout.MERGED:
        trees: Mapping[bytes, Tree | None] = {base.core_path: root}
    else:
        trees = _by_holder(root, base)
    return [
        InitrdPart(
            path=initrd.path,
            tree=None if initrd.is_early else trees[initrd.path],
            early=b"" if initrd.is_early else initrd.early,
        )
        for initrd in base.initrds
        if initrd.is_early or initrd.path in trees
    ]


def changes_names(base: Base, layout: InitrdLayout) -> bool:
    """Return whether the boot menu must name other initrds than those of the base."""
    if layout is InitrdLayout.MERGED:
        return sum(not initrd.is_early for initrd in base.initrds) > 1
    return layout is InitrdLayout.SECOND


# As in the base: each file in the initrd that had it.


def _by_holder(root: Tree, base: Base) -> dict[bytes, Tree]:
    """Return the files of ``root`` for each initrd of the base that holds some.

    A file stays in the last initrd that has it. A new one goes where its folder is, or its nearest
    parent folder: if only one initrd has that, to that one, else to the first.
    """
    indexes = [index for index, initrd in enumerate(base.initrds) if not initrd.is_early]
    if len(indexes) == 1:
        return {base.core_path: root}
    trees = {index: _empty_copy(root) for index in indexes}
    # Hard links stay together.
    firsts: dict[int, tuple[int, bytes]] = {}
    for path, node in root.walk():
        if path == ROOT:
            continue
        bits = base.initramfs.holders.get(path, 0)
        if isinstance(node, Directory):
            for index in indexes:
                if bits >> index & 1:
                    _add_folders(trees[index], root, (*ancestors(path), path))
            if not bits:
                index = _home(path, base, indexes)
                _add_folders(trees[index], root, (*ancestors(path), path))
            continue
        inode = root.inode(path)
        if inode in firsts:
            index, first = firsts[inode]
            _add_folders(trees[index], root, ancestors(path))
            trees[index].link(path, first)
            continue
        index = bits.bit_length() - 1 if bits else _home(path, base, indexes)
        firsts[inode] = index, path
        _add_folders(trees[index], root, ancestors(path))
        trees[index].add(path, node)
    return {base.initrds[index].path: tree for index, tree in trees.items()}


def _home(path: bytes, base: Base, indexes: list[int]) -> int:
    """Return the index of the initrd for a path that the base does not have."""
    above = parent(path)
    while above != ROOT and above not in base.initramfs.holders:
        above = parent(above)
    bits = base.initramfs.holders.get(above, 0)
    only = [index for index in indexes if bits >> index & 1]
    return only[0] if len(only) == 1 else indexes[0]


def _add_folders(tree: Tree, root: Tree, paths: Iterable[bytes]) -> None:
    for path in paths:
        if path != ROOT and path not in tree:
            tree.add(path, root[path])


def _empty_copy(root: Tree) -> Tree:
    """Return a tree with nothing but the root of ``root``."""
    tree = Tree()
    tree.add(ROOT, root[ROOT])
    return tree


# A second initrd, with only the differences.


def _with_second(root: Tree, base: Base, place: str) -> list[InitrdPart]:
    for initrd in base.initrds:
        if initrd.is_folder:
            raise UsageError(
                f"{escape(initrd.path)} is a folder: a second initrd "
                "leaves the first as it is, so the first must be a file",
                hint='use layout = "merged", or give an initrd file',
            ).within(place)
    kept = [InitrdPart(path=initrd.path, tree=None) for initrd in base.initrds]
    second = InitrdPart(path=_second_path(base), tree=changed_nodes(base.initramfs.tree, root))
    return [*kept, second]


def _second_path(base: Base) -> bytes:
    folder = parent(base.core_path) or BOOT_FOLDER
    number = 1
    while True:
        name = SECOND + (b"-%d" % number if number > 1 else b"") + b".gz"
        if join(folder, name) not in base.iso:
            return join(folder, name)
        number += 1


def changed_paths(old: Tree, new: Tree) -> frozenset[bytes]:
    """Return the paths that only one of two trees has, or that differ in more than their times."""
    return frozenset((*_changed(old, new), *_removed(old, new)))


def with_times_of(old: Tree, new: Tree) -> Tree:
    """Return ``new`` with the times of ``old`` on all nodes that differ in nothing else."""
    kept = new.copy()
    for path, node in new.walk():
        if path in old and old[path] is not node and _same(old[path], node):
            kept.replace(path, old[path])
    return kept


def changed_nodes(old: Tree, new: Tree) -> Tree:
    """Return what turns ``old`` into ``new`` when the kernel unpacks it over ``old``.

    Times alone are no difference.

    Raises:
        UnrepresentableError: a file of ``old`` is missing in ``new``, or the kernel would not make
            this change.
        CombinedError: there are several such changes.
    """
    changed = _changed(old, new)
    errors = [*_deletions(old, new), *_shared(old, new, changed), *_renumbered(old, new, changed)]
    raise_all(errors)
    second = _empty_copy(new)
    firsts: dict[int, bytes] = {}
    for path in changed:
        if path == ROOT:
            continue
        _add_folders(second, new, ancestors(path))
        if isinstance(new[path], Directory):
            _add_folders(second, new, (path,))
            continue
        first = firsts.setdefault(new.inode(path), path)
        if first == path:
            second.add(path, new[path])
        else:
            second.link(path, first)
    return second


def _changed(old: Tree, new: Tree) -> list[bytes]:
    return [path for path, node in new.walk() if path not in old or not _same(old[path], node)]


def _removed(old: Tree, new: Tree) -> list[bytes]:
    return [path for path, _node in old.walk() if path not in new]


def _same(old: Node, new: Node) -> bool:
    if old is new:
        return True
    mtime = old.metadata.mtime
    return old == evolve(new, metadata=evolve(new.metadata, mtime=mtime))


def _deletions(old: Tree, new: Tree) -> Iterator[PurekernelError]:
    removed = _removed(old, new)
    if removed:
        which = with_example(len(removed), "name", display(removed[0]))
        yield UnrepresentableError(
            f"a second initrd cannot delete what the base has: {which}",
            hint='use layout = "merged" or "as-base", or leave the base\'s files where they are',
        )


def _shared(old: Tree, new: Tree, changed: list[bytes]) -> Iterator[PurekernelError]:
    """Refuse to change one name of a hard link: the kernel writes through it to the others."""
    changes = set(changed)
    names: dict[int, list[bytes]] = {}
    for path, node in old.walk():
        if not isinstance(node, Directory | Symlink):
            names.setdefault(old.inode(path), []).append(path)
    for group in names.values():
        touched = [path for path in group if path in changes]
        if not touched or len(group) == 1 or type(new[touched[0]]) is not type(old[touched[0]]):
            continue
        others = [
            path for path in group if path in new and new.inode(path) != new.inode(touched[0])
        ]
        if others:
            yield UnrepresentableError(
                f"a second initrd cannot change {display(touched[0])} alone: in the base it is a "
                f"hard link to {display(others[0])}, which would change too",
                hint='use layout = "merged" or "as-base"',
            )


def _renumbered(old: Tree, new: Tree, changed: list[bytes]) -> Iterator[PurekernelError]:
    """Refuse another number for a device: the kernel does not make a device that exists."""
    for path in changed:
        before, after = old.get(path), new[path]
        if not isinstance(before, Device) or not isinstance(after, Device):
            continue
        if before.kind is after.kind and (before.major, before.minor) != (after.major, after.minor):
            yield UnrepresentableError(
                f"a second initrd cannot change the number of the device {display(path)}",
                hint='use layout = "merged" or "as-base"',
            )
