"""Change parts of a file, and keep all else byte for byte."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen

from purekernel.tree import Buffer


@frozen(kw_only=True)
class Edit:
    """Other bytes for a part of a file.

    Attributes:
        start: the first byte that is replaced.
        end: the first byte that is not.
        data: what comes in their place.
    """

    start: int
    end: int
    data: Buffer = field(repr=False)

    @property
    def growth_bytes(self) -> int:
        """Return by how much what follows moves; less than 0 is towards the start."""
        return len(self.data) - (self.end - self.start)


def splice(data: Buffer, edits: Iterable[Edit]) -> bytes:
    """Return ``data`` with ``edits`` made, none of which overlap; positions are the old ones."""
    view = memoryview(data)
    pieces: list[Buffer] = []
    here = 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        if edit.start < here:
            raise AssertionError  # two edits of one place: the caller's fault
        pieces += (view[here : edit.start], edit.data)
        here = edit.end
    pieces.append(view[here:])
    return b"".join(pieces)
