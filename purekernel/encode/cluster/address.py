"""Where a cluster's scheduler is: ``dask://HOST:PORT``."""

from __future__ import annotations

import re

from attrs import frozen

from purekernel.errors import UsageError

# What dask calls the way to a scheduler, by what we do.
_WAYS = {"dask": "tcp", "dask+tls": "tls"}

# A name or an address of IPv4, or one of IPv6 in brackets; then a port.
_PLACE = re.compile(r"([^\s/?#@:\[\]]+|\[[^\s/?#@\[\]]+\])(?::([0-9]*))?")

DEFAULT_PORT = 8786  # of 'dask scheduler'
MAX_PORT = 65535

_SHAPE = "give dask://HOST:PORT, the scheduler's of a dask cluster, or dask+tls://HOST:PORT"


@frozen(kw_only=True)
class Address:
    """A scheduler's address.

    Attributes:
        text: as the user gave it.
        url: as dask takes it: ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.
        is_tls: whether all is encrypted, and either side shows a certificate.
    """

    text: str
    url: str
    is_tls: bool

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that ``text`` is.

        Raises:
            UsageError: it is none.
        """
        scheme, _, place = text.partition("://")
        way = _WAYS.get(scheme)
        if way is None:
            raise UsageError(f"{text!r} names no kind of cluster that there is", hint=_SHAPE)
        found = _PLACE.fullmatch(place)
        if found is None:
            raise UsageError(f"{text!r} is not a host and a port", hint=_SHAPE)
        host, port = found[1], int(found[2] or 0)
        if not port:
            raise UsageError(
                f"{text!r} says no port",
                hint=f"a scheduler is at {DEFAULT_PORT} unless it is told otherwise: "
                f"{scheme}://{host}:{DEFAULT_PORT}",
            )
        if port > MAX_PORT:
            raise UsageError(
                f"{text!r} has a port that there is not", hint=f"the last one is {MAX_PORT}"
            )
        return cls(text=text, url=f"{way}://{host}:{port}", is_tls=way == "tls")
