"""Map the names of an archive's members to paths, and report what is dropped or replaced.

An archive to which members were appended (``tar -r``, ``cpio --append``) has some names twice. All
programs that unpack it let the last member win, and all take names as relative to the folder that
they unpack to.
"""

from __future__ import annotations

from attrs import evolve

from purekernel.errors import ConflictError, FormatError, TreeError
from purekernel.input import Input
from purekernel.tree import ROOT, Directory, Node, describe, display, parse_path


class MemberNames:
    """Tracks the members of one archive by path; :meth:`report` sends one note for each finding."""

    def __init__(self, file: Input) -> None:
        self._file = file
        self._offsets: dict[bytes, int] = {}
        self._replaced = 0
        self._replaced_example = ""
        self._absolute = 0
        self._absolute_example = b""

    def parse(self, raw: bytes) -> bytes:
        """Return the path for a name in the archive; leading slashes are removed.

        Raises:
            PathError: the name is empty, contains ``..`` or a NUL, or is longer than Linux allows.
        """
        if raw.startswith(b"/"):
            self._absolute += 1
            self._absolute_example = self._absolute_example or raw
            raw = raw.lstrip(b"/") or b"."
        return parse_path(raw)

    def check_kind(self, path: bytes, old: Node | None, new: Node, offset: int) -> None:
        """Raise FormatError if one of two nodes at ``path`` is a folder and the other is not.

        Args:
            path: the path of both.
            old: the node of an earlier member, or ``None``.
            new: the node of the member at ``offset``.
            offset: where the member starts, in bytes.
        """
        if path == ROOT and not isinstance(new, Directory):
            raise self._file.fail(offset, "a folder at '.'", describe(new))
        if old is None or isinstance(old, Directory) == isinstance(new, Directory):
            return
        raise self._conflict(path, describe(old), describe(new), offset)

    def _conflict(self, path: bytes, old: str, new: str, offset: int) -> FormatError:
        first = self._offsets.get(path)
        where = "as the folder of other members" if first is None else f"as at byte {first}"
        return self._file.fail(
            offset,
            f"{display(path)} to be {old}, {where}",
            new,
            hint="pack the archive again with only one member of this name",
        )

    def locate(self, error: TreeError, offset: int) -> TreeError:
        """Return ``error`` with the position of its member, for the caller to raise.

        The default hint of a conflict is about an overlay and its base; here it is one archive.
        """
        if isinstance(error, ConflictError):
            error.hint = "pack the archive again without members below a file or link"
        return error.within(self._file.at(offset))

    def place(self, path: bytes, old: Node | None, new: Node, offset: int) -> None:
        """Record that the member at ``offset`` makes ``new`` at ``path``.

        A member that differs from an earlier one of this archive counts as replacing it. Tools add
        a folder again whenever a file in it changes, so that its time does not count.

        Args:
            path: the path of the member.
            old: the node that was there, or ``None``.
            new: the node that is there now.
            offset: where the member starts, in bytes.
        """
        first = self._offsets.get(path)
        self._offsets[path] = offset
        if first is None or old is None or _undated(old) == _undated(new):
            return
        self._replaced += 1
        self._replaced_example = self._replaced_example or (
            f"{display(path)} at byte {offset} replaces the one at byte {first}"
        )

    def is_placed(self, path: bytes) -> bool:
        """Return whether a member of this archive is at ``path``."""
        return path in self._offsets

    def report(self) -> None:
        """Send a note about replaced members, and one about absolute names."""
        if self._replaced:
            what = "1 member replaces an earlier one of the same name:"
            if self._replaced > 1:
                what = (
                    f"{self._replaced} members replace earlier ones of the same name; for example"
                )
            self._file.note(f"{what} {self._replaced_example}")
        if self._absolute:
            names = "1 name:" if self._absolute == 1 else f"{self._absolute} names, such as"
            example = display(self._absolute_example)
            self._file.note(f"removed the leading '/' from {names} {example}")


def _undated(node: Node) -> Node:
    """Return ``node``, without its time if it is a folder."""
    if isinstance(node, Directory):
        return evolve(node, metadata=evolve(node.metadata, mtime=0))
    return node
