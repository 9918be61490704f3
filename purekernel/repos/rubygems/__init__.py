"""Resolve lists of gems, and locate the gems' files."""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
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
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "resolve": "GemCandidate GemEdge GemRepository GemResolution GemTarget ResolvedGem "
            "resolve_gems",
            "server": "GemServer GemServers",
        },
    )

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
