"""What a resolution of gems asks: for releases, of whatever knows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from attrs import frozen

from purekernel.fetch.wanted import Wanted
from purekernel.formats.gem.compact import Release


@frozen(kw_only=True)
class Candidate:
    """A release of a gem that might be taken.

    Attributes:
        name: of the gem.
        release: its version, platform, what it needs and requires.
        wanted: its file.
    """

    name: str
    release: Release
    wanted: Wanted


class GemRepository(Protocol):
    """Knows gems' releases: a server, or a lock file."""

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[Candidate, ...]]:
        """Return the releases of each gem, for all platforms, in any order.

        A name that nobody knows is left out; a gem whose releases were all withdrawn has none.
        Asked for several at once, so that they can be fetched at once.
        """
        ...
