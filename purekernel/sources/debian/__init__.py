"""Debian: which packages a list comes to, and where their files are."""

from purekernel.sources.debian.archive import DebianArchive
from purekernel.sources.debian.repository import Candidate, PackageRepository
from purekernel.sources.debian.resolve import (
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
