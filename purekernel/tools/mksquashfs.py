"""Make a squashfs image from folders, files and archives, as mksquashfs does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath, PureWindowsPath
from typing import BinaryIO

from attrs import evolve

from purekernel.encode.encoders import Effort
from purekernel.encode.squashfs import SquashfsCompression, make_codec
from purekernel.errors import InputError, UsageError, raise_all
from purekernel.formats.archive import is_padded_core
from purekernel.formats.detect import is_archive, should_be_archive
from purekernel.formats.squashfs import Options, write_squashfs
from purekernel.formats.text import UTF_8_MARK
from purekernel.host.addresses import find_item, find_on_host
from purekernel.host.below import image_name
from purekernel.host.overlay_reader import parse_layer
from purekernel.host.read import is_folder, load_file
from purekernel.host.rootfs_folder import load_host_file, load_root_folder
from purekernel.host.windows_names import ON_WINDOWS
from purekernel.host.write import publish, resolved
from purekernel.input import DEFAULT_LIMITS, Limits, limits_of
from purekernel.records import frozen
from purekernel.threads import running_executor
from purekernel.tools.accounts import group_number, user_number
from purekernel.tree import (
    ROOT,
    Directory,
    File,
    Metadata,
    Tree,
    branch,
    clamp_times,
    display,
    parse_path,
)
from purekernel.tree.path import is_below, join
from purekernel.tree.path import name as path_name

# Up to five digits, and zeros before them.
_PRIORITY = re.compile(r"[+-]?0{0,9}[0-9]{1,5}")

# The root folder of an image of several sources, as mksquashfs makes it: root's, mode 0777.
_TOP = Directory(metadata=Metadata(mode=0o777))

_OTHER_ARCHIVE_HINT = (
    "unpack it and give the folder; to add the file as it is, give the folder that contains it"
)


@frozen(kw_only=True)
class MadeImage:
    """An image that was written.

    Attributes:
        size_bytes: its size.
        names: the number of names in it.
    """

    size_bytes: int
    names: int


def make_squashfs(
    sources: Sequence[Path],
    out: Path,
    *,
    block_bytes: int,
    compression: str,
    effort: str,
    all_root: bool,
    force_uid: str | None,
    force_gid: str | None,
    xattrs: bool,
    excluded: Sequence[str],
    exclude_file: Path | None,
    sort_file: Path | None,
    mkfs_time: int | None,
    all_time: int | None,
    timestamp: int | None,
    processors: int | None,
    no_fragments: bool,
    no_exports: bool,
    no_duplicates: bool,
    nopad: bool,
    max_unpacked: int | None,
    note: Callable[[str], None],
) -> MadeImage:
    """Write an image of ``sources`` to ``out``.

    The arguments are the options of mksquashfs; times are in seconds since 1970, UTC, and sizes
    in bytes. ``note`` is called with a line for each excluded path that is missing, and
    for what the reader of an archive drops or replaces.

    Raises:
        UsageError: a user, a group or an excluded path is invalid.
        PurekernelError: a source cannot be read, or the image cannot be written.
    """
    limits = limits_of(max_unpacked, report=note).budgeted()
    uid = 0 if all_root else None if force_uid is None else user_number(force_uid)
    gid = 0 if all_root else None if force_gid is None else group_number(force_gid)
    names = list(excluded)
    if exclude_file is not None:
        names += filter(None, map(str.strip, _text(exclude_file).splitlines()))
    tree = gather(sources, xattrs=xattrs, limits=limits)
    tree, missing = leave_out(tree, [inside_image(name, sources) for name in names])
    for path in missing:
        note(f"{display(path)} is excluded, and is not in the sources")
    tree = Changes(uid=uid, gid=gid, mtime=all_time).apply(tree)
    if timestamp is not None:
        tree = clamp_times(tree, timestamp)
    options = Options(
        block_bytes=block_bytes,
        tails=not no_fragments,
        duplicates=not no_duplicates,
        exports=not no_exports,
        xattrs=xattrs,
        padding=not nopad,
        mkfs_time=timestamp if mkfs_time is None else mkfs_time,
        priorities={} if sort_file is None else _priorities(tree, sort_file, sources),
    )
    codec = make_codec(SquashfsCompression(compression), Effort(effort), block_bytes)
    target = resolved(out)
    with running_executor(jobs=processors) as executor:

        def write(stream: BinaryIO) -> None:
            write_squashfs(tree, stream, codec=codec, executor=executor, options=options)

        (done,) = publish(target.parent, {target.name: write}, option="another OUT")
    return MadeImage(size_bytes=done.size_bytes, names=len(tree))


def _priorities(tree: Tree, path: Path, sources: Sequence[Path]) -> dict[bytes, int]:
    resolve = partial(inside_image, sources=sources)
    return spread_priorities(tree, parse_priorities(_text(path), source=str(path), resolve=resolve))


def _text(path: Path) -> str:
    return os.fsdecode(load_file(path).removeprefix(UTF_8_MARK))


@frozen(kw_only=True)
class Changes:
    """The metadata to set on every node; ``None`` leaves a field as it is.

    Attributes:
        uid: the owner of all nodes.
        gid: the group of all nodes.
        mtime: the time of all nodes, in seconds since 1970, UTC.
    """

    uid: int | None = None
    gid: int | None = None
    mtime: int | None = None

    def apply(self, tree: Tree) -> Tree:
        """Return ``tree`` with these changes."""
        fields = {
            name: value
            for name, value in (("uid", self.uid), ("gid", self.gid), ("mtime", self.mtime))
            if value is not None
        }
        if not fields:
            return tree
        changed = tree.copy()
        seen: set[int] = set()
        for path, node in tree.walk():
            if tree.inode(path) not in seen:
                seen.add(tree.inode(path))
                changed.replace(path, evolve(node, metadata=_evolved(node.metadata, fields)))
        return changed


def gather(
    sources: Sequence[Path], *, xattrs: bool = True, limits: Limits = DEFAULT_LIMITS
) -> Tree:
    """Return the tree of ``sources``.

    A single folder or archive (tar, cpio, squashfs) gives its content. A single file that should
    be an archive, by its first bytes or the ending of its name, and cannot be read is an error.
    Any other single file, and each of several sources, is added under its own name.

    Args:
        sources: paths on the host; a single one may be an address.
        xattrs: whether to read extended attributes.
        limits: the readers' limits.

    Raises:
        InputError: a source is missing or unreadable, an archive of an unsupported kind, or two
            sources have the same name.
        FormatError: an archive is damaged.
        LimitError: the sources exceed ``limits``.
        TreeError: a name is longer than Linux allows.
    """
    if len(sources) == 1:
        (source,) = sources
        if is_folder(source):
            return _folder(source, limits, xattrs=xattrs)
        found = find_on_host(source)
        item = find_item(found, limits=limits).follow()
        if isinstance(item.node, Directory):
            return branch(item.tree, item.path)
        file = item.load()
        if is_archive(file.data) or should_be_archive(source.name) or is_padded_core(file):
            return parse_layer(file, what="source", hint=_OTHER_ARCHIVE_HINT).tree
        if found.inner is not None:
            tree = Tree(_TOP)
            tree.add(path_name(item.path), item.node)
            return tree
    tree = Tree(_TOP)
    for source in sources:
        name = parse_path(image_name(source.resolve().name or "root"))
        if name in tree:
            raise InputError(
                f"two sources have the same name {source.name}",
                hint="rename one, or use the folder that contains both",
            )
        if is_folder(source):
            _graft(tree, name, _folder(source, limits, xattrs=xattrs))
        else:
            tree.add(name, load_host_file(source, limits=limits, xattrs=xattrs))
    return tree


def _folder(source: Path, limits: Limits, *, xattrs: bool) -> Tree:
    folder = load_root_folder(source, limits=limits, xattrs=xattrs)
    raise_all(
        InputError(note, hint="run as a user who may read it, or move it out of the folder")
        for note in folder.notes
    )
    return folder.tree


def _graft(tree: Tree, top: bytes, branch: Tree) -> None:
    firsts: dict[int, bytes] = {}
    for path, node in branch.walk():
        target = join(top, path) if path else top
        first = firsts.setdefault(branch.inode(path), target)
        if first == target:
            tree.add(target, node)
        else:
            tree.link(target, first)


def _evolved(metadata: Metadata, fields: Mapping[str, int]) -> Metadata:
    return evolve(
        metadata,
        uid=fields.get("uid", metadata.uid),
        gid=fields.get("gid", metadata.gid),
        mtime=fields.get("mtime", metadata.mtime),
    )


def inside_image(text: str, sources: Sequence[Path]) -> bytes:
    """Return the path in the image for ``text``, by the rules of mksquashfs.

    A text that starts with ``/``, ``./`` or ``../`` is a path on the host, and must be below one
    of ``sources``; a link there stands for itself. Any other text is a path in the image.

    Raises:
        UsageError: the path on the host is outside all sources.
    """
    if not is_host_path(text):
        return parse_path(image_name(text.replace("\\", "/") if ON_WINDOWS else text))
    given = Path(text)
    # Only the folder is resolved, unless the last component is a folder by another name.
    resolved = given.resolve() if given.name in ("", "..") else given.parent.resolve() / given.name
    for source in sources:
        relative = below(resolved, source.resolve())
        if relative is not None:
            path = parse_path(image_name(relative))
            return path if len(sources) == 1 else join(image_name(source.resolve().name), path)
    raise UsageError(f"{text} is outside all sources", hint="use the path inside the image")


def is_host_path(text: str, *, windows: bool = ON_WINDOWS) -> bool:
    """Return whether ``text`` is a path on the host, not in the image."""
    if windows:
        return bool(PureWindowsPath(text).anchor) or text.startswith(("./", "../", ".\\", "..\\"))
    return text.startswith(("/", "./", "../"))


def below(path: PurePath, top: PurePath) -> str | None:
    """Return the path below ``top`` with slashes, or ``None`` if it is outside."""
    try:
        return path.relative_to(top).as_posix()
    except ValueError:
        return None


def leave_out(tree: Tree, paths: Iterable[bytes]) -> tuple[Tree, list[bytes]]:
    """Return ``tree`` without ``paths`` and everything below them, and the missing paths."""
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
    """Parse a list for ``-sort``: a path, a blank, and a priority from -32768 to 32767 per line.

    Args:
        text: the lines; blank lines, and those that start with ``#``, are ignored.
        source: the name of the list, for messages.
        resolve: returns the path in the image for the path in a line.

    Raises:
        InputError: a line is invalid.
    """
    priorities = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, _blank, priority = stripped.rpartition(" ")
        if not name:
            name, _blank, priority = stripped.rpartition("\t")
        value = int(priority) if _PRIORITY.fullmatch(priority) else 1 << 15
        if not name or not -(1 << 15) <= value < 1 << 15:
            raise InputError(
                f"{source}, line {number}: must be a path and a priority, got {stripped!r}",
                hint="write a path, a blank, and a number from -32768 to 32767",
            )
        priorities[resolve(name.strip().replace("\\ ", " "))] = value
    return priorities


def spread_priorities(tree: Tree, priorities: Mapping[bytes, int]) -> dict[bytes, int]:
    """Return the priorities of files: a file without its own has that of the nearest folder."""
    of_files: dict[bytes, int] = {}
    for top in sorted(priorities):
        for path, node in tree.walk(top) if top in tree else ():
            if isinstance(node, File) and (path == top or is_below(path, top)):
                of_files[path] = priorities[top]
    return of_files
