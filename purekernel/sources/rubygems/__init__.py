"""Gems: which releases a list comes to, and where their files are."""

from purekernel.sources.rubygems.repository import Candidate, GemRepository
from purekernel.sources.rubygems.resolution import GemEdge, GemResolution, ResolvedGem
from purekernel.sources.rubygems.resolve import resolve_gems
from purekernel.sources.rubygems.server import GemServer
from purekernel.sources.rubygems.servers import GemServers

__all__ = [
    "Candidate",
    "GemEdge",
    "GemRepository",
    "GemResolution",
    "GemServer",
    "GemServers",
    "ResolvedGem",
    "resolve_gems",
]
