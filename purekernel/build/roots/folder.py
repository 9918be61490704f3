"""A root file system in a folder of the host: what changed in it is changed there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from purekernel.errors import OutputError, UsageError
from purekernel.interruption import undisturbed
from purekernel.sources.folder import ON_WINDOWS
from purekernel.tree import Directory, File, Node, Symlink, Tree, describe, display


@frozen(kw_only=True)
class FolderRoot:
    """A root file system that lies unpacked; see :class:`purekernel.build.roots.root.Root`."""

    folder: Path
    tree: Tree
    notes: tuple[str, ...]
    mtime: int

    def save(self, changed: Tree, output: Path | None = None) -> None:
        """Change on the host what differs between the two trees: files, links and folders.

        Each name has what it had or what it is to have, at any time. Owners and times are those
        that the host gives.

        Raises:
            UsageError: there is an ``output``.
            OutputError: something cannot be written.
        """
        if output is not None:
            raise UsageError(
                f"{self.folder} is a folder, and is changed where it is",
                hint="leave out --output, or copy the folder first",
            )
        for path, _node in reversed(list(self.tree.walk())):
            if path not in changed:
                with _located(self._place(path)):
                    self._place(path).unlink()
        for path, node in changed.walk():
            if self.tree.get(path) != node:
                with _located(self._place(path)):
                    _write(self._place(path), path, node)

    def _place(self, path: bytes) -> Path:
        text = path.decode("utf-8", "strict") if ON_WINDOWS else os.fsdecode(path)
        return self.folder.joinpath(*text.split("/"))


def _write(place: Path, path: bytes, node: Node) -> None:
    if isinstance(node, Directory):
        place.mkdir(exist_ok=True)
        return
    temporary = place.with_name(f".purekernel.{secrets.token_hex(6)}.part")
    try:
        if isinstance(node, Symlink):
            temporary.symlink_to(os.fsdecode(node.target))
        elif isinstance(node, File):
            with temporary.open("xb") as stream:
                stream.write(node.content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(node.metadata.mode)
        else:
            raise OutputError(f"{display(path)} is {describe(node)}, and is not made in a folder")
        with undisturbed():
            temporary.replace(place)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def _located(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{place} cannot be written: {error.strerror or error}",
            hint="check who owns the folder, and the free space; what was written before stays",
        ) from None
