"""Read and write the mtree format: manifests that describe the files of a tree."""

from purekernel.formats.mtree.apply import Find, FindInTree, apply_manifest
from purekernel.formats.mtree.entry import SIGNATURE, EntryType, ManifestEntry, is_mtree
from purekernel.formats.mtree.parser import parse_mtree
from purekernel.formats.mtree.writer import build_mtree

__all__ = [
    "SIGNATURE",
    "EntryType",
    "Find",
    "FindInTree",
    "ManifestEntry",
    "apply_manifest",
    "build_mtree",
    "is_mtree",
    "parse_mtree",
]
