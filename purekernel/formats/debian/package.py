"""Read a ``.deb``: an ``ar`` archive around two tar files.

Source: deb(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import evolve, field, frozen

from purekernel.errors import FormatError
from purekernel.formats.ar import ArMember, parse_ar
from purekernel.formats.compression import (
    BZIP2_MAGIC,
    LZMA_MAGIC,
    XZ_MAGIC,
    ZSTD_MAGIC,
    unpack,
)
from purekernel.formats.debian.control import parse_stanza
from purekernel.formats.debian.record import PackageRecord
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.tar import is_tar, parse_tar
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.tree import Buffer, File, Tree, describe, display

FORMAT_MEMBER, CONTROL_STEM, DATA_STEM = b"debian-binary", b"control.tar", b"data.tar"
CONTROL = b"control"

# Scripts that dpkg runs; others a package may bring for its own use.
POSTINST = b"postinst"

# The largest, of packages with a digest for each of 100,000 files, have some 10 MB.
MOST_CONTROL_BYTES = 64 << 20

# An archive has four members, or a few more with names that begin with an underscore.
MOST_MEMBERS = 100

_MAGICS: Mapping[bytes, bytes] = {
    b".gz": GZIP_MAGIC,
    b".xz": XZ_MAGIC,
    b".zst": ZSTD_MAGIC,
    b".bz2": BZIP2_MAGIC,
    b".lzma": LZMA_MAGIC,
    b"": b"",
}
_ENDINGS = ".gz, .xz, .zst, .bz2, .lzma or none"

# Minor numbers come with changes that older programs need not know.
_VERSION = re.compile(rb"2\.[0-9]+")


@frozen(kw_only=True)
class DebianPackage:
    """A package, of which the files themselves are still packed.

    Attributes:
        source: its name, for messages.
        record: what it says of itself.
        control: its control files by name, such as ``postinst``.
        newest: the newest time in its control files, in seconds since 1970, UTC.
    """

    source: str
    record: PackageRecord
    control: Mapping[bytes, Buffer] = field(repr=lambda files: repr(list(files)))
    newest: int
    _data: ArMember = field(repr=False)
    _limits: Limits = field(repr=False)

    def unpack(self) -> Tree:
        """Return the package's own files, as dpkg would unpack them.

        Owners are the numbers in the archive.

        Raises:
            FormatError: the tar file is damaged.
            LimitError: it unpacks to more, or has more names, than the limits allow.
            TreeError: a name is absolute or climbs out, or names contradict one another.
        """
        return _parse_tar(self._data, self.source, self._limits)


def parse_deb(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> DebianPackage:
    """Return the package in ``data``; of its own files nothing is unpacked yet.

    Raises:
        FormatError: it is no package of format 2, lacks a part or has its parts in another
            order, or a part has a compression that is not known.
        LimitError: its control files unpack to more than any package's.
        TreeError: the name of a control file is absolute or climbs out.
    """
    members = iter(parse_ar(Input(data, name=source, limits=evolve(limits, members=MOST_MEMBERS))))
    _check_format(next(members, None), source)
    control = _next_part(members, CONTROL_STEM, source, after="debian-binary")
    packed = _next_part(members, DATA_STEM, source, after=display(control.name)[1:-1])
    most = evolve(limits, unpacked_bytes=min(limits.unpacked_bytes, MOST_CONTROL_BYTES))
    tree = _parse_tar(control, source, most)
    place = f"{source}: {control.name.decode()}"
    node = tree.get(CONTROL)
    if not isinstance(node, File):
        raise FormatError(
            source=place,
            expected="a file 'control' in it",
            got="none" if node is None else describe(node),
        )
    files = {path: node.content for path, node in tree.walk() if isinstance(node, File)}
    return DebianPackage(
        source=source,
        record=PackageRecord.of(parse_stanza(node.content, source=f"{place}: control")),
        control=files,
        newest=max(node.metadata.mtime for _path, node in tree.walk()),
        data=packed,
        limits=limits,
    )


def _check_format(member: ArMember | None, source: str) -> None:
    if member is None or member.name != FORMAT_MEMBER:
        raise FormatError(
            source=source,
            offset=None if member is None else member.offset,
            expected="a Debian package, whose first member is 'debian-binary'",
            got="an empty archive" if member is None else display(member.name),
        )
    version = bytes(member.content[:16]).partition(b"\n")[0]
    if not _VERSION.fullmatch(version):
        raise FormatError(
            source=source,
            offset=member.offset,
            expected="a package of format 2.0 or a later 2",
            got=display(version),
            hint="build it again with dpkg-deb --deb-format=2.0",
        )


def _next_part(members: Iterator[ArMember], stem: bytes, source: str, *, after: str) -> ArMember:
    """Return the next member, which must be the tar file of that name, in any compression.

    Members whose names begin with an underscore may stand before it, and mean nothing.
    """
    member = next((one for one in members if not one.name.startswith(b"_")), None)
    words = stem.decode()
    if member is None:
        raise FormatError(
            source=source, expected=f"{words} behind {after}", got="the end of the archive"
        )
    if not member.name.startswith(stem):
        raise FormatError(
            source=source,
            offset=member.offset,
            expected=f"{words} behind {after}",
            got=display(member.name),
        )
    ending = member.name.removeprefix(stem)
    if ending not in _MAGICS:
        raise FormatError(
            source=source,
            offset=member.offset,
            expected=f"{words} with the ending {_ENDINGS}",
            got=display(member.name),
            hint="build the package again with dpkg-deb -Zxz",
        )
    if not bytes(member.content[:8]).startswith(_MAGICS[ending]):
        raise FormatError(
            source=f"{source}: {member.name.decode()}",
            offset=0,
            expected=f"what its ending {ending.decode()} says",
            got=bytes(member.content[:6]).hex(" ") or "nothing",
        )
    return member


def _parse_tar(member: ArMember, source: str, limits: Limits) -> Tree:
    place = f"{source}: {member.name.decode()}"
    plain: Buffer = member.content
    if member.name not in (CONTROL_STEM, DATA_STEM):
        plain = unpack(Input(plain, name=place, limits=limits))
    # What is packed twice is no package; parse_tar would undo both.
    if not is_tar(plain):
        raise FormatError(
            source=place,
            offset=0,
            expected="a tar archive",
            got=bytes(plain[:8]).hex(" ") or "nothing",
        )
    return parse_tar(Input(plain, name=place, limits=limits))
