"""Resolve lists of gems, and locate the gems' files."""

from purekernel.repos.rubygems.repository import GemCandidate, GemRepository
from purekernel.repos.rubygems.resolve import (
    GemEdge,
    GemResolution,
    GemTarget,
    ResolvedGem,
    resolve_gems,
)
from purekernel.repos.rubygems.server import GemServer, GemServers

__all__ = [
    "GemCandidate",
    "GemEdge",
    "GemRepository",
    "GemResolution",
    "GemServer",
    "GemServers",
    "GemTarget",
    "ResolvedGem",
    "resolve_gems",
]
