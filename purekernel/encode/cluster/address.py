"""Parse the address of a cluster's scheduler: ``dask://HOST:PORT``."""

from __future__ import annotations

import re

from purekernel.errors import UsageError
from purekernel.records import frozen

# dask's names of transports, by our URL schemes.
_TRANSPORTS = {"dask": "tcp", "dask+tls": "tls"}

# A host name, an IPv4 address, or an IPv6 address in brackets; then a port.
_HOST_AND_PORT = re.compile(r"([^\s/?#@:\[\]]+|\[[^\s/?#@\[\]]+\])(?::0*([0-9]*))?")

DEFAULT_PORT = 8786  # the default of 'dask scheduler'
MAX_PORT = 65535

_SHAPE = "give the address of a dask scheduler: dask://HOST:PORT or dask+tls://HOST:PORT"


@frozen(kw_only=True)
class Address:
    """A scheduler's address.

    Attributes:
        text: the address as the user gave it.
        url: the address for dask: ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.
        is_tls: whether the connection is encrypted, with a certificate on either side.
    """

    text: str
    url: str
    is_tls: bool

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address in ``text``.

        Raises:
            UsageError: ``text`` is not a valid address.
        """
        scheme, _, host_and_port = text.partition("://")
        transport = _TRANSPORTS.get(scheme)
        if transport is None:
            raise UsageError(
                f"{text!r}: the scheme must be dask or dask+tls, got {scheme!r}", hint=_SHAPE
            )
        match = _HOST_AND_PORT.fullmatch(host_and_port)
        if match is None:
            raise UsageError(
                f"{text!r}: the scheme must be followed by HOST:PORT, got {host_and_port!r}",
                hint=_SHAPE,
            )
        # Python refuses to convert very long numbers.
        host, digits = match[1], match[2] or "0"
        port = int(digits[: len(str(MAX_PORT)) + 1])
        if not port:
            raise UsageError(
                f"{text!r}: the port is missing",
                hint=f"add the scheduler's port, by default {DEFAULT_PORT}: "
                f"{scheme}://{host}:{DEFAULT_PORT}",
            )
        if port > MAX_PORT:
            raise UsageError(
                f"{text!r}: the port must be from 1 to {MAX_PORT}, got {digits[:40]}", hint=_SHAPE
            )
        return cls(text=text, url=f"{transport}://{host}:{port}", is_tls=transport == "tls")
