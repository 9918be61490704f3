"""Gather what a squashfs image is to hold: folders, files, an archive's content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from purekernel.errors import InputError, UsageError, raise_all
from purekernel.formats.compression import is_compressed
from purekernel.formats.cpio import MAGIC_CRC, MAGIC_NEWC
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.squashfs import MAGIC as SQUASHFS_MAGIC
from purekernel.formats.tar import is_tar
from purekernel.host.overlay_reader import parse_layer
from purekernel.host.read import image_name, is_folder, load_file
from purekernel.host.rootfs_folder import load_host_file, load_root_folder
from purekernel.host.windows_names import ON_WINDOWS
from purekernel.tree import ROOT, Directory, File, Metadata, Tree, parse_path, with_metadata
from purekernel.tree.path import is_below, join

# The folder that several sources lie in is nobody's.
_TOP = Directory(metadata=Metadata(mode=0o777))


@frozen(kw_only=True)
class Changes:
    """What becomes of every node on its way in.

    Attributes:
        uid: the owner of all; ``None`` for each its own.
        gid: the group of all.
        mtime: the time of all, in seconds since 1970, UTC.
    """

    uid: int | None = None
    gid: int | None = None
    mtime: int | None = None

    def apply(self, tree: Tree) -> Tree:
        """Return ``tree`` with these."""
        said = {
            name: value
            for name, value in (("uid", self.uid), ("gid", self.gid), ("mtime", self.mtime))
            if value is not None
        }
        if not said:
            return tree
        changed = tree.copy()
        seen: set[int] = set()
        for path, node in tree.walk():
            if tree.inode(path) not in seen:
                seen.add(tree.inode(path))
                changed.replace(path, with_metadata(node, _evolved(node.metadata, said)))
        return changed


def gather(
    sources: Sequence[Path], *, xattrs: bool = True, limits: Limits = DEFAULT_LIMITS
) -> Tree:
    """Return what is in ``sources``.

    Of one folder, or one archive (tar, cpio, squashfs), that is what it holds; of one file, or of
    several sources, each as it is under its own name.

    Args:
        sources: of the host.
        xattrs: whether extended attributes are read.
        limits: the readers' bounds.

    Raises:
        InputError: one is missing or may not be read, or two have one name.
        FormatError: an archive is damaged.
        LimitError: there is more than ``limits`` allow.
        TreeError: a name is longer than Linux allows.
    """
    if len(sources) == 1:
        (source,) = sources
        if is_folder(source):
            return _folder(source, limits, xattrs=xattrs)
        data = load_file(source, limits=limits)
        head = bytes(data[:6])
        if (
            is_tar(data)
            or is_compressed(data)
            or head in (MAGIC_NEWC, MAGIC_CRC)
            or head.startswith(SQUASHFS_MAGIC)
        ):
            return parse_layer(data, source=str(source), limits=limits, what="source").tree
    tree = Tree(_TOP)
    for source in sources:
        name = parse_path(image_name(source.resolve().name or "root"))
        if name in tree:
            raise InputError(
                f"two sources have the name {source.name}", hint="rename one, or name their folder"
            )
        if is_folder(source):
            _graft(tree, name, _folder(source, limits, xattrs=xattrs))
        else:
            tree.add(name, load_host_file(source, limits=limits, xattrs=xattrs))
    return tree


def _folder(source: Path, limits: Limits, *, xattrs: bool) -> Tree:
    found = load_root_folder(source, limits=limits, xattrs=xattrs)
    raise_all(
        InputError(note, hint="run as somebody who may read it, or leave it out of the folder")
        for note in found.notes
    )
    return found.tree


def _graft(tree: Tree, place: bytes, branch: Tree) -> None:
    firsts: dict[int, bytes] = {}
    for path, node in branch.walk():
        target = join(place, path) if path else place
        first = firsts.setdefault(branch.inode(path), target)
        if first == target:
            tree.add(target, node)
        else:
            tree.link(target, first)


def _evolved(metadata: Metadata, said: Mapping[str, int]) -> Metadata:
    return evolve(
        metadata,
        uid=said.get("uid", metadata.uid),
        gid=said.get("gid", metadata.gid),
        mtime=said.get("mtime", metadata.mtime),
    )


def inside_image(text: str, sources: Sequence[Path]) -> bytes:
    """Return the path in the image that somebody means by ``text``.

    What starts with ``/``, ``./`` or ``../`` is a place on the host, and must lie in the one
    folder that is the source; all else is a path in the image, as mksquashfs has it.

    Raises:
        UsageError: it is such a place, and lies elsewhere.
    """
    if not (Path(text).is_absolute() or text.startswith(("./", "../"))):
        return parse_path(os.fsencode(text))
    for source in sources:
        place = os.path.relpath(os.path.realpath(text), os.path.realpath(source))
        if place != ".." and not place.startswith(".." + os.sep):
            path = parse_path(image_name(place.replace(os.sep, "/") if ON_WINDOWS else place))
            return path if len(sources) == 1 else join(image_name(source.resolve().name), path)
    raise UsageError(
        f"{text} lies in none of the sources", hint="give a path as the image is to have it"
    )


def leave_out(tree: Tree, paths: Iterable[bytes]) -> tuple[Tree, list[bytes]]:
    """Return ``tree`` without what is at ``paths`` and below, and those that were not there."""
    changed = tree.copy()
    missing = []
    for path in paths:
        if path in changed and path != ROOT:
            changed.remove(path)
        else:
            missing.append(path)
    return changed, missing


def parse_priorities(
    text: str, *, source: str, resolve: Callable[[str], bytes]
) -> dict[bytes, int]:
    """Return the priorities in a list for ``-sort``: a path, a blank, and -32768 to 32767.

    Args:
        text: lines; blank ones, and those that start with ``#``, say nothing.
        source: its name, for messages.
        resolve: makes a path of what stands there.

    Raises:
        InputError: a line is none.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, _blank, priority = stripped.rpartition(" ")
        if not name:
            name, _blank, priority = stripped.rpartition("\t")
        try:
            value = int(priority)
        except ValueError:
            value = 1 << 15
        if not name or not -(1 << 15) <= value < 1 << 15:
            raise InputError(
                f"{source}, line {number}: {stripped!r} is no path and priority",
                hint="write a path, a blank, and a number from -32768 to 32767",
            )
        found[resolve(name.strip().replace("\\ ", " "))] = value
    return found


def spread_priorities(tree: Tree, priorities: Mapping[bytes, int]) -> dict[bytes, int]:
    """Return priorities of files: those of folders are those of all in them that has none."""
    found: dict[bytes, int] = {}
    for place in sorted(priorities):
        for path, node in tree.walk(place) if place in tree else ():
            if isinstance(node, File) and (path == place or is_below(path, place)):
                found[path] = priorities[place]
    return found
