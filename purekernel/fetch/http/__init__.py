"""Ask web servers: one request, its bounds, and an answer whose body is a stream.

The one importer of requests, and of urllib3 beneath it. Proxies, netrc and certificates are
taken from the environment as requests takes them. What these libraries raise ends here, as a
:class:`~purekernel.fetch.wanted.Fault`.

Two things requests leaves to us. A redirect is followed here, for requests would first read
its body to the end, which need not have one. And a socket's time-out runs from byte to byte,
so a server may take for ever over its headers, one byte now and then: the connections of each
thread are noted, and another thread, which looks at the clock, shuts them.

This package takes 80 ms to import: import it where it is used.
"""

from purekernel.fetch.http.web import Answer, Web

__all__ = ["Answer", "Web"]
