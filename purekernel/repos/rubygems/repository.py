"""Define the interface that a resolution of gems looks up releases through."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from attrs import frozen

from purekernel.fetch.model import Download
from purekernel.formats.gem.compact import GemRelease


@frozen(kw_only=True)
class GemCandidate:
    """A release of a gem that a resolution can select.

    Attributes:
        name: name of the gem.
        release: its version, platform, dependencies and required Ruby and RubyGems.
        download: the release's file.
    """

    name: str
    release: GemRelease
    download: Download


class GemRepository(Protocol):
    """A source of releases of gems: a server, or a lock file."""

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
        """Return the releases of each gem, for all platforms, in any order.

        The result has no entry for an unknown name, and an empty entry for a gem whose releases
        were all withdrawn. One call takes several names so that they can be fetched in parallel.
        """
        ...
