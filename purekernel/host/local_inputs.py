"""Know local inputs of a build by their digests, and find them again in a folder."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path

from purekernel.errors import LimitError, PurekernelError
from purekernel.formats.mtree import is_mtree
from purekernel.host.overlay_folder import load_folder
from purekernel.host.overlay_reader import load_layer
from purekernel.host.read import is_folder, open_file, unreadable
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.records import frozen
from purekernel.tree import Device, File, Layer, Symlink, file_type

_PIECE_BYTES = 1 << 20

# How many names a folder with inputs may have.
_MOST_NAMES = 500_000


class InputKind(Enum):
    """The kinds of local inputs."""

    FILE = "file"
    FOLDER = "folder"
    MANIFEST = "manifest"
    """An overlay that a manifest describes, with the files that it names."""


@frozen(kw_only=True)
class LocalInput:
    """A file or folder of the host that a build reads.

    Attributes:
        path: what stands for its path: ``inputs/NAME``.
        kind: its kind.
        sha256: the SHA-256 of a file; of a folder or manifest, of all that a layer has of it:
            paths, types, modes, owners and contents, without times.
        size_bytes: the size of a file; of a folder, that of its files together.
        files: the number of files in a folder; 0 for a file.
        only: the names at the top of a folder that are read; empty for all.
        used: keys of the recipe, or names in the lock file, that name it.
    """

    path: str
    kind: InputKind
    sha256: str
    size_bytes: int
    files: int = 0
    only: tuple[str, ...] = ()
    used: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file name."""
        return self.path.rpartition("/")[2]


def describe_input(
    path: Path, *, only: Sequence[str] = (), is_overlay: bool = False, limits: Limits
) -> LocalInput:
    """Return a local input, without a path.

    Args:
        path: the file or folder.
        only: the names at the top of a folder that count; empty for all.
        is_overlay: whether a file may be the manifest of an overlay.
        limits: limits of what is read.

    Raises:
        PurekernelError: it cannot be read.
    """
    if is_folder(path):
        wanted = {name.encode("utf-8", "surrogateescape") for name in only}
        layer = load_folder(
            path, mtime=0, limits=limits, wanted=wanted.__contains__ if wanted else None
        )
        return _describe_layer(layer, InputKind.FOLDER, only)
    digest, size_bytes, head = _digest_file(path)
    if is_overlay and is_mtree(head):
        layer = load_layer(path, mtime=0, limits=limits)
        return _describe_layer(layer, InputKind.MANIFEST, ())
    return LocalInput(path="", kind=InputKind.FILE, sha256=digest, size_bytes=size_bytes)


def _digest_file(path: Path) -> tuple[str, int, bytes]:
    """Return the SHA-256, the size in bytes, and the first bytes of a file."""
    digest, size_bytes, head = hashlib.sha256(), 0, b""
    with open_file(path) as stream:
        while piece := stream.read(_PIECE_BYTES):
            head = head or piece[:64]
            digest.update(piece)
            size_bytes += len(piece)
    return digest.hexdigest(), size_bytes, head


def _describe_layer(layer: Layer, kind: InputKind, only: Sequence[str]) -> LocalInput:
    digest, size_bytes, files = hashlib.sha256(), 0, 0
    tree = layer.tree
    links = tree.hard_links()
    for path, node in sorted(tree.walk()):
        metadata = node.metadata
        words: list[object] = [
            path, stat.filemode(file_type(node) | metadata.mode), metadata.uid, metadata.gid,
            metadata.xattrs, links.get(tree.inode(path), [path])[0],
            sorted(map(str, layer.stated.get(path, ()))),
        ]  # fmt: skip
        if isinstance(node, File):
            words.append(hashlib.sha256(node.content).hexdigest())
            size_bytes += node.size_bytes
            files += 1
        elif isinstance(node, Symlink):
            words.append(node.target)
        elif isinstance(node, Device):
            words += [node.kind.value, node.major, node.minor]
        digest.update(repr(words).encode() + b"\n")
    return LocalInput(
        path="", kind=kind, sha256=digest.hexdigest(), size_bytes=size_bytes, files=files,
        only=tuple(only),
    )  # fmt: skip


def find_inputs(
    folder: Path, wanted: Iterable[LocalInput], *, limits: Limits = DEFAULT_LIMITS
) -> dict[str, Path]:
    """Return where the inputs are in a folder, by :attr:`LocalInput.path`.

    They are found by their digests, whatever their names are; one with the right name is looked at
    first. Inputs that are not found are left out.

    Args:
        folder: the folder; links in it are not followed.
        wanted: the inputs.
        limits: limits of what is read.

    Raises:
        InputError: the folder cannot be read.
        LimitError: it has too many names.
    """
    listing = _Listing(folder, limits)
    found = ((each.path, listing.find(each)) for each in wanted)
    return {path: place for path, place in found if place is not None}


class _Listing:
    """The files and folders below a folder."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._limits = limits
        self._files: dict[int, list[Path]] = {}
        self._manifests: list[Path] = []
        self._folders: dict[Path, int] = {}
        self._digests: dict[Path, str] = {}
        names = 0
        for top, folders, files in os.walk(folder, onerror=_refuse):
            folders.sort()
            names += len(folders) + len(files)
            if names > _MOST_NAMES:
                raise LimitError(
                    source=str(folder),
                    expected=f"at most {_MOST_NAMES} names",
                    got="more",
                    hint="name the folder with the inputs alone",
                )
            self._folders[Path(top)] = 0
            for name in sorted(files):
                path = Path(top, name)
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    self._files.setdefault(status.st_size, []).append(path)
                    self._manifests.append(path)
        for paths in self._files.values():
            for path in paths:
                for above in path.parents:
                    if above not in self._folders:
                        break
                    self._folders[above] += 1

    def find(self, wanted: LocalInput) -> Path | None:
        for path in sorted(self._candidates(wanted), key=lambda path: path.name != wanted.name):
            try:
                if self._digest(path, wanted) == wanted.sha256:
                    return path
            except PurekernelError:  # it is of another kind, and not the one that is wanted
                continue
        return None

    def _candidates(self, wanted: LocalInput) -> Iterator[Path]:
        if wanted.kind is InputKind.FILE:
            yield from self._files.get(wanted.size_bytes, ())
        elif wanted.kind is InputKind.MANIFEST:
            yield from self._manifests
        else:
            for path, files in self._folders.items():
                is_like = all((path / name).exists() for name in wanted.only)
                if path.name == wanted.name or (is_like if wanted.only else files >= wanted.files):
                    yield path

    def _digest(self, path: Path, wanted: LocalInput) -> str:
        if wanted.kind is InputKind.FILE:
            if path not in self._digests:
                self._digests[path] = _digest_file(path)[0]
            return self._digests[path]
        is_manifest = wanted.kind is InputKind.MANIFEST
        limits = self._limits.unbudgeted()
        described = describe_input(path, only=wanted.only, is_overlay=is_manifest, limits=limits)
        return described.sha256 if described.kind is wanted.kind else ""


def _refuse(error: OSError) -> None:
    raise unreadable(Path(error.filename), error) from None
