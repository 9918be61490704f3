"""A lock file as a repository of gems."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from purekernel.errors import LockError, RecipeError
from purekernel.fetch.urls import join_url
from purekernel.fetch.wanted import Kind, Wanted
from purekernel.formats.gem import Dependency, Version, parse_listed_gem
from purekernel.formats.gem.compact import Release
from purekernel.repos.rubygems import Candidate
from purekernel.sources.lock import Lock, PinnedGem
from purekernel.sources.locked import pinned


class LockedGems:
    """The gems that a lock file pins."""

    def __init__(self, lock: Lock, servers: Sequence[str], place: Callable[[str], str]) -> None:
        """Know what a lock file pins.

        Args:
            lock: what it says.
            servers: gem servers that may have the files.
            place: makes of a path in the lock one on this host.
        """
        self._servers = servers
        self._place = place
        self._gems: dict[str, list[PinnedGem]] = {}
        for gem in lock.gems:
            self._gems.setdefault(gem.name, []).append(gem)

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[Candidate, ...]]:
        """Return the pinned releases of each gem.

        Raises:
            LockError: the lock file is damaged.
        """
        return {
            name: tuple(map(self._candidate, self._gems[name]))
            for name in names
            if name in self._gems
        }

    def _candidate(self, gem: PinnedGem) -> Candidate:
        try:
            needs = [parse_listed_gem(need, place="the lock file") for need in gem.needs]
            version = Version(gem.version)
        except (RecipeError, ValueError) as error:
            raise LockError(f"the lock file is damaged: {gem.name}: {error}") from None
        urls = tuple(join_url(server, "gems", gem.pin.name) for server in self._servers)
        wanted = Wanted(name=gem.pin.name, urls=urls, kind=Kind.TAR)
        return Candidate(
            name=gem.name,
            release=Release(
                version=version,
                dependencies=tuple(
                    Dependency(name=need.name, requirement=need.requirement) for need in needs
                ),
                sha256=gem.pin.sha256,
            ),
            wanted=pinned(wanted, gem.pin, self._place),
        )
