"""Several gem servers, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from purekernel.errors import CombinedError, DownloadError, PurekernelError
from purekernel.sources.rubygems.repository import Candidate, Downloads
from purekernel.sources.rubygems.server import GemServer


class GemServers:
    """Gem servers that may have the same gems, or some of their own.

    Of each gem, the first server that knows it says which releases there are: a name that a
    server of one's own has is never looked up at another.
    """

    def __init__(self, servers: Sequence[str], downloads: Downloads) -> None:
        """Make a repository of gems.

        Args:
            servers: URLs or folders, in the order in which they are asked.
            downloads: fetches files.
        """
        addresses = tuple(dict.fromkeys(server.rstrip("/") for server in servers))
        self._servers = tuple(
            GemServer(address, downloads, others=[other for other in addresses if other != address])
            for address in addresses
        )

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[Candidate, ...]]:
        """Return the releases of each gem that a server knows.

        A server that cannot be asked is passed over, if the others know all that is asked for.

        Raises:
            DownloadError: something cannot be fetched, or no address is a gem server's.
            FormatError: an index is damaged.
            LimitError: an index goes over a bound.
        """
        found: dict[str, tuple[Candidate, ...]] = {}
        passed_over: list[PurekernelError] = []
        for server in self._servers:
            rest = [name for name in names if name not in found]
            if not rest:
                break
            try:
                found.update(server.versions(rest))
            except (DownloadError, CombinedError) as error:
                if not _is_of_downloads(error):
                    raise
                passed_over.append(error)
        if passed_over and any(name not in found for name in names):
            raise passed_over[0]
        return found


def _is_of_downloads(error: PurekernelError) -> bool:
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    return all(isinstance(one, DownloadError) for one in errors)
