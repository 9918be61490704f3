"""Choose the user and password of a request: those of its URL, or those of ``~/.netrc``.

A password is sent only to the origin that it belongs to: scheme, host and port. After a redirect to
another origin, the password of the first URL is not sent. Requests would look up the new host in
netrc whatever its port and scheme; any server could then make us send a password in plain text, or
to another program on the password's host.

Source: RFC 6454 for origins, netrc(5) and the GNU inetutils manual for the file.
"""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}

Credentials = tuple[str, str] | None


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a web URL; the port is ``None`` if it is out of range."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    try:
        port = parts.port or _DEFAULT_PORTS.get(scheme)
    except ValueError:
        port = None
    return scheme, (parts.hostname or "").lower(), port


class Netrc:
    """The users and passwords in a netrc file.

    The name of a ``machine`` may end in a colon and a port. Without one, an entry belongs to the
    ports of the URLs that the user gives, and to the default port of https.

    Args:
        entries: for each machine, the login, the account and the password.
    """

    def __init__(self, entries: dict[str, tuple[str, str, str]]) -> None:
        self._entries = entries

    @classmethod
    def load(cls) -> Netrc:
        """Read the file that ``NETRC`` names, or ``~/.netrc`` or ``~/_netrc``.

        A file that is missing or damaged has no entries.
        """
        named = os.environ.get("NETRC")
        for name in (named,) if named is not None else ("~/.netrc", "~/_netrc"):
            try:
                path = Path(name).expanduser()
                if path.exists():
                    return cls(dict(netrc.netrc(str(path)).hosts))
            except (OSError, ValueError, RuntimeError, netrc.NetrcParseError):
                return cls({})
        return cls({})

    def for_given(self, url: str) -> Credentials:
        """Return the credentials for a URL that the user gave."""
        _scheme, host, port = origin_of(url)
        return self._first(f"{host}:{port}", host, "default")

    def for_redirect(self, url: str) -> Credentials:
        """Return the credentials for a URL of another origin that a server redirects to."""
        scheme, host, port = origin_of(url)
        if scheme != "https":
            return None
        names = [f"{host}:{port}", *([host] if port == _DEFAULT_PORTS[scheme] else [])]
        return self._first(*names)

    def _first(self, *names: str) -> Credentials:
        for name in names:
            if (entry := self._entries.get(name)) is not None:
                login, account, password = entry
                return (login or account or "", password or "") if any(entry) else None
        return None
