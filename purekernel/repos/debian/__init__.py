"""Resolve lists of Debian packages, and locate the packages' files."""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.repos.debian.archive import DebianArchive
    from purekernel.repos.debian.resolve import (
        ListedPackage,
        PackageCandidate,
        PackageRepository,
        PackageResolution,
        PackageRules,
        ResolvedPackage,
        resolve_packages,
    )
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "archive": "DebianArchive",
            "resolve": "ListedPackage PackageCandidate PackageRepository PackageResolution "
            "PackageRules ResolvedPackage resolve_packages",
        },
    )

__all__ = [
    "DebianArchive",
    "ListedPackage",
    "PackageCandidate",
    "PackageRepository",
    "PackageResolution",
    "PackageRules",
    "ResolvedPackage",
    "resolve_packages",
]
