"""Read an overlay, whatever it comes as, into a layer."""

from __future__ import annotations

import os
from pathlib import Path

from purekernel.errors import InputError
from purekernel.formats.compression import unpack
from purekernel.formats.cpio import MAGIC_CRC, MAGIC_NEWC, parse_cpio
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.mtree import apply_manifest, is_mtree, parse_mtree
from purekernel.formats.squashfs import MAGIC as SQUASHFS_MAGIC
from purekernel.formats.squashfs import parse_squashfs
from purekernel.formats.tar import is_tar, parse_tar
from purekernel.host.read import host_node, is_folder, load_file, load_folder, unreadable
from purekernel.host.windows_names import ON_WINDOWS, check_windows_name
from purekernel.tree import Buffer, Directory, File, Layer, Metadata, Node, Tree

ACCEPTED = (
    "a folder, a tar archive or a cpio archive of the newc kind (plain or compressed with "
    "gzip, bzip2, xz, zstd or lz4 -l), a squashfs image (.tcz), or a manifest (#mtree)"
)


def load_layer(path: Path, *, mtime: int, limits: Limits = DEFAULT_LIMITS) -> Layer:
    """Return the overlay at ``path``; a file's kind is told by its content.

    Args:
        path: a folder (see :func:`purekernel.host.read.load_folder`), an archive, an
            image, or a manifest, whose file contents are then taken from its folder.
        mtime: the time of what has none of its own, in seconds since 1970.
        limits: bounds on size, number and depth.

    Raises:
        InputError: it is missing, unreadable, or nothing that can be an overlay.
        FormatError: it is damaged.
        LimitError: it is larger than ``limits`` allow.
        TreeError: what it holds contradicts itself.
    """
    if is_folder(path):
        return load_folder(path, mtime=mtime, limits=limits)
    data = load_file(path, limits=limits)
    if is_mtree(data):
        return _load_manifest(data, path, mtime, limits)
    return parse_layer(data, source=str(path), limits=limits)


def parse_layer(
    data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS, what: str = "overlay"
) -> Layer:
    """Return the overlay that an archive or image holds; its kind is told by its content.

    Args:
        data: the archive or image.
        source: its name, for messages.
        limits: bounds on size, number and depth.
        what: it is to be, for messages.

    Raises:
        InputError: it is nothing that can be an overlay.
        FormatError: it is damaged.
        LimitError: it is larger than ``limits`` allow.
        TreeError: what it holds contradicts itself.
    """
    # What is plain already is not unpacked: a tar's first name may start as gzip does.
    plain = data if is_tar(data) else unpack(data, source=source, limits=limits)
    head = bytes(plain[:6])
    if head in (MAGIC_NEWC, MAGIC_CRC):
        tree = parse_cpio(plain, source=source, limits=limits)
    elif head.startswith(SQUASHFS_MAGIC):
        tree = parse_squashfs(plain, source=source, limits=limits)
    elif is_tar(plain):
        tree = parse_tar(plain, source=source, limits=limits)
    else:
        raise InputError(
            f"{source} is no kind of {what}: it starts with {head.hex(' ') or 'nothing'}",
            hint=f"give {ACCEPTED}",
        )
    return Layer(source=source, tree=tree)


def _load_manifest(data: bytes, path: Path, mtime: int, limits: Limits) -> Layer:
    source = str(path)
    entries = parse_mtree(data, source=source)
    root = Directory(metadata=Metadata(mode=0o755, mtime=mtime))
    return apply_manifest(
        entries,
        base=Tree(root),
        find=_FindOnHost(path.parent, mtime, limits),
        source=source,
        mtime=mtime,
        limits=limits,
    )


class _FindOnHost:
    """Looks into the folder that a manifest stands in, and nowhere outside it."""

    def __init__(
        self, folder: Path, mtime: int, limits: Limits, *, windows: bool = ON_WINDOWS
    ) -> None:
        self._folder = folder.resolve()
        self._windows = windows
        self._mtime = mtime
        self._limits = limits
        self._content_bytes = 0
        # A file is looked up once for its kind and once for its content.
        self._last: tuple[Path, Node] | None = None

    def node(self, path: bytes) -> Node | None:
        """Return what stands at ``path``, or ``None``; a link at its end is not followed."""
        place = self._place(path)
        if place is None:
            return None
        folder = os.path.realpath(place.parent)
        return self._look(Path(folder) / place.name)

    def content(self, path: bytes) -> Node | None:
        """Return what ``path`` leads to inside the folder, links followed, or ``None``."""
        place = self._place(path)
        return None if place is None else self._look(Path(os.path.realpath(place)))

    def _place(self, path: bytes) -> Path | None:
        if not self._windows:
            return self._folder / os.fsdecode(path)
        parts = [part for part in path.split(b"/") if part not in (b"", b".", b"..")]
        if any(map(check_windows_name, parts)):
            return None  # no file on Windows can have such a name
        return self._folder / path.decode("utf-8")

    def _look(self, place: Path) -> Node | None:
        if not place.is_relative_to(self._folder):
            raise InputError(
                f"{place} lies outside the manifest's folder, {self._folder}",
                hint="put the manifest and all files that it names in one folder",
            )
        if self._last is not None and self._last[0] == place:
            return self._last[1]
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(place, error) from None
        node = host_node(place, mtime=self._mtime, limits=self._limits)
        if isinstance(node, File):
            self._content_bytes += len(node.content)
            self._limits.check_unpacked(self._content_bytes, source=str(self._folder))
        self._last = place, node
        return node
