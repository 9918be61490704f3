"""Check whether the targets of symbolic links are there.

Source: symlink(7), path_resolution(7).
"""

from __future__ import annotations

from collections.abc import Iterator

from purekernel.analysis.findings import BUILD, Finding, shown
from purekernel.analysis.system import OwnedFiles, System, View
from purekernel.errors import TreeError
from purekernel.tree import Symlink, resolve
from purekernel.tree.path import is_below, join, parent

# What is there only in the running system: file systems of the kernel, and folders of the user's
# data and of sockets.
_AT_RUN_TIME = (b"proc", b"sys", b"dev", b"run", b"var/run", b"var/lock", b"tmp", b"mnt", b"media")

_MOST_LINKS = 40


def check_links(part: OwnedFiles, everything: View) -> Iterator[Finding]:
    """Yield a finding for each symbolic link whose target is missing.

    Of links that lead to one another, the one whose target is missing is reported; of a loop, the
    first path.

    Args:
        part: the files to check.
        everything: the files of all extensions in the image; a target there is not missing.
    """
    for path, node in part.nodes.items():
        if not isinstance(node, Symlink):
            continue
        missing = find_missing_target(path, node, part.view)
        if missing is None or everything.find(missing) is not None:
            continue
        # A script that names the link or its target may make either of them.
        scripts = part.view.start_scripts
        if b"/" + missing in scripts or b"/" + path in scripts:
            continue
        yield _dangling(part, path, missing)


def check_broken_links(system: System) -> Iterator[Finding]:
    """Yield a finding for each link of the base whose target is there in the base alone."""
    stock = View([system.subject.stock_root])
    same = {
        path: node
        for path, node in system.subject.stock_root.walk()
        if isinstance(node, Symlink) and system.subject.root.get(path) == node
    }
    part = OwnedFiles(owner=BUILD, files={}, nodes=dict(same), view=system.view)
    for finding in check_links(part, system.all_extensions):
        if stock.find(finding.path) is not None:
            yield finding


def find_missing_target(path: bytes, link: Symlink, view: View) -> bytes | None:
    """Return the path to which a link leads, if nothing is there.

    Returns:
        ``None`` also if the path is one of the running system, and if another link is to blame.
    """
    if view.find(path) is not None:
        return None
    seen = [path]
    while len(seen) <= _MOST_LINKS:
        target = _target(seen[-1], link)
        try:
            target = target if _is_at_run_time(target) else resolve(view, target, follow_last=False)
        except TreeError:
            node = None
        else:
            node = view.get(target)
        if _is_at_run_time(target):
            return None
        if not isinstance(node, Symlink):
            return target if node is None and len(seen) == 1 else None
        if target in seen:
            return target if path == min(seen[seen.index(target) :]) else None
        seen.append(target)
        link = node
    return None


def _is_at_run_time(path: bytes) -> bool:
    return any(path == folder or is_below(path, folder) for folder in _AT_RUN_TIME)


def _target(path: bytes, link: Symlink) -> bytes:
    """Return the path in the image that a link names, without links on the way resolved."""
    parts: list[bytes] = []
    folder = b"" if link.target.startswith(b"/") else parent(path)
    for part in join(folder, link.target).split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def _dangling(part: OwnedFiles, path: bytes, missing: bytes) -> Finding:
    loops = part.view.get(missing) is not None
    return Finding(
        code="PK501",
        owner=part.owner,
        path=path,
        message=f"{shown(path)} leads to itself"
        if loops
        else f"{shown(path)} leads to {shown(missing)}, which is missing",
        remedy="delete the link, or add its target",
        subject=shown(missing)[1:-1],
    )
