"""In which order the members of the core stand, and where it is cut: so that it gets small.

Like stands beside like, for deflate finds nothing again that lies more than 32 KiB back. What is
packed already comes last, where slow encoders do not waste their time on it.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from purekernel.encode.encoders import Libdeflate
from purekernel.formats.compression import BZIP2_MAGIC, XZ_MAGIC, ZSTD_MAGIC
from purekernel.formats.cpio import Member, iter_members
from purekernel.formats.elf import is_elf
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.squashfs import MAGIC as SQUASHFS_MAGIC
from purekernel.tree import Buffer, Directory, File, Node, Symlink, Tree
from purekernel.tree.path import parent

# What files begin with that are packed, or hold little else: gzip, xz, bzip2, zstd, lz4, squashfs,
# PNG, JPEG, zip, 7z, WOFF2.
_PACKED = (
    GZIP_MAGIC, XZ_MAGIC, BZIP2_MAGIC, ZSTD_MAGIC, b"\x04\x22\x4d\x18", SQUASHFS_MAGIC,
    b"\x89PNG", b"\xff\xd8\xff", b"PK\x03\x04", b"7z\xbc\xaf", b"wOF2",
)  # fmt: skip

# What is tried on a file whose start does not tell: pieces from its start and from its middle.
_TRIAL_BYTES = 1 << 14
_TRIAL = Libdeflate(level=1)
# What shrinks by less than this is packed, whatever it calls itself.
_SHRINKS = 0.97

# How much of a script tells its interpreter.
_INTERPRETER_BYTES = 64

# A text has no NUL so near its start.
_TEXT_BYTES = 1 << 10


class Kind(IntEnum):
    """What a member is, in the order of the archive."""

    EMPTY = 0
    """Folders, devices, links, and files with nothing in them: parents come first of all."""
    TEXT = 1
    OTHER = 2
    PROGRAM = 3
    PACKED = 4


@frozen(kw_only=True)
class Part:
    """Members of one kind, in order."""

    kind: Kind
    members: tuple[Member, ...]


def arrange(tree: Tree) -> list[Part]:
    """Return the members of the core's archive, all but the trailer, kind by kind.

    Within a kind they stand beside what is like them, and else as the tree is walked, so that the
    archive is the same every time.

    Raises:
        UnrepresentableError: the archive has no room for something in the tree.
    """
    *members, _trailer = iter_members(tree)
    found: dict[Kind, list[Member]] = {kind: [] for kind in Kind}
    for member in members:
        is_file = isinstance(tree[member.path], File)
        found[_kind_of(member.content) if is_file else Kind.EMPTY].append(member)
    found[Kind.EMPTY].sort(key=lambda member: _likeness_of_empty(member, tree[member.path]))
    found[Kind.TEXT].sort(key=lambda member: _interpreter(member.content))
    found[Kind.PROGRAM].sort(key=lambda member: (parent(member.path), len(member.content)))
    return [Part(kind=kind, members=tuple(of_kind)) for kind, of_kind in found.items() if of_kind]


def _likeness_of_empty(member: Member, node: Node) -> tuple[int, bytes, int]:
    """Folders as they are walked, parents first; links to the same beside each other."""
    if isinstance(node, Directory):
        return 0, b"", 0
    if isinstance(node, Symlink):
        return 1, node.target, len(member.path)
    return 2, b"", 0


def _interpreter(content: Buffer) -> bytes:
    """Return who runs a script, by its first line; of what is none, what comes last."""
    head = bytes(content[:_INTERPRETER_BYTES])
    return head.split(maxsplit=1)[0] if head.startswith(b"#!/") else b"\xff"


def _kind_of(content: Buffer) -> Kind:
    head = bytes(content[:8])
    if not head:
        return Kind.EMPTY
    if is_elf(head):
        return Kind.PROGRAM
    if _is_packed(content, head):
        return Kind.PACKED
    return Kind.OTHER if b"\0" in bytes(content[:_TEXT_BYTES]) else Kind.TEXT


def _is_packed(content: Buffer, head: bytes) -> bool:
    if not head.startswith(_PACKED) and len(content) < _TRIAL_BYTES:
        return False
    middle = max(len(content) // 2, _TRIAL_BYTES)
    sample = bytes(content[:_TRIAL_BYTES]) + bytes(content[middle : middle + _TRIAL_BYTES])
    return len(_TRIAL.encode(sample)) > _SHRINKS * len(sample)
