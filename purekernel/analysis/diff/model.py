"""Define what differs between two images."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field

from purekernel.errors import PurekernelError
from purekernel.records import frozen
from purekernel.tree import Node


class ChangeKind(Enum):
    """What happened to a file."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"


class Aspect(Enum):
    """What of a file changed."""

    CONTENT = "content"
    TYPE = "type"
    """A file became a link, or the like."""
    MODE = "mode"
    OWNER = "owner"
    TIME = "time"
    LINK = "link"
    """The target of a symbolic link."""
    DEVICE = "device"
    XATTRS = "xattrs"
    HARD_LINKS = "hard-links"
    """The other names of the same file."""
    STRUCTURE = "structure"
    """How an image boots, its partitions, and the fields of its volume."""
    PACKING = "packing"
    """The bytes of an archive differ, and nothing that it holds."""


@frozen(kw_only=True)
class FactChange:
    """A property that changed.

    Attributes:
        subject: what it is, such as ``timeout``.
        old: the old value; ``None`` if it had none, or is a list.
        new: the new value, likewise.
        removed: for a list, the items that are gone.
        added: the items that are new.
    """

    subject: str
    old: str | None = None
    new: str | None = None
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


Fact = str | tuple[str, ...]
"""A property: one value, or a list of items."""


@frozen(kw_only=True)
class Cost:
    """What something takes in the image, packed.

    Attributes:
        old_bytes: its size in the old image.
        new_bytes: its size in the new one.
        is_estimate: whether each file was packed alone, at a low level, to estimate the sizes.
    """

    old_bytes: int = 0
    new_bytes: int = 0
    is_estimate: bool = False

    @property
    def more_bytes(self) -> int:
        """How much more the new one takes."""
        return self.new_bytes - self.old_bytes


@frozen(kw_only=True, eq=False)
class Change:
    """A file, folder, link or device that differs.

    Attributes:
        kind: what happened to it.
        place: the archive that it is in, as an address inside the image; empty for the image.
        path: its path there; of the new name if it was renamed.
        old_path: the old path if it was renamed.
        old: the old node; ``None`` if it was added.
        new: the new node; ``None`` if it was removed.
        aspects: what changed, in the order of :class:`Aspect`.
        names: how many names were added, removed or renamed: more than 1 for a folder.
        cost: what it takes; ``None`` if nothing that is packed changed.
        old_links: the other names of the old file.
        new_links: the other names of the new file.
        facts: how the structure of an archive differs, and what the entries of a boot menu are.
        is_entered: whether it is an archive whose content was compared, too.
    """

    kind: ChangeKind
    place: str
    path: bytes
    old_path: bytes | None = None
    old: Node | None = field(default=None, repr=False)
    new: Node | None = field(default=None, repr=False)
    aspects: tuple[Aspect, ...] = ()
    names: int = 1
    cost: Cost | None = None
    old_links: tuple[bytes, ...] = ()
    new_links: tuple[bytes, ...] = ()
    facts: tuple[FactChange, ...] = ()
    is_entered: bool = False


@frozen(kw_only=True)
class Side:
    """One of the two that are compared.

    Attributes:
        address: its address.
        kind: what it is, for messages.
        size_bytes: its size; ``None`` for a folder.
    """

    address: str
    kind: str
    size_bytes: int | None = None


@frozen(kw_only=True, eq=False)
class Comparison:
    """What differs between two images.

    Attributes:
        old: the old image.
        new: the new one.
        changes: all changes: an archive, then what changed in it.
        facts: how the structure of the image itself differs.
        is_repacked: whether the bytes of the image differ, and nothing that was compared.
        faults: what could not be read, and why.
    """

    old: Side
    new: Side
    changes: tuple[Change, ...] = ()
    facts: tuple[FactChange, ...] = ()
    is_repacked: bool = False
    faults: tuple[PurekernelError, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not (self.changes or self.facts or self.is_repacked)

    def count(self, kind: ChangeKind) -> int:
        """Return how many names are of a kind of change."""
        return sum(change.names for change in self.changes if change.kind is kind)


def compare_facts(old: Mapping[str, Fact], new: Mapping[str, Fact]) -> tuple[FactChange, ...]:
    """Return the properties that differ, those of ``old`` first."""
    changes = []
    for subject in dict.fromkeys((*old, *new)):
        before, after = old.get(subject), new.get(subject)
        if before == after:
            continue
        if isinstance(before or (), tuple) and isinstance(after or (), tuple):
            changes.append(_compare_items(subject, before or (), after or ()))
        else:
            changes.append(FactChange(subject=subject, old=_joined(before), new=_joined(after)))
    return tuple(changes)


def _compare_items(subject: str, before: Fact, after: Fact) -> FactChange:
    removed, added = _left_over(before, after), _left_over(after, before)
    if not removed and not added:
        return FactChange(subject=f"{subject}, in another order")
    return FactChange(subject=subject, removed=removed, added=added)


def _left_over(items: Fact, others: Fact) -> tuple[str, ...]:
    """Return the items that are not among ``others``; equal ones count one by one."""
    counts: dict[str, int] = {}
    for each in others:
        counts[each] = counts.get(each, 0) + 1
    left = []
    for each in items:
        if counts.get(each):
            counts[each] -= 1
        else:
            left.append(each)
    return tuple(left)


def _joined(fact: Fact | None) -> str | None:
    return " ".join(fact) if isinstance(fact, tuple) else fact
