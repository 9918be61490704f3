"""Debian's packages, and what is said of them."""

from purekernel.formats.debian.names import PackageChoice, parse_choice
from purekernel.formats.debian.package import DebianPackage, parse_deb
from purekernel.formats.debian.record import PackageRecord
from purekernel.formats.debian.relation import Relation, parse_relations
from purekernel.formats.debian.version import DebianVersion

__all__ = [
    "DebianPackage",
    "DebianVersion",
    "PackageChoice",
    "PackageRecord",
    "Relation",
    "parse_choice",
    "parse_deb",
    "parse_relations",
]
