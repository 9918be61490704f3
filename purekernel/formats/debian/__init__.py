"""Read Debian packages, their control files, and the indexes of archives."""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.formats.debian.control import PackageRecord
    from purekernel.formats.debian.names import DebianVersion, PackageChoice, parse_choice
    from purekernel.formats.debian.package import DebianPackage, parse_deb
    from purekernel.formats.debian.relation import Relation, parse_relations
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "control": "PackageRecord",
            "names": "DebianVersion PackageChoice parse_choice",
            "package": "DebianPackage parse_deb",
            "relation": "Relation parse_relations",
        },
    )

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
