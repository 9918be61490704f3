"""Send HTTP requests with time limits, and stream the response bodies.

Only this package imports requests and urllib3. Proxies, netrc and certificates come from the
environment, as in requests. The exceptions of these libraries are converted to
:class:`~purekernel.fetch.model.Fault` here.

This package does three things itself. It chooses the credentials of each request, because requests
would send them to more places (:mod:`purekernel.fetch.http.credentials`). It follows redirects,
because requests reads the body of a redirect to its end first, and the body may be endless; a
redirect from https to http is refused. It enforces a time limit for the whole request and a minimum
rate, because a socket's timeout restarts with every byte, so a slow server can send headers
forever. For that, it tracks the connections of each thread, and another thread shuts down the
overdue ones.

This package takes 80 ms to import; import it only where it is used.
"""

from purekernel.fetch.http.faults import Bounds
from purekernel.fetch.http.web import Response, Web

__all__ = ["Bounds", "Response", "Web"]
