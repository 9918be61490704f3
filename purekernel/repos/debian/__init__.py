"""Resolve lists of Debian packages, and locate the packages' files."""

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
