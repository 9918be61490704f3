"""Deflate again what files hold that are deflated: gzip files, PNG images, zip archives.

What they unpack to stays byte for byte, and so does all in them that is not deflated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attrs import field, frozen

from purekernel.encode.encoders import Encoder, encode_checked
from purekernel.errors import FormatError
from purekernel.formats.gzip import FEXTRA, FLAGS_OFFSET, TRAILER, content_start, iter_members
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.png import MAGIC as PNG_MAGIC
from purekernel.formats.png import parse_png, replace_pixels
from purekernel.formats.splice import Edit, splice
from purekernel.formats.zip import (
    DEFLATED,
    STORED,
    Archive,
    Packed,
    find_end,
    parse_zip,
    replace_members,
    unpack_member,
)
from purekernel.tree import Buffer

# What an EPUB or OpenDocument file starts with says what it is, and must be readable as it stands.
# (Source: EPUB OCF 3.3, 4.3; OpenDocument 1.3, part 2, 3.3.)
_TYPE_NAME = b"mimetype"


@frozen(kw_only=True)
class Recompressed:
    """A file that says the same.

    Attributes:
        data: the file; the old one, where nothing in it became smaller.
        fresh_bytes: its size if all in it were encoded anew, smaller or not.
        notes: what was left alone that one might expect otherwise, and why.
    """

    data: bytes = field(repr=False)
    fresh_bytes: int
    notes: tuple[str, ...] = ()


def recompress(
    data: Buffer,
    encoders: Sequence[Encoder],
    *,
    source: str,
    is_forced: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Recompressed:
    """Return a gzip, PNG or zip file with the smallest of its old and new deflate streams.

    Its kind is told by its content. What it unpacks to was compared.

    Args:
        data: the file.
        encoders: what is tried on each stream.
        source: its name, for messages.
        is_forced: whether new streams are taken even if the old ones are smaller.
        limits: bounds on what it may unpack to.

    Raises:
        FormatError: it is of no such kind, is damaged, or has something that would be lost.
        LimitError: it goes over ``limits``.
    """
    head = bytes(data[: len(PNG_MAGIC)])
    if head.startswith(GZIP_MAGIC):
        return _recompress_gzip(data, encoders, source, is_forced, limits)
    if head == PNG_MAGIC:
        return _recompress_png(data, encoders, source, is_forced, limits)
    if find_end(data) is not None:
        archive = parse_zip(data, source=source, limits=limits)
        return _recompress_zip(archive, encoders, is_forced, limits)
    raise FormatError(
        source=source,
        expected="a gzip file, a PNG image or a zip archive",
        got=head.hex(" ") or "an empty file",
        hint="name files of these kinds; they are told by their content, not by their names",
    )


def _recompress_gzip(
    data: Buffer, encoders: Sequence[Encoder], source: str, is_forced: bool, limits: Limits
) -> Recompressed:
    view = memoryview(data)
    edits: list[Edit] = []
    growth_bytes = 0
    for member in iter_members(view, source=source, limits=limits):
        if view[member.offset + FLAGS_OFFSET] & FEXTRA:
            # BGZF and dictzip say there how long their blocks are, to be read from the middle.
            raise FormatError(
                source=source,
                offset=member.offset,
                expected="a gzip header without an extra field",
                got="one, which may say where in the file things lie",
                hint="it is left as it is: it may be made for reading from the middle",
            )
        start = member.offset + content_start(view[member.offset :], source=source)
        end = member.end - TRAILER.size
        edit = Edit(start=start, end=end, data=encode_checked(member.content, encoders))
        growth_bytes += edit.growth_bytes
        if is_forced or edit.growth_bytes < 0:
            edits.append(edit)
    return Recompressed(data=splice(view, edits), fresh_bytes=len(view) + growth_bytes)


def _recompress_png(
    data: Buffer, encoders: Sequence[Encoder], source: str, is_forced: bool, limits: Limits
) -> Recompressed:
    image = parse_png(data, source=source, limits=limits)
    fresh = replace_pixels(image, encode_checked(image.content, encoders))
    is_taken = is_forced or len(fresh) < len(data)
    return Recompressed(data=fresh if is_taken else bytes(data), fresh_bytes=len(fresh))


def _recompress_zip(
    archive: Archive, encoders: Sequence[Encoder], is_forced: bool, limits: Limits
) -> Recompressed:
    replaced: dict[int, Packed] = {}
    hindrances: Counter[str] = Counter()
    growth_bytes = 0
    first = min((member.header for member in archive.members), default=0)
    for index, member in enumerate(archive.members):
        if member.hindrance:
            hindrances[member.hindrance] += 1
            continue
        content = unpack_member(archive, member, limits=limits)
        if not content or (member.name == _TYPE_NAME and member.header == first):
            continue
        packed = Packed(method=DEFLATED, data=encode_checked(content, encoders))
        # Who reads a stream cannot tell where a stored member ends that has its size behind it.
        if len(content) <= len(packed.data) and (
            member.descriptor is None or member.method == STORED
        ):
            packed = Packed(method=STORED, data=content)
        member_growth = len(packed.data) - member.packed_bytes
        growth_bytes += member_growth
        if is_forced or member_growth < 0:
            replaced[index] = packed
    notes = tuple(
        f"{archive.source}: {count} members are left as they are: {why}"
        if count > 1
        else f"{archive.source}: a member is left as it is: {why}"
        for why, count in hindrances.items()
    )
    return Recompressed(
        data=replace_members(archive, replaced),
        fresh_bytes=len(archive.data) + growth_bytes,
        notes=notes,
    )
