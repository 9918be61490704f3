"""Describe a git checkout by its tag or commit, without running git.

Source: gitrepository-layout(5), git-pack-refs(1); "Git Objects" in the Git book for loose
objects.
"""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path

from purekernel.host.read import is_file, is_folder, open_file, unreadable
from purekernel.host.windows_names import ON_WINDOWS, check_windows_name

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

# The default of git for an abbreviated commit hash.
ABBREVIATED_DIGITS = 7

# Reference and tag names are short, and so are the files that contain them.
MAX_BYTES = 4 << 20
MAX_LINKS = 5


def describe_checkout(folder: Path) -> str | None:
    """Return the tag of the checked-out commit, or the abbreviated commit hash.

    The result equals that of ``git describe --tags --always`` if the commit has a tag or the
    repository has none. If the commit has several tags, the last in order of name is used. The
    distance from an older tag is not determined.

    Returns:
        ``None`` if ``folder`` is not a checkout, or no commit is checked out.

    Raises:
        InputError: a file or folder of the repository cannot be read.
    """
    repository = _repository(folder)
    if repository is None:
        return None
    common = _common(repository)
    packed = _packed(common)
    commit = _resolve(repository, common, "HEAD", packed)
    if commit is None:
        return None
    tags = sorted(name for name, target in _tags(common, packed).items() if target == commit)
    return tags[-1] if tags else commit[:ABBREVIATED_DIGITS]


def _repository(folder: Path) -> Path | None:
    path = folder / ".git"
    if is_folder(path):
        return path
    text = _read(path)  # a worktree or a submodule has a file
    if text is None or not text.startswith("gitdir: "):
        return None
    linked = folder / text.removeprefix("gitdir: ").strip()
    return linked if is_folder(linked) else None


def _common(repository: Path) -> Path:
    text = _read(repository / "commondir")
    return repository if text is None else repository / text.strip()


def _packed(common: Path) -> dict[str, str]:
    """Return the packed references; for annotated tags, the commits that they point to."""
    references: dict[str, str] = {}
    last = ""
    for line in (_read(common / "packed-refs") or "").splitlines():
        if line.startswith("^"):
            references[last] = line[1:].strip()
            continue
        target, _blank, last = line.partition(" ")
        if _COMMIT.fullmatch(target):
            references[last] = target
    return references


def _resolve(
    repository: Path,
    common: Path,
    name: str,
    packed: dict[str, str],
    *,
    windows: bool = ON_WINDOWS,
) -> str | None:
    for _ in range(MAX_LINKS):
        text = _read(repository / name) or _read(common / name) or packed.get(name, "")
        text = text.strip()
        if not text.startswith("ref: "):
            return text if _COMMIT.fullmatch(text) else None
        name = text.removeprefix("ref: ").strip()
        if ".." in name or not name.startswith("refs/"):
            return None
        if windows and any(check_windows_name(part.encode()) for part in name.split("/")):
            return None
    return None


def _tags(common: Path, packed: dict[str, str]) -> dict[str, str]:
    prefix = "refs/tags/"
    tags = {
        name.removeprefix(prefix): target
        for name, target in packed.items()
        if name.startswith(prefix)
    }
    folder = common / "refs" / "tags"
    for path in _files(folder):
        target = (_read(path) or "").strip()
        if _COMMIT.fullmatch(target):
            tags[path.relative_to(folder).as_posix()] = _peel(common, target)
    return tags


def _peel(common: Path, target: str) -> str:
    """Return the commit of an annotated tag; return other objects unchanged."""
    path = common / "objects" / target[:2] / target[2:]
    try:
        head = zlib.decompressobj().decompress(_read_bytes(path) or b"", 200)
    except zlib.error:
        return target
    match = re.match(rb"tag [0-9]+\0object ([0-9a-f]{40,64})\ntype commit\n", head)
    return match[1].decode() if match else target


def _files(folder: Path) -> list[Path]:
    """Return the files below ``folder``, in order; none if it is missing.

    Raises:
        InputError: the folder cannot be read. Without its tags, the version would be another one.
    """
    found: list[Path] = []
    # os.walk() of Python 3.11 calls itself for each level.
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    if not entry.is_dir():
                        found.append(Path(entry.path))
                    elif not entry.is_symlink():
                        pending.append(Path(entry.path))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise unreadable(current, error) from None
    return sorted(found)


def _read(path: Path) -> str | None:
    data = _read_bytes(path)
    return None if data is None else data.decode("utf-8", "replace")


def _read_bytes(path: Path) -> bytes | None:
    """Return the start of a file, or ``None`` if it is missing or not a file.

    Raises:
        InputError: the file cannot be read.
    """
    if not is_file(path):
        return None
    with open_file(path) as stream:
        return stream.read(MAX_BYTES)
