"""Hold an overlay: a tree and the metadata that its author set explicitly."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from purekernel.tree.tree import Tree

Stated = Mapping[bytes, frozenset[str]]
"""For a path, the names of the :class:`Metadata` fields that were set explicitly."""

NOTHING_STATED: Stated = {}


@frozen(kw_only=True)
class Layer:
    """An overlay that has been read.

    Attributes:
        source: the origin of the overlay, for messages.
        tree: its files and folders.
        stated: the metadata fields that a manifest sets explicitly. All other metadata
            is a by-product of how the layer was made: owners become root, and folders
            that exist in the base keep the base's metadata.
    """

    source: str
    tree: Tree
    stated: Stated = field(factory=dict)
