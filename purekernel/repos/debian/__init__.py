"""Resolve lists of Debian packages, and locate the packages' files."""

from purekernel.repos.debian.archive import DebianArchive
from purekernel.repos.debian.repository import Candidate, PackageRepository
from purekernel.repos.debian.resolve import (
    AskedPackage,
    PackageResolution,
    PackageRules,
    ResolvedPackage,
    resolve_packages,
)

__all__ = [
    "AskedPackage",
    "Candidate",
    "DebianArchive",
    "PackageRepository",
    "PackageResolution",
    "PackageRules",
    "ResolvedPackage",
    "resolve_packages",
]
