"""Read an overlay into a layer: a folder, archive, squashfs image or manifest."""

from __future__ import annotations

import os
from pathlib import Path

from purekernel.errors import InputError
from purekernel.formats import squashfs
from purekernel.formats.archive import unpack_payload
from purekernel.formats.detect import (
    FileKind,
    has_tar_magic,
    name_kind,
    should_be_compressed,
)
from purekernel.formats.inflate import skip_zeros
from purekernel.formats.mtree import apply_manifest, is_mtree
from purekernel.formats.tar import parse_tar
from purekernel.host.overlay_folder import has_capabilities, host_node, load_folder
from purekernel.host.read import is_folder, load_file, unreadable
from purekernel.host.windows_names import ON_WINDOWS, check_windows_name
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.tree import Buffer, Directory, File, Layer, Metadata, Node, Tree

ACCEPTED = (
    "a folder, a tar archive or a cpio archive of the newc kind (plain or compressed with "
    "gzip, bzip2, xz, lzma, zstd or lz4), a squashfs image (.tcz), or a manifest (#mtree)"
)


def load_layer(path: Path, *, mtime: int, limits: Limits = DEFAULT_LIMITS) -> Layer:
    """Read the overlay at ``path``; detect the format of a file by its content.

    Args:
        path: a folder (see :func:`~purekernel.host.overlay_folder.load_folder`), an archive, a
            squashfs image, or a manifest. The files of a manifest are read from its folder.
        mtime: the time for nodes without one, in seconds since 1970, UTC.
        limits: limits on size, number and depth.

    Raises:
        InputError: the overlay is missing, unreadable, or of an unknown format.
        FormatError: the overlay is damaged.
        LimitError: the overlay exceeds ``limits``.
        TreeError: the overlay contains conflicting or invalid paths.
    """
    if is_folder(path):
        return load_folder(path, mtime=mtime, limits=limits)
    data = load_file(path, limits=limits)
    if is_mtree(data):
        return _load_manifest(data, path, mtime, limits)
    return parse_layer(Input(data, name=str(path), limits=limits))


def parse_layer(file: Input, *, what: str = "overlay", hint: str = "") -> Layer:
    """Parse an overlay from an archive or image; detect its format by its content.

    Args:
        file: the archive or image.
        what: what ``file`` should be, for messages.
        hint: what to do if the format is unknown; by default, to give a supported one.

    Raises:
        InputError: the format is unknown.
        FormatError: the overlay is damaged.
        LimitError: the overlay exceeds the limits.
        TreeError: the overlay contains conflicting or invalid paths.
    """
    payload = unpack_payload(file)
    plain = payload.plain
    tree: Tree | None = None
    if payload.kind is FileKind.CPIO:
        tree = payload.parse_initramfs()
    elif not (should_be_compressed(file.name) and skip_zeros(file.view, 0) == len(file)):
        # Zeros are an empty tar archive, but no compressed file.
        tree = _parse_plain(plain, payload.kind)
    if tree is None:
        message = _wrong_kind(file.name, plain.data, what)
        raise InputError(message, hint=hint or f"give {ACCEPTED}")
    return Layer(source=file.name, tree=tree)


def _parse_plain(file: Input, kind: FileKind) -> Tree | None:
    """Return the tree in a tar archive or squashfs image; ``None`` for another kind of file."""
    if kind is FileKind.SQUASHFS:
        file.count_data()
        return squashfs.parse_squashfs(file)
    if kind is FileKind.TAR or has_tar_magic(file.view):
        return parse_tar(file)
    return None


def _wrong_kind(name: str, plain: Buffer, what: str) -> str:
    known = name_kind(plain)
    if known is not None:
        article = "an" if what[0] in "aeiou" else "a"
        return f"{name} is {known}, which is not supported as {article} {what}"
    head = bytes(memoryview(plain)[:6])
    return f"{name} is not a known kind of {what}: it starts with {head.hex(' ') or 'nothing'}"


def _load_manifest(data: bytes, path: Path, mtime: int, limits: Limits) -> Layer:
    root = Directory(metadata=Metadata(mode=0o755, mtime=mtime))
    return apply_manifest(
        Input(data, name=str(path), limits=limits),
        base=Tree(root),
        find=_FindOnHost(path.parent, mtime, limits),
        mtime=mtime,
    )


class _FindOnHost:
    """Finds the files of a manifest in its folder, and not outside of it."""

    def __init__(
        self, folder: Path, mtime: int, limits: Limits, *, windows: bool = ON_WINDOWS
    ) -> None:
        self._folder = folder.resolve()
        self._windows = windows
        self._mtime = mtime
        self._limits = limits
        self._content_bytes = 0
        # Caches the last node, because each file is looked up for its kind and for its content.
        self._last: tuple[Path, Node] | None = None

    def node(self, path: bytes) -> Node | None:
        """Return the node at ``path``, or ``None``; do not follow a link in the last component."""
        host_path = self._host_path(path)
        if host_path is None:
            return None
        folder = os.path.realpath(host_path.parent)
        return self._load(Path(folder) / host_path.name)

    def content(self, path: bytes) -> Node | None:
        """Return the node that ``path`` resolves to inside the folder, or ``None``."""
        host_path = self._host_path(path)
        return None if host_path is None else self._load(Path(os.path.realpath(host_path)))

    def _host_path(self, path: bytes) -> Path | None:
        if not self._windows:
            return self._folder / os.fsdecode(path)
        parts = [part for part in path.split(b"/") if part not in (b"", b".", b"..")]
        if any(map(check_windows_name, parts)):
            return None  # the name is invalid on Windows
        return self._folder / path.decode("utf-8")

    def _load(self, path: Path) -> Node | None:
        if not path.is_relative_to(self._folder):
            raise InputError(
                f"{path} is outside the manifest's folder, {self._folder}",
                hint="put the manifest and all files that it names in one folder",
            )
        if self._last is not None and self._last[0] == path:
            return self._last[1]
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(path, error) from None
        node = host_node(path, mtime=self._mtime, limits=self._limits)
        if isinstance(node, File):
            folder = Input(b"", name=str(self._folder), limits=self._limits)
            self._content_bytes = folder.count_unpacked(
                len(node.content), already_bytes=self._content_bytes
            )
            if has_capabilities(path):
                folder.note(f"ignored the file capabilities of {path.name}")
        self._last = path, node
        return node
