"""The mtree format: a text that says what a tree's files are to be."""

from purekernel.formats.mtree.apply import Find, FindInTree, apply_manifest
from purekernel.formats.mtree.entry import SIGNATURE, Entry, Kind, is_mtree
from purekernel.formats.mtree.parser import parse_mtree

__all__ = [
    "SIGNATURE",
    "Entry",
    "Find",
    "FindInTree",
    "Kind",
    "apply_manifest",
    "is_mtree",
    "parse_mtree",
]
