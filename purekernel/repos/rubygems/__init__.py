"""Resolve lists of gems, and locate the gems' files."""

from purekernel.repos.rubygems.resolve import (
    GemCandidate,
    GemEdge,
    GemRepository,
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
