"""Check modes and owners: who may run, change and own the files of an image.

Source: chmod(2) for the bits; usr/bin/tce-load and usr/bin/tce-setup of Tiny Core, which load
extensions as the user tc, for the owners that it needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from purekernel.analysis.findings import FileOwner, Finding, shown
from purekernel.analysis.scripts import COMMANDS, SEARCHED
from purekernel.analysis.system import OwnedFiles, System, marker_of
from purekernel.errors import FormatError
from purekernel.rootfs.extensions import EXECUTABLE
from purekernel.rootfs.ownership import HOME, STAFF_GROUP, START_SCRIPTS, TC_USER
from purekernel.tree import Directory, File, Node, Symlink
from purekernel.tree.path import is_below, parent

_SETUID, _STICKY, _BY_ANY_USER, _BY_GROUP = 0o4000, 0o1000, 0o002, 0o020
_SCRIPT, _ELF = b"#!", b"\x7fELF"

# A file of this size or more is no program; it is told by its size.
_MOST_HASHED_BYTES = 1 << 24


def check_attributes(part: OwnedFiles) -> Iterator[Finding]:
    """Yield a finding for each node with a mode or an owner that is wrong, or a risk.

    Args:
        part: the files to check.
    """
    for path, node in part.nodes.items():
        if isinstance(node, File | Directory):
            yield from _check_mode(part.owner, path, node)
        if isinstance(node, File) and not node.metadata.mode & EXECUTABLE:
            yield from _check_run_bit(part.owner, path, node)
        # The files of an extension keep their owners where they are, and are linked from here.
        if not part.is_mounted:
            yield from _check_owner(part.owner, path, node)


def check_silenced(system: System) -> Iterator[Finding]:
    """Yield a finding for each extension that is not loaded, because a file says that it is.

    An extension whose files are all in the root file system was merged into it, and needs no
    loading.
    """
    root = system.subject.root
    for extension in system.silenced:
        if extension.is_stock or all(path in root for path, _node in extension.tree.walk() if path):
            continue
        marker = marker_of(extension.name)
        yield Finding(
            code="PK505",
            owner=system.owner(marker),
            path=marker,
            message=f"{extension.name} is not loaded at boot, because {shown(marker)} says that it "
            "is loaded already",
            remedy="delete that file, or take the extension off the list",
            subject=extension.name,
        )


def _check_mode(owner: FileOwner, path: bytes, node: File | Directory) -> Iterator[Finding]:
    mode = node.metadata.mode
    if mode & _SETUID and mode & EXECUTABLE and isinstance(node, File):
        yield Finding(
            code="PK704",
            owner=owner,
            path=path,
            message=f"{shown(path)} runs with the rights of user {node.metadata.uid} (setuid, mode "
            f"{mode:04o})",
            remedy="clear the bit, if users need no such rights",
            state=_state(node),
        )
    if mode & _BY_ANY_USER and not (isinstance(node, Directory) and mode & _STICKY):
        what = "a folder in which any user may replace files" if (
            isinstance(node, Directory)
        ) else "a file that any user may change"  # fmt: skip
        yield Finding(
            code="PK705",
            owner=owner,
            path=path,
            message=f"{shown(path)} is {what} (mode {mode:04o})",
            remedy="clear the bit 0002 of its mode"
            + (", or set the sticky bit" if isinstance(node, Directory) else ""),
        )


def _state(node: File) -> str:
    """Return what tells a program with special rights from another one at its path."""
    metadata = node.metadata
    rights = f"{metadata.mode:o} {metadata.uid} {node.size_bytes}"
    if node.size_bytes > _MOST_HASHED_BYTES:
        return rights
    try:
        return f"{rights} {hashlib.sha256(node.content).hexdigest()}"
    except FormatError:  # check_programs() reports it
        return rights


def _check_run_bit(owner: FileOwner, path: bytes, node: File) -> Iterator[Finding]:
    folder = parent(path)
    if folder not in COMMANDS or (folder == b"" and path != b"init"):
        return
    try:
        start = bytes(node.part(0, 4))
    except FormatError:  # check_programs() reports it
        return
    if start.startswith(_SCRIPT) or (start == _ELF and folder in SEARCHED):
        yield Finding(
            code="PK502",
            owner=owner,
            path=path,
            message=f"{shown(path)} cannot be run: no user has the right to (mode "
            f"{node.metadata.mode:04o})",
            remedy="set the bits 0111 of its mode",
        )


def _check_owner(owner: FileOwner, path: bytes, node: Node) -> Iterator[Finding]:
    metadata = node.metadata
    has = f"belongs to user {metadata.uid} and group {metadata.gid}"
    is_tc = metadata.uid == TC_USER
    if path == START_SCRIPTS or is_below(path, START_SCRIPTS):
        if path == START_SCRIPTS:
            is_fine = is_tc or (metadata.gid == STAFF_GROUP and metadata.mode & _BY_GROUP)
        else:
            is_fine = is_tc or metadata.gid == STAFF_GROUP
        if not is_fine and not isinstance(node, Symlink):
            yield Finding(
                code="PK503",
                owner=owner,
                path=path,
                message=f"{shown(path)} {has}, so tc cannot load extensions with it",
                remedy="give the folder the owner 0:50 and the mode 0775, and files 1001:50",
                subject=f"{metadata.uid}:{metadata.gid}",
            )
    elif (path == HOME or is_below(path, HOME)) and not is_tc:
        yield Finding(
            code="PK504",
            owner=owner,
            path=path,
            message=f"{shown(path)} {has}, so tc cannot change it",
            remedy="give it the owner 1001:50",
            subject=f"{metadata.uid}:{metadata.gid}",
        )
