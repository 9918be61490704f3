"""Several gem servers, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from purekernel.errors import CombinedError, DownloadError, PurekernelError, raise_all
from purekernel.fetch.urls import redact
from purekernel.fetch.wanted import Fetcher
from purekernel.sources.rubygems.repository import Candidate
from purekernel.sources.rubygems.server import GemServer


class GemServers:
    """Gem servers that may have the same gems, or some of their own.

    Of each gem, the first server that knows it says which releases there are: a name that a
    server of one's own has is not looked up at another, where anybody may have taken it.
    RubyGems itself takes the newest release that any of them has, so that the image would
    depend on what others publish.

    A server that fails is passed over from then on, so that one run does not take its gems now
    from here and now from there; :attr:`notes` says so.
    """

    def __init__(self, servers: Sequence[str], downloads: Fetcher) -> None:
        """Make a repository of gems.

        Args:
            servers: URLs or folders, in the order in which they are asked.
            downloads: fetches files.
        """
        addresses = tuple(dict.fromkeys(servers))
        self._servers = {
            address: GemServer(
                address, downloads, others=[other for other in addresses if other != address]
            )
            for address in addresses
        }
        self._failed: dict[str, PurekernelError] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know: which servers were passed over, and why, a line each."""
        return tuple(
            f"the gem server {redact(address)} was passed over, and what it may know was asked of "
            f"the others: {_each(error)[0]}"
            for address, error in self._failed.items()
        )

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[Candidate, ...]]:
        """Return the releases of each gem that a server knows.

        A server that cannot be asked is passed over, if the others know all that is asked for.

        Raises:
            DownloadError: something cannot be fetched, or an address is no gem server's, and
                the others do not know all names.
            CombinedError: several of these.
            FormatError: an index is damaged.
            LimitError: an index goes over a bound.
        """
        found: dict[str, tuple[Candidate, ...]] = {}
        for address, server in self._servers.items():
            rest = [name for name in names if name not in found]
            if not rest:
                break
            if address in self._failed:
                continue
            try:
                found.update(server.versions(rest))
            except (DownloadError, CombinedError) as error:
                if not all(isinstance(one, DownloadError) for one in _each(error)):
                    raise
                self._failed[address] = error
        if any(name not in found for name in names):
            # Whether one that failed knows the rest, nobody can tell.
            raise_all(self._failed.values())
        return found


def _each(error: PurekernelError) -> Sequence[PurekernelError]:
    return error.errors if isinstance(error, CombinedError) else (error,)
