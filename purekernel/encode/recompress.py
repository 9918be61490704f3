"""Recompress gzip files: the content, the headers and the order of members stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field

from purekernel.encode.encoders import Encoder, encode_checked
from purekernel.errors import FormatError
from purekernel.formats.detect import FileKind, detect, name_kind
from purekernel.formats.gzip import FEXTRA, FLAGS_OFFSET, TRAILER, iter_members
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
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


@frozen(kw_only=True)
class Recompressed:
    """A recompressed file.

    Attributes:
        data: the file; the old bytes if no member became smaller.
        fresh_bytes: its size if every member were encoded again, smaller or not.
    """

    data: bytes = field(repr=False)
    fresh_bytes: int


def recompress(
    data: Buffer,
    encoders: Sequence[Encoder],
    *,
    source: str,
    is_forced: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Recompressed:
    """Return a gzip file in which each member has the smallest of its old and new streams.

    The new streams are decompressed and compared before they are used.

    Args:
        data: the file.
        encoders: tried on each member.
        source: its name, for messages.
        is_forced: whether a new stream is taken even if the old one is smaller.
        limits: bounds on what it may unpack to.

    Raises:
        FormatError: it is not a gzip file, is damaged, or has an extra field in a header.
        LimitError: it goes over ``limits``.
    """
    if detect(data) is not FileKind.GZIP:
        raise FormatError(
            source=source,
            expected="a gzip file",
            got=name_kind(data) or bytes(data[:8]).hex(" ") or "an empty file",
            hint="name gzip files; they are recognised by their content, not by their names",
        )
    view = memoryview(data)
    edits: list[Edit] = []
    growth_bytes = 0
    for member in iter_members(Input(view, name=source, limits=limits)):
        if view[member.offset + FLAGS_OFFSET] & FEXTRA:
            # BGZF and dictzip say there how long their blocks are, to be read from the middle.
            raise FormatError(
                source=source,
                offset=member.offset,
                expected="a gzip header without an extra field",
                got="one, which may say where in the file things lie",
                hint="it is left as it is: it may be made for reading from the middle",
            )
        end = member.end - TRAILER.size
        edit = Edit(start=member.stream, end=end, data=encode_checked(member.content, encoders))
        growth_bytes += edit.growth_bytes
        if is_forced or edit.growth_bytes < 0:
            edits.append(edit)
    return Recompressed(data=splice(view, edits), fresh_bytes=len(view) + growth_bytes)
