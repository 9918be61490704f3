"""A tree on its way to be laid over another, with what its maker meant by it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from purekernel.tree.tree import Tree

Stated = Mapping[bytes, frozenset[str]]
"""For a path, the names of the :class:`Metadata` fields that were said on purpose."""

NOTHING_STATED: Stated = {}


@frozen(kw_only=True)
class Layer:
    """An overlay as it was read.

    Attributes:
        source: where it came from, for messages.
        tree: what it holds.
        stated: the metadata that a manifest says in so many words. All other metadata
            is a by-product of how the layer was made: owners become root's, and folders
            that the base has keep the base's.
    """

    source: str
    tree: Tree
    stated: Stated = field(factory=dict)
