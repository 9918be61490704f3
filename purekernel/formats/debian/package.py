"""Read a ``.deb``: an ``ar`` archive of two tar files.

Source: deb(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import evolve, field

from purekernel.errors import FormatError
from purekernel.formats.ar import ArMember, iter_ar
from purekernel.formats.compression import unpack
from purekernel.formats.debian.control import PackageRecord, parse_stanza
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.tar import parse_tar
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer, File, Tree, describe, display

FORMAT_MEMBER, CONTROL_STEM, DATA_STEM = b"debian-binary", b"control.tar", b"data.tar"
CONTROL = b"control"

# The script that dpkg runs after unpacking.
POSTINST = b"postinst"

# Packages with digests of 100,000 files have control files of about 10 MB.
MOST_CONTROL_BYTES = 64 << 20

# A package has three members, or a few more with names that begin with an underscore.
MOST_MEMBERS = 100

_KINDS: Mapping[bytes, FileKind | None] = {
    b".gz": FileKind.GZIP,
    b".xz": FileKind.XZ,
    b".zst": FileKind.ZSTD,
    b".bz2": FileKind.BZIP2,
    b".lzma": FileKind.LZMA,
    b"": None,
}
_ENDINGS = ".gz, .xz, .zst, .bz2, .lzma or none"

# A program may read packages with a higher minor number than it knows.
_VERSION = re.compile(rb"2\.[0-9]+")


@frozen(kw_only=True)
class DebianPackage:
    """A package whose own files are not unpacked yet.

    Attributes:
        record: the content of its control file.
        control: maps names of control files, such as ``postinst``, to their content.
        newest: the latest time of its control files, in seconds since 1970, UTC.
    """

    record: PackageRecord
    control: Mapping[bytes, Buffer] = field(repr=lambda files: repr(list(files)))
    newest: int
    _data: Input = field(repr=False)

    def unpack(self) -> Tree:
        """Return the package's own files, as dpkg unpacks them.

        Owners are the numbers in the archive.

        Raises:
            FormatError: the tar file is damaged.
            LimitError: its size or number of names exceeds the limits of the package.
            TreeError: a name has ``..``, or names contradict each other.
        """
        return _parse_tar(self._data)


def parse_deb(file: Input) -> DebianPackage:
    """Return a package, with its control files unpacked.

    Raises:
        FormatError: the file is not a package of format 2, lacks a member, has its members in
            another order, or a member has an unknown compression.
        LimitError: the control files exceed the limits.
        TreeError: the name of a control file has ``..``.
    """
    limits = evolve(file.limits, members=MOST_MEMBERS)
    members = iter_ar(evolve(file, limits=limits))
    _check_format(next(members, None), file)
    control = _next_member(members, CONTROL_STEM, file, after="debian-binary")
    data = _next_member(members, DATA_STEM, file, after=display(control.name)[1:-1])
    _note_rest(members, data, file)
    archive = _open_member(control, file)
    most = min(file.limits.unpacked_bytes, MOST_CONTROL_BYTES)
    tree = _parse_tar(evolve(archive, limits=evolve(file.limits, unpacked_bytes=most)))
    node = tree.get(CONTROL)
    if not isinstance(node, File):
        raise archive.fail(
            None, "a file named 'control'", "none" if node is None else describe(node)
        )
    stanza = parse_stanza(archive.unpacked(node.content, name=f"{archive.name}: control"))
    return DebianPackage(
        record=PackageRecord.of(stanza),
        control={path: node.content for path, node in tree.walk() if isinstance(node, File)},
        newest=max(node.metadata.mtime for _path, node in tree.walk()),
        data=_open_member(data, file),
    )


def _check_format(member: ArMember | None, file: Input) -> None:
    if member is None or member.name != FORMAT_MEMBER:
        raise file.fail(
            None if member is None else member.offset,
            "a Debian package, whose first member is 'debian-binary'",
            "an empty archive" if member is None else display(member.name),
        )
    version = bytes(member.content[:16]).partition(b"\n")[0]
    if not _VERSION.fullmatch(version):
        raise file.fail(
            member.offset,
            "a package of format 2.0 or a later 2",
            display(version),
            hint="build it again with dpkg-deb --deb-format=2.0",
        )


def _next_member(members: Iterator[ArMember], stem: bytes, file: Input, *, after: str) -> ArMember:
    """Return the next member, which must be the tar file named ``stem``, in any compression.

    Members whose names begin with an underscore may precede it, and are ignored.
    """
    member = next((other for other in members if not other.name.startswith(b"_")), None)
    expected = f"{stem.decode()} after {after}"
    if member is None:
        raise file.fail(None, expected, "the end of the archive")
    if not member.name.startswith(stem):
        raise file.fail(member.offset, expected, display(member.name))
    ending = member.name.removeprefix(stem)
    if ending not in _KINDS:
        raise file.fail(
            member.offset,
            f"{stem.decode()} with the ending {_ENDINGS}",
            display(member.name),
            hint="build the package again with dpkg-deb -Zxz",
        )
    kind = _KINDS[ending]
    if kind is not None and detect(member.content) is not kind:
        raise _open_member(member, file).fail(
            0,
            f"data in the format {ending.decode()}",
            bytes(member.content[:6]).hex(" ") or "nothing",
        )
    return member


def _note_rest(members: Iterator[ArMember], data: ArMember, file: Input) -> None:
    """Report what follows the last member that dpkg reads, unless dpkg ignores it by its name."""
    try:
        is_expected = all(member.name.startswith(b"_") for member in members)
    except FormatError:
        is_expected = False
    if not is_expected:
        rest = len(file) - data.end
        file.note(f"ignored {rest} bytes after {data.name.decode()}, at byte {data.end}")


def _open_member(member: ArMember, file: Input) -> Input:
    # Not file.unpacked(): a tar file without compression is not counted yet.
    name = f"{file.name}: {member.name.decode()}"
    return Input(member.content, name=name, limits=file.limits)


def _parse_tar(member: Input) -> Tree:
    """Return the files in a member, which has no compression if its name ends in ``.tar``."""
    archive = member if member.name.endswith(".tar") else member.unpacked(unpack(member))
    # parse_tar would unpack again what is compressed twice, which dpkg refuses.
    if detect(archive.data) is not FileKind.TAR:
        got = bytes(archive.data[:8]).hex(" ") or "nothing"
        raise member.fail(0, "a tar archive", got)
    return parse_tar(archive)
