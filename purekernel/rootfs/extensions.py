"""Take files out of an extension, or unpack a whole one into the root file system.

Source: Tiny Core's usr/bin/tce-load and usr/bin/tce-setup, of Core 4.4 and of today's
Core-scripts; cp of busybox, which loads for them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from attrs import evolve

from purekernel.errors import (
    ConflictError,
    MissingPathError,
    PurekernelError,
    TreeError,
    UsageError,
    raise_all,
)
from purekernel.rootfs.ownership import ROOT_ID, STAFF_GROUP, START_SCRIPTS, TC_USER
from purekernel.rootfs.patterns import is_wild, parse_pattern
from purekernel.tree import (
    ROOT,
    Directory,
    File,
    Metadata,
    Node,
    Symlink,
    Tree,
    describe,
    display,
    parse_path,
    put_file,
    resolve,
    with_metadata,
)
from purekernel.tree.path import join, name, parent

EXECUTABLE = 0o111

# What tce-setup runs, line by line, when all is loaded; tce-load adds to it as the user tc.
SETUP = b"usr/bin/tce-setup"
SETUP_LIST = b"tmp/setup.lst"

# Tells tce-setup to run depmod, and to have udev look for devices again.
NEW_MODULES = b"etc/sysconfig/newmodules"
MODULES = b"usr/local/lib/modules"

# tce-setup takes the list apart at blanks.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~@-]{0,200}")

# Bounds on the search for a path like one that is not there: an extension has some hundreds,
# and comparing takes the product of the two lengths.
MOST_COMPARED = 2000
MOST_COMPARED_BYTES = 200
MOST_SUGGESTED = 20


def cut_files(tree: Tree, patterns: Iterable[bytes]) -> Tree:
    """Return a tree of those files of ``tree`` that ``patterns`` name, and no others.

    Folders that a pattern names come with all they hold; those above are implied. Links of
    both kinds stay what they are: a symbolic one may lead to what was left behind.

    Args:
        tree: an unpacked extension.
        patterns: paths, or patterns as in :mod:`purekernel.rootfs.patterns`; a slash or
            ``./`` in front makes no difference.

    Raises:
        MissingPathError: nothing is called so; or a CombinedError of all such.
        PathError: a path that no image may hold.
    """
    chosen: set[bytes] = set()
    errors: list[PurekernelError] = []
    for raw in patterns:
        wanted = parse_path(b"./" + raw.lstrip(b"/"))
        found = _find(tree, wanted)
        if not found:
            hint = _suggest(tree, wanted) if len(errors) < MOST_SUGGESTED else ""
            message = f"there is no {display(wanted)} in the extension"
            errors.append(MissingPathError(message, hint=hint or "look at its list of files"))
        chosen.update(found)
    raise_all(errors)
    cut = Tree()
    taken: set[bytes] = set()
    firsts: dict[int, bytes] = {}
    for path, node in tree.walk():
        if path not in chosen and (path == ROOT or parent(path) not in taken):
            continue
        taken.add(path)
        cut.add_parents(path)
        first = firsts.setdefault(tree.inode(path), path)
        if first != path:
            cut.link(path, first)
        elif not isinstance(node, Directory) or not tree.is_implied(path):
            cut.add(path, node)
        elif path not in cut:
            cut.imply(path, node.metadata)
    return cut


def merge_extension(root: Tree, extension: Tree, *, name: str, mtime: int) -> Tree:
    """Return ``root`` with ``extension`` unpacked into it, as if it were loaded at boot.

    As when it is loaded:

    * what ``root`` has already stays, and the extension's own owners and modes are kept;
    * ``usr/local/tce.installed/NAME`` stands, so that nobody loads it again;
    * its start script runs as root when all extensions are loaded, after ldconfig and
      depmod: it is put on the list that tce-load adds to, in the order of merging and before
      all that are loaded at boot;
    * kernel modules have depmod and udev run.

    An extension that ``root`` has loaded already is not loaded again. Otherwise than
    busybox's cp does, folders that ``root`` has keep its owner and mode (bash.tcz would make
    ``/usr`` the user's), and where a link to a folder stands it is followed.

    Args:
        root: left as it is; earlier extensions are merged into it.
        extension: what it holds, as it was read.
        name: of the extension, with or without ``.tcz``.
        mtime: of what is made, in seconds since 1970, UTC.

    Raises:
        UsageError: the name is none that tce-load could handle.
        ConflictError: ``root`` has something else where the extension has a folder, or the
            extension's start script is none.
        TreeError: ``root`` is of a Tiny Core that would not run the start script.

    Source: ``install`` and ``update_system`` of tce-load; the last lines of tce-setup.
    """
    name = name.removesuffix(".tcz")
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} is no name of an extension",
            hint="it has letters, digits and any of '_.+~@-', and no blanks",
        )
    marker = join(START_SCRIPTS, name.encode())
    merged = root.copy()
    if isinstance(_node_at(root, marker), File):
        return merged
    _lay_under(merged, extension)
    if _mark(merged, marker, mtime):
        _schedule(merged, marker, mtime)
    if _has_modules(extension):
        put_file(merged, NEW_MODULES, b"", metadata=Metadata(mode=0o644, mtime=mtime))
    return merged


def _find(tree: Tree, wanted: bytes) -> list[bytes]:
    """Return the paths that ``wanted`` names; one that is there needs no pattern."""
    if wanted in tree:
        return [wanted]
    if not is_wild(wanted):
        return []
    pattern = parse_pattern(wanted)
    return [path for path, _node in tree.walk() if path and pattern.matches(path)]


def _suggest(tree: Tree, wanted: bytes) -> str:
    """Return words that name the path nearest to one that is not there, if one is near."""
    if len(wanted) > MOST_COMPARED_BYTES:
        return ""
    known: dict[str, bytes] = {}
    for path, _node in tree.walk():
        if name(path) == name(wanted):
            return f"{display(path)} is the nearest there is"
        if len(known) < MOST_COMPARED and len(path) <= MOST_COMPARED_BYTES:
            known[path.decode("utf-8", "replace")] = path
    near = difflib.get_close_matches(wanted.decode("utf-8", "replace"), known, n=1)
    return f"{display(known[near[0]])} is the nearest there is" if near else ""


def _lay_under(merged: Tree, extension: Tree) -> None:
    """Add to ``merged`` all of ``extension`` that it does not have."""
    # Where each of the extension's folders came to stand.
    places: dict[bytes, bytes] = {ROOT: ROOT}
    firsts: dict[int, bytes] = {}
    errors: list[PurekernelError] = []
    for path, node in extension.walk():
        if path == ROOT or parent(path) not in places:
            continue
        target = join(places[parent(path)], name(path))
        if isinstance(node, Directory):
            try:
                places[path] = _lay_folder(merged, target, node, extension.is_implied(path))
            except TreeError as error:
                errors.append(error)
        elif target not in merged:
            first = firsts.setdefault(extension.inode(path), target)
            if first != target:
                merged.link(target, first)
            else:
                merged.add(target, node)
    raise_all(errors)


def _lay_folder(merged: Tree, target: bytes, node: Directory, implied: bool) -> bytes:
    """Have a folder at ``target``, and return where it really stands."""
    place = resolve(merged, target) if isinstance(merged.get(target), Symlink) else target
    found = merged.get(place)
    if found is None and place == target and implied:
        merged.imply(place, node.metadata)
    elif found is None and place == target:
        merged.add(place, node)
    elif not isinstance(found, Directory):
        what = "a link that leads nowhere" if found is None else describe(found)
        raise ConflictError(
            f"{display(target)} is a folder in the extension, and {what} in the image",
            hint="load the extension at boot, or leave it out",
        )
    elif merged.is_implied(place) and not implied:
        merged.add(place, node)
    return place


def _mark(merged: Tree, marker: bytes, mtime: int) -> bool:
    """Leave the mark that the extension is loaded, and say whether that is a start script.

    One with something in it is meant to run, whatever its mode: modes get lost where
    extensions are packed on other systems. A link that leads nowhere gives way to the mark.
    """
    if _node_at(merged, marker) is None:
        metadata = Metadata(mode=0o644, uid=TC_USER, gid=STAFF_GROUP, mtime=mtime)
        put_file(merged, marker, b"", metadata=metadata)
    folder = resolve(merged, START_SCRIPTS)
    metadata = evolve(merged[folder].metadata, mode=0o775, uid=ROOT_ID, gid=STAFF_GROUP)
    merged.replace(folder, with_metadata(merged[folder], metadata))
    place = resolve(merged, marker)
    script = merged[place]
    if not isinstance(script, File):
        raise ConflictError(
            f"{display(marker)} must be a start script and is {describe(script)}",
            hint="the extension is broken: leave it out",
        )
    mode = script.metadata.mode | (EXECUTABLE if script.content else 0)
    metadata = evolve(script.metadata, mode=mode, uid=TC_USER, gid=STAFF_GROUP)
    merged.replace(place, with_metadata(script, metadata))
    return bool(script.content)


def _schedule(merged: Tree, marker: bytes, mtime: int) -> None:
    """Have tce-setup run the start script that ``marker`` is."""
    setup = _node_at(merged, SETUP)
    if (
        not isinstance(setup, File)
        or re.search(re.escape(b"/" + SETUP_LIST), setup.content) is None
    ):
        raise TreeError(
            f"{display(SETUP)} in the image runs no /{SETUP_LIST.decode()}, so that "
            f"{display(marker)} would never run",
            hint="have the extension loaded at boot instead of merging it",
        )
    if _node_at(merged, parent(SETUP_LIST)) is None:
        metadata = Metadata(mode=0o1777, mtime=mtime)
        merged.add(resolve(merged, parent(SETUP_LIST)), Directory(metadata=metadata))
    old = _node_at(merged, SETUP_LIST)
    lines = bytes(old.content).splitlines() if isinstance(old, File) else []
    if b"/" + marker not in lines:
        lines.append(b"/" + marker)
    # tce-load appends as tc; as another user of its group where the kernel line says user=.
    metadata = Metadata(mode=0o664, uid=TC_USER, gid=STAFF_GROUP, mtime=mtime)
    put_file(merged, SETUP_LIST, b"\n".join([*lines, b""]), metadata=metadata)


def _has_modules(extension: Tree) -> bool:
    """Say whether there is a kernel's release in the folder of modules."""
    if not isinstance(extension.get(MODULES), Directory):
        return False
    releases = (join(MODULES, entry) for entry in extension.entries(MODULES))
    return any(isinstance(extension[release], Directory) for release in releases)


def _node_at(tree: Tree, path: bytes) -> Node | None:
    """Return what a process finds at ``path``, links followed; ``None`` for nothing."""
    try:
        return tree.get(resolve(tree, path))
    except TreeError:
        return None
