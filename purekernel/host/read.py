"""Read files and folders of the host, or say why not in words that help.

A folder is read into a layer, with a manifest for what the host cannot hold.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from purekernel.errors import ChecksumError, InputError, PurekernelError, TreeError
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.mtree import FindInTree, apply_manifest, parse_mtree
from purekernel.host.windows_names import ON_WINDOWS
from purekernel.tree import (
    ROOT,
    Buffer,
    Directory,
    File,
    Layer,
    Metadata,
    Node,
    Symlink,
    Tree,
    parse_path,
)
from purekernel.tree.path import join

MANIFEST_NAME = b".mtree"
ELF_MAGIC = b"\x7fELF"
SHEBANG = b"#!"


# A folder that Windows shows in a second place; os.lstat takes it for a folder.
REPARSE_TAG_JUNCTION = 0xA0000003
SPECIAL_HINT = "take it out of the folder, and describe it in a manifest, .mtree, instead"


def load_folder(
    path: Path,
    *,
    mtime: int,
    limits: Limits = DEFAULT_LIMITS,
    wanted: Callable[[bytes], bool] | None = None,
) -> Layer:
    """Return everything under a folder of the host as a layer.

    The owner is root throughout. Modes are the host's; Windows has none, so there folders
    and programs are 0755 and all other files 0644. Times are all ``mtime``: those on the
    host are when the files were checked out, and would make no two builds alike. Symbolic
    links are kept as they are and never followed. Two names of one file on the host become
    two files.

    A file ``.mtree`` at the folder's top is its manifest: it is not part of the layer, and
    says what the host cannot hold (see :mod:`purekernel.formats.mtree`).

    Args:
        path: a folder; it may itself be reached through links.
        mtime: in seconds since 1970.
        limits: bounds on size, number and depth.
        wanted: says of each name at the folder's top whether it is read at all; by default
            all are.

    Raises:
        InputError: something cannot be read, or is a device, fifo or socket; or files that
            the manifest names are missing.
        FormatError: the manifest is malformed.
        LimitError: there is more than ``limits`` allow.
        TreeError: a name is longer than Linux allows, or manifest and folder contradict
            one another.
    """
    tree = _Reader(path, mtime, limits, wanted).read()
    manifest = tree.get(MANIFEST_NAME)
    if manifest is None:
        return Layer(source=str(path), tree=tree)
    source = str(path / os.fsdecode(MANIFEST_NAME))
    if not isinstance(manifest, File):
        raise InputError(
            f"{source} must be a file: it is the folder's manifest",
            hint="rename it, or put the manifest there",
        )
    tree.remove(MANIFEST_NAME)
    return apply_manifest(
        parse_mtree(manifest.content, source=source),
        base=tree,
        find=FindInTree(tree),
        source=source,
        mtime=mtime,
        limits=limits,
    )


def load_file(path: Path, *, limits: Limits = DEFAULT_LIMITS, streams: bool = False) -> bytes:
    """Return the bytes of the file at ``path``.

    Args:
        path: of the file.
        limits: bounds on its size.
        streams: whether it may be a fifo or a device, such as ``/dev/stdin`` and the shell's
            ``<(…)``, which is read to its end.

    Raises:
        InputError: it is missing, no file, or may not be read.
        LimitError: it is larger than what ``limits`` let an input unpack to.
    """
    try:
        # A fifo with no writer is not waited for, where a system has fifos.
        patience = 0 if streams else getattr(os, "O_NONBLOCK", 0)
        opened = os.open(path, os.O_RDONLY | patience | _BINARY)
        with _closing(opened):
            status = os.fstat(opened)
            if stat.S_ISDIR(status.st_mode):
                raise InputError(f"{path} is a folder, not a file", hint="give the path of a file")
            is_file = stat.S_ISREG(status.st_mode)
            if not is_file and not (streams and _flows(status.st_mode)):
                # A device or fifo may never end.
                raise InputError(
                    f"{path} is neither a file nor a folder", hint="give the path of a file"
                )
            limits.check_unpacked(status.st_size, source=str(path))
            with os.fdopen(opened, "rb", closefd=False) as stream:
                # Python makes room for all that it is to read, and gives the rest back after it.
                likely_bytes = status.st_size if is_file else limits.unpacked_bytes
                content = stream.read(likely_bytes + 1)
                if len(content) > likely_bytes:
                    content += stream.read(limits.unpacked_bytes + 1 - len(content))
            limits.check_unpacked(len(content), source=str(path))
            return content
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist", hint="check the path; it is taken from the current folder"
        ) from None
    except OSError as error:
        if is_folder(path):  # which Windows does not open
            raise InputError(
                f"{path} is a folder, not a file", hint="give the path of a file"
            ) from None
        raise unreadable(path, error) from None
    except PurekernelError:
        raise
    except ValueError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None
    except MemoryError:
        raise InputError(
            f"{path} does not fit in memory", hint="it is too large to be an image's part"
        ) from None


def check_digest(path: Path, sha256: str) -> None:
    """Refuse a file that has another digest.

    Raises:
        ChecksumError: it has.
        InputError: it is missing, a folder, or may not be read.
    """
    if is_folder(path):
        raise InputError(f"{path} is a folder, and only a file has a SHA-256")
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
    if found != sha256.lower():
        raise ChecksumError(
            f"{path} is not what was promised: its SHA-256 is {found}, not {sha256.lower()}",
            hint="correct the digest in the recipe, or the file",
        )


def _flows(mode: int) -> bool:
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def is_folder(path: Path) -> bool:
    """Say whether ``path`` is a folder that we may look at."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def unreadable(path: Path, error: OSError) -> InputError:
    """Return the error that says why ``path`` cannot be read."""
    return InputError(f"{path} cannot be read: {error.strerror or error}")


# Windows would change line ends otherwise.
_BINARY = getattr(os, "O_BINARY", 0)


def host_node(path: Path, *, mtime: int, limits: Limits = DEFAULT_LIMITS) -> Node:
    """Return what stands at ``path`` on the host, links not followed, as a layer has it.

    Raises:
        InputError: it cannot be read, or is a device, fifo or socket.
        LimitError: the file is larger than ``limits`` allow.
    """
    try:
        status = path.lstat()
        if getattr(status, "st_reparse_tag", 0) == REPARSE_TAG_JUNCTION:
            raise InputError(f"{path} is a junction, which an image cannot hold", hint=SPECIAL_HINT)
        if stat.S_ISDIR(status.st_mode):
            return Directory(metadata=_metadata(status, b"", mtime, folder=True))
        if stat.S_ISLNK(status.st_mode):
            return Symlink(
                metadata=Metadata(mode=0o777, mtime=mtime),
                # Not path.readlink(), which makes "./x" into "x".
                target=image_target(os.readlink(path)),  # noqa: PTH115
            )
        if stat.S_ISREG(status.st_mode):
            content = load_file(path, limits=limits)
            return File(metadata=_metadata(status, content, mtime, folder=False), content=content)
    except OSError as error:
        raise unreadable(path, error) from None
    what = {stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket"}.get(
        stat.S_IFMT(status.st_mode), "a device"
    )
    raise InputError(f"{path} is {what}, and is not read from a folder", hint=SPECIAL_HINT)


def posix_mode(st_mode: int) -> int:
    """Return the mode that a file or folder of a POSIX host has in an image.

    Its own, less what others than the owner may write: that hangs on the umask of whoever
    made the checkout. Where setuid, setgid or sticky is set, the mode is meant, and stays.
    """
    mode = stat.S_IMODE(st_mode)
    special = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
    return mode if mode & special else mode & ~(stat.S_IWGRP | stat.S_IWOTH)


def windows_mode(content: Buffer, *, folder: bool) -> int:
    """Return the mode of what comes from a host that has none.

    Folders and what the kernel runs, ELF files and scripts with ``#!``, are 0755.
    """
    runs = bytes(content[:4]).startswith((ELF_MAGIC, SHEBANG))
    return 0o755 if folder or runs else 0o644


def image_name(name: str, *, windows: bool = ON_WINDOWS) -> bytes:
    """Return a name of the host as the bytes an image has: UTF-8 where the host has text.

    Raises:
        InputError: the name holds half of a character, which has no UTF-8.
    """
    if not windows:
        return os.fsencode(name)
    try:
        return name.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"the name {name!a} is not Unicode", hint="rename the file: images hold UTF-8"
        ) from None


def image_target(target: str, *, windows: bool = ON_WINDOWS) -> bytes:
    r"""Return a link's target as an image has it: with slashes, without Windows' ``\\?\``."""
    if windows:
        target = target.removeprefix("\\\\?\\").replace("\\", "/")
    return image_name(target, windows=windows)


def _metadata(status: os.stat_result, content: Buffer, mtime: int, *, folder: bool) -> Metadata:
    if ON_WINDOWS:
        return Metadata(mode=windows_mode(content, folder=folder), mtime=mtime)
    return Metadata(mode=posix_mode(status.st_mode), mtime=mtime)


class _Reader:
    """One folder on its way into a tree."""

    def __init__(
        self, top: Path, mtime: int, limits: Limits, wanted: Callable[[bytes], bool] | None
    ) -> None:
        self._top = top
        self._wanted = wanted
        self._mtime = mtime
        self._limits = limits
        self._content_bytes = 0

    def read(self) -> Tree:
        """Return the tree, folder by folder, with no recursion."""
        try:
            # The folder itself may be named through a link; nothing below is followed.
            top = host_node(self._top.resolve(strict=True), mtime=self._mtime)
        except OSError as error:
            raise unreadable(self._top, error) from None
        except RuntimeError:  # what Python says of a loop of links before 3.13
            raise InputError(f"{self._top} is a loop of links", hint="give a folder") from None
        if not isinstance(top, Directory):
            raise InputError(f"{self._top} is not a folder", hint="give a folder")
        tree = Tree(top)
        pending = [(ROOT, self._top)]
        while pending:
            folder, place = pending.pop()
            for name, entry in self._list(place):
                if folder == ROOT and self._wanted is not None and not self._wanted(name):
                    continue
                found = self._add(tree, folder, name, entry)
                if isinstance(found, Directory):
                    pending.append((join(folder, name), entry))
        return tree

    def _list(self, place: Path) -> list[tuple[bytes, Path]]:
        """Return names and places, sorted as an image sorts them."""
        try:
            return sorted((image_name(entry.name), entry) for entry in place.iterdir())
        except OSError as error:
            raise unreadable(place, error) from None

    def _add(self, tree: Tree, folder: bytes, name: bytes, entry: Path) -> Node:
        source = str(self._top)
        try:
            path = parse_path(join(folder, name))
            self._limits.check_depth(path, source=source)
            self._limits.check_members(len(tree) + 1, source=source)
            node = host_node(entry, mtime=self._mtime, limits=self._limits)
            if isinstance(node, File):
                self._content_bytes += len(node.content)
                self._limits.check_unpacked(self._content_bytes, source=source)
            tree.add(path, node)
        except TreeError as error:
            raise error.within(source) from None
        return node
