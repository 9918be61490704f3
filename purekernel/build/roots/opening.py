"""Open a root file system: a folder, an archive, or an archive in an ISO."""

from __future__ import annotations

from pathlib import Path

from purekernel.build.roots.archive import ArchiveRoot, Container, HostFile
from purekernel.build.roots.iso import IsoMember
from purekernel.build.roots.root import Root
from purekernel.errors import InputError, UsageError
from purekernel.formats.core_iso import CORES
from purekernel.formats.iso import is_iso, parse_iso
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.host.edit import FolderRoot
from purekernel.host.overlay_reader import parse_layer
from purekernel.host.read import is_folder, load_file
from purekernel.host.rootfs_folder import load_root_folder
from purekernel.tree import Buffer, File, Tree, display, look_up, newest_time


def open_root(
    place: str,
    *,
    timestamp: int | None = None,
    drop_boot: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Root:
    """Return the root file system at ``place``.

    Args:
        place: a folder; a cpio or tar archive, packed or not; a squashfs image; an ISO, whose
            core.gz it is; or ``ISO:PATH``, an archive in an ISO.
        timestamp: the time of what is made, in seconds since 1970, UTC; ``None`` for the newest
            time in an archive. A folder's host has its own.
        drop_boot: when it is written, drop ways to boot that cannot be written.
        limits: the readers' bounds.

    Raises:
        UsageError: it has no name.
        InputError: it is missing, unreadable, or nothing that can hold a root file system.
        FormatError: it is damaged.
        LimitError: it is larger than ``limits`` allow.
        TreeError: what it holds contradicts itself.
    """
    if not place:
        raise UsageError("the root file system has no name", hint="name a folder or a file")
    path, member = _part(place)
    if is_folder(path) and member is None:
        found = load_root_folder(path, limits=limits)
        return FolderRoot(
            folder=path,
            tree=found.tree,
            notes=found.notes,
            is_whole=found.is_whole,
            mtime=timestamp or 0,
        )
    data: Buffer = load_file(path, limits=limits)
    source = str(path)
    container: Container = HostFile(path=path)
    if is_iso(data):
        image = parse_iso(data, source=source, limits=limits)
        member, file = _find_member(image.tree, member, source)
        container = IsoMember(path=path, image=image, member=member, drop_boot=drop_boot)
        data, source = file.content, f"{source}: {member.decode('utf-8', 'replace')}"
    elif member is not None:
        raise InputError(
            f"{path} is no ISO, so it has no {display(member)}", hint="give the archive itself"
        )
    tree = parse_layer(data, source=source, limits=limits, what="root file system").tree
    return ArchiveRoot(
        source=source,
        data=data,
        tree=tree,
        mtime=newest_time(tree) if timestamp is None else timestamp,
        limits=limits,
        container=container,
        drop_boot=drop_boot,
    )


def _part(place: str) -> tuple[Path, bytes | None]:
    """Part ``ISO:PATH`` in two, unless something has that very name."""
    path = Path(place)
    before, colon, after = place.rpartition(":")
    if colon and before and after and not path.exists() and Path(before).is_file():
        return Path(before), after.encode("utf-8", "surrogateescape")
    return path, None


def _find_member(tree: Tree, wanted: bytes | None, source: str) -> tuple[bytes, File]:
    candidates = CORES if wanted is None else (wanted,)
    for candidate in candidates:
        found = look_up(tree, candidate)
        if found is not None and isinstance(found.node, File):
            return found.path, found.node
    names = " or ".join(display(path) for path in candidates)
    raise InputError(
        f"{source} has no file {names}",
        hint="name the archive in it behind a colon, such as image.iso:boot/core.gz",
    )
