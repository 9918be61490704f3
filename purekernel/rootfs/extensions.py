"""Extract files from an extension, or merge a whole extension into a root file system.

Source: Tiny Core's usr/bin/tce-load and usr/bin/tce-setup, of Core 4.4 and of today's
Core-scripts; cp of busybox, which they use for loading.
"""

from __future__ import annotations

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
from purekernel.similar import find_similar
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
)
from purekernel.tree.path import join, name, parent

EXECUTABLE = 0o111

# tce-setup runs each line of this file when all extensions are loaded. tce-load appends to it as
# the user tc.
SETUP = b"usr/bin/tce-setup"
SETUP_LIST = b"tmp/setup.lst"

# If this file exists, tce-setup runs depmod and has udev search for devices again.
NEW_MODULES = b"etc/sysconfig/newmodules"
MODULES = b"usr/local/lib/modules"

# tce-setup splits the list at blanks.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~@-]{0,200}")

MOST_SUGGESTED = 20


def cut_files(tree: Tree, patterns: Iterable[bytes]) -> Tree:
    """Return a tree of only those files of ``tree`` that match ``patterns``.

    Folders that match are included with their content; parent folders are implied. Symbolic and
    hard links are kept; the target of a symbolic link may be missing.

    Args:
        tree: an unpacked extension.
        patterns: paths, or patterns as in :mod:`purekernel.rootfs.patterns`; a leading slash or
            ``./`` is ignored.

    Raises:
        MissingPathError: a pattern matches nothing; a CombinedError if there are several.
        PathError: a path is not allowed in an image.
    """
    chosen: set[bytes] = set()
    errors: list[PurekernelError] = []
    for raw in patterns:
        wanted = parse_path(b"./" + raw.lstrip(b"/"))
        found = _find(tree, wanted)
        if not found:
            hint = _suggest(tree, wanted) if len(errors) < MOST_SUGGESTED else ""
            message = f"{display(wanted)}: not found in the extension"
            errors.append(MissingPathError(message, hint=hint or "check its list of files"))
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

    As on loading:

    * existing files of ``root`` are kept, and new files keep the extension's owners and modes;
    * ``usr/local/tce.installed/NAME`` is created, so that the extension is not loaded again;
    * its start script runs as root when all extensions are loaded, after ldconfig and depmod: it
      is added to tce-load's list, in the order of merging and before extensions that are loaded
      at boot;
    * if it has kernel modules, depmod and udev run.

    An extension that ``root`` has already is not merged again. Unlike busybox's cp, existing
    folders keep their owner and mode (bash.tcz would give ``/usr`` to the user), and links to
    folders are followed.

    Args:
        root: a root file system, perhaps with earlier extensions; it is not changed.
        extension: the files of the extension.
        name: the name of the extension, with or without ``.tcz``.
        mtime: the time of new files, in seconds since 1970, UTC.

    Raises:
        UsageError: tce-load does not support the name.
        ConflictError: ``root`` has a non-folder where the extension has a folder, or the
            extension's start script is not a file.
        TreeError: the Tiny Core in ``root`` would not run the start script.

    Source: ``install`` and ``update_system`` of tce-load; the last lines of tce-setup.
    """
    name = name.removesuffix(".tcz")
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r}: not a valid name of an extension",
            hint="give letters, digits and any of '_.+~@-', without blanks",
        )
    marker = join(START_SCRIPTS, name.encode())
    merged = root.copy()
    if isinstance(_node_at(root, marker), File):
        return merged
    _add_missing(merged, extension)
    if _mark(merged, marker, mtime):
        _schedule(merged, marker, mtime)
    if _has_modules(extension):
        put_file(merged, NEW_MODULES, b"", metadata=Metadata(mode=0o644, mtime=mtime))
    return merged


def _find(tree: Tree, wanted: bytes) -> list[bytes]:
    """Return the paths that match ``wanted``; an existing path is not used as a pattern."""
    if wanted in tree:
        return [wanted]
    if not is_wild(wanted):
        return []
    pattern = parse_pattern(wanted)
    return [path for path, _node in tree.walk() if path and pattern.matches(path)]


def _suggest(tree: Tree, wanted: bytes) -> str:
    """Return a hint with the path most similar to a missing one, or an empty text."""
    known: dict[str, bytes] = {}
    for path, _node in tree.walk():
        if name(path) == name(wanted):
            return f"use the similar path {display(path)}"
        known[path.decode("utf-8", "replace")] = path
    near = find_similar(wanted.decode("utf-8", "replace"), known)
    return f"use the similar path {display(known[near[0]])}" if near else ""


def _add_missing(merged: Tree, extension: Tree) -> None:
    """Add all files of ``extension`` that ``merged`` lacks."""
    # The path of each of the extension's folders in ``merged``.
    places: dict[bytes, bytes] = {ROOT: ROOT}
    firsts: dict[int, bytes] = {}
    errors: list[PurekernelError] = []
    for path, node in extension.walk():
        if path == ROOT or parent(path) not in places:
            continue
        target = join(places[parent(path)], name(path))
        if isinstance(node, Directory):
            try:
                places[path] = _ensure_folder(merged, target, node, extension.is_implied(path))
            except TreeError as error:
                errors.append(error)
        elif target not in merged:
            first = firsts.setdefault(extension.inode(path), target)
            if first != target:
                merged.link(target, first)
            else:
                merged.add(target, node)
    raise_all(errors)


def _ensure_folder(merged: Tree, target: bytes, node: Directory, implied: bool) -> bytes:
    """Create a folder at ``target`` unless it exists, and return its path, links resolved."""
    place = resolve(merged, target) if isinstance(merged.get(target), Symlink) else target
    found = merged.get(place)
    if found is None and place == target and implied:
        merged.imply(place, node.metadata)
    elif found is None and place == target:
        merged.add(place, node)
    elif not isinstance(found, Directory):
        what = "a broken symbolic link" if found is None else describe(found)
        raise ConflictError(
            f"{display(target)}: must be a folder as in the extension, got {what} in the image",
            hint="load the extension at boot, or remove it",
        )
    elif merged.is_implied(place) and not implied:
        merged.add(place, node)
    return place


def _mark(merged: Tree, marker: bytes, mtime: int) -> bool:
    """Create the marker that the extension is loaded; return whether it is a start script.

    A file with content counts as a start script, whatever its mode, because modes are lost when
    extensions are packed on other systems. A broken link is replaced.
    """
    if _node_at(merged, marker) is None:
        metadata = Metadata(mode=0o644, uid=TC_USER, gid=STAFF_GROUP, mtime=mtime)
        put_file(merged, marker, b"", metadata=metadata)
    folder = resolve(merged, START_SCRIPTS)
    metadata = evolve(merged[folder].metadata, mode=0o775, uid=ROOT_ID, gid=STAFF_GROUP)
    merged.replace(folder, evolve(merged[folder], metadata=metadata))
    place = resolve(merged, marker)
    script = merged[place]
    if not isinstance(script, File):
        raise ConflictError(
            f"{display(marker)}: the start script must be a file, got {describe(script)}",
            hint="remove the extension: it is broken",
        )
    mode = script.metadata.mode | (EXECUTABLE if script.content else 0)
    metadata = evolve(script.metadata, mode=mode, uid=TC_USER, gid=STAFF_GROUP)
    merged.replace(place, evolve(script, metadata=metadata))
    return bool(script.content)


def _schedule(merged: Tree, marker: bytes, mtime: int) -> None:
    """Add the start script ``marker`` to the list of tce-setup."""
    setup = _node_at(merged, SETUP)
    if (
        not isinstance(setup, File)
        or re.search(re.escape(b"/" + SETUP_LIST), setup.content) is None
    ):
        raise TreeError(
            f"{display(SETUP)}: does not run /{SETUP_LIST.decode()} in this image, so that "
            f"{display(marker)} would never run",
            hint="load the extension at boot instead of merging it",
        )
    if _node_at(merged, parent(SETUP_LIST)) is None:
        metadata = Metadata(mode=0o1777, mtime=mtime)
        merged.add(resolve(merged, parent(SETUP_LIST)), Directory(metadata=metadata))
    old = _node_at(merged, SETUP_LIST)
    lines = bytes(old.content).splitlines() if isinstance(old, File) else []
    if b"/" + marker not in lines:
        lines.append(b"/" + marker)
    # tce-load appends as tc, or as another user of its group if the kernel line has user=.
    metadata = Metadata(mode=0o664, uid=TC_USER, gid=STAFF_GROUP, mtime=mtime)
    put_file(merged, SETUP_LIST, b"\n".join([*lines, b""]), metadata=metadata)


def _has_modules(extension: Tree) -> bool:
    """Say whether the folder of modules has a folder of a kernel release."""
    if not isinstance(extension.get(MODULES), Directory):
        return False
    releases = (join(MODULES, entry) for entry in extension.entries(MODULES))
    return any(isinstance(extension[release], Directory) for release in releases)


def _node_at(tree: Tree, path: bytes) -> Node | None:
    """Return the node at ``path``, links followed; ``None`` if there is no node."""
    try:
        return tree.get(resolve(tree, path))
    except TreeError:
        return None
