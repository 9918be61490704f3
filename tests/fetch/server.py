"""A web server on 127.0.0.1 that follows HTTP/1.1, and violates it where a test requires it.

Files have a strong ETag and a date. The server supports ranges (RFC 9110, 13 and 14).
A script for a path has one answer for each of the next requests. After the last one, the
server sends the file.
"""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from attrs import define, field

from purekernel.records import frozen

Address = tuple[str, int]
Answer = Callable[["Exchange"], None]

MODIFIED = "Thu, 14 Nov 2013 10:00:00 GMT"
PIECE_BYTES = 64 << 10

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@define(kw_only=True)
class Asked:
    """One request and its response.

    Attributes:
        method: ``GET`` and the like.
        target: the request target in the request line.
        headers: by name, in lower case.
        connection: the number of the connection, from 1.
        status: of the response; 0 if the server sent none.
        sent_bytes: of the body of the response.
    """

    method: str
    target: str
    headers: dict[str, str]
    connection: int
    status: int = 0
    sent_bytes: int = 0


@frozen(kw_only=True)
class Served:
    """A file and the headers of its response."""

    content: bytes
    headers: dict[str, str]

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


@define
class _State:
    """State that the threads of one server share."""

    files: dict[str, Served] = field(factory=dict)
    scripts: dict[str, list[Answer]] = field(factory=dict)
    asked: list[Asked] = field(factory=list)
    errors: list[BaseException] = field(factory=list)
    open: set[socket.socket] = field(factory=set)
    connections: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(factory=threading.Lock)


class Exchange(http.server.BaseHTTPRequestHandler):
    """A connection and its current request."""

    protocol_version = "HTTP/1.1"
    # Header and body are two writes. With Nagle's algorithm, they arrive 40 ms apart.
    disable_nagle_algorithm = True
    server: _Listener

    def setup(self) -> None:
        if self.server.tls is not None:
            # In the thread of the connection, because a client may be slow or disconnect.
            self.request = self.server.tls.wrap_socket(
                self.request, server_side=True, suppress_ragged_eofs=True
            )
            self.server.track(self.request)
        super().setup()
        state = self.server.state
        with state.lock:
            state.connections += 1
            self.number = state.connections

    def finish(self) -> None:
        super().finish()
        if self.server.tls is not None:
            self.server.shutdown_request(self.request)

    def answer(self) -> None:
        """Record the request; respond as the script says, or with the file."""
        self.asked = Asked(
            method=self.command,
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            connection=self.number,
        )
        state = self.server.state
        with state.lock:
            state.asked.append(self.asked)
            script = state.scripts.get(self.path)
            scripted = script.pop(0) if script else None
        if scripted is not None:
            scripted(self)
        else:
            self.give()

    do_GET = do_HEAD = do_CONNECT = answer  # noqa: N815  # names of the base class

    def give(
        self, *, until: int | None = None, ranges: bool = True, between: float | None = None
    ) -> None:
        """Serve the file, in whole or in part, or respond with 404.

        Args:
            until: the number of bytes of the body to send before the connection is closed.
            ranges: whether Range headers are respected.
            between: seconds between pieces of 4 KiB.
        """
        served = self.server.state.files.get(self.path)
        if served is None:
            self.say(404, b"no such file\n")
            return
        if self._is_unchanged(served):
            self.begin(304, served.headers)
            return
        content, headers, status = served.content, dict(served.headers), 200
        asked = _RANGE.fullmatch(self.headers.get("Range", "")) if ranges else None
        if asked and self.headers.get("If-Range") in (None, *self._validators(served)):
            first, total = int(asked[1]), len(content)
            if first >= total:
                self.say(416, b"", {"Content-Range": f"bytes */{total}"})
                return
            content, status = content[first:], 206
            headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
        self.begin(status, {"Content-Length": str(len(content)), **headers})
        self.send_body(content if until is None else content[:until], between=between)
        if until is not None:
            self.hang_up()

    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Respond with a status and a body."""
        self.begin(status, {"Content-Length": str(len(body)), **(headers or {})})
        self.send_body(body)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the status line and the headers of a response."""
        self.asked.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_body(self, body: bytes, *, between: float | None = None) -> None:
        """Send a body in pieces, unless the request is HEAD."""
        if self.command == "HEAD":
            return
        step = PIECE_BYTES if between is None else 4 << 10
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            self.wfile.write(piece)
            self.asked.sent_bytes += len(piece)
            if between is not None:
                time.sleep(between)

    def send_raw(self, content: bytes) -> None:
        """Send bytes unchanged."""
        self.wfile.write(content)
        self.asked.sent_bytes += len(content)

    def hang_up(self) -> None:
        """Close the connection after this response."""
        self.close_connection = True

    @staticmethod
    def letting_go() -> suppress:
        """Return a context manager that ignores errors of a disconnected client."""
        return suppress(OSError)

    def wait_for_the_end(self) -> None:
        """Send nothing until the client disconnects or the server is stopped."""
        self.hang_up()
        with suppress(OSError):
            self.connection.recv(1)

    def _is_unchanged(self, served: Served) -> bool:
        tag, date = self._validators(served)
        if (known := self.headers.get("If-None-Match")) is not None:
            return tag is not None and known.removeprefix("W/") == tag.removeprefix("W/")
        known = self.headers.get("If-Modified-Since")
        return known is not None and known == date

    @staticmethod
    def _validators(served: Served) -> tuple[str | None, str | None]:
        return served.header("ETag"), served.header("Last-Modified")

    def log_message(self, *_arguments: Any) -> None:
        """Print nothing."""


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, state: _State, tls: ssl.SSLContext | None) -> None:
        self.state = state
        self.tls = tls
        super().__init__(("127.0.0.1", 0), Exchange)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.track(request)
        super().process_request(request, client_address)

    def track(self, request: Any) -> None:
        with self.state.lock:
            self.state.open = {one for one in self.state.open if one.fileno() >= 0} | {request}
            self.state.most_at_once = max(self.state.most_at_once, len(self.state.open))

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self.state.lock:
            self.state.open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Record errors of the server. Ignore clients that disconnect."""
        error = sys.exception() if sys.version_info >= (3, 12) else sys.exc_info()[1]
        if error is not None and not isinstance(error, (ConnectionError, ssl.SSLError)):
            self.state.errors.append(error)


class Server:
    """A server for the files of a test. It records the requests.

    Attributes:
        port: on 127.0.0.1.
        url: without a trailing slash.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._state = _State()
        self._listener = _Listener(self._state, tls)
        self.port: int = self._listener.server_address[1]
        self.url = f"{'http' if tls is None else 'https'}://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.01}
        )

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Serve inside the block; at its end, close all connections and join the thread."""
        self._thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown()
            self._thread.join()
            with self._state.lock:
                for connection in self._state.open:
                    with suppress(OSError):
                        socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._listener.server_close()
        assert self._state.errors == []

    def put(self, path: str, content: bytes, **headers: str | None) -> str:
        """Serve ``content``; return its URL. Omit headers whose value is ``None``."""
        said: dict[str, str | None] = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()[:12]}"',
            "Last-Modified": MODIFIED,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        kept = {name: value for name, value in said.items() if value is not None}
        self._state.files[path] = Served(content=content, headers=kept)
        return f"{self.url}{path}"

    def remove(self, path: str) -> None:
        """Delete the file."""
        del self._state.files[path]

    def script(self, path: str, *answers: Answer) -> str:
        """Give these responses to the next requests for ``path``, in order; return its URL."""
        self._state.scripts.setdefault(path, []).extend(answers)
        return f"{self.url}{path}"

    def unscript(self, path: str) -> None:
        """Delete the remaining responses, and serve the file again."""
        self._state.scripts.pop(path, None)

    @property
    def asked(self) -> list[Asked]:
        """All requests so far."""
        return list(self._state.asked)

    def statuses(self, path: str | None = None) -> list[int]:
        """Return the status of each response (for one path)."""
        return [one.status for one in self.asked if path in (None, one.target)]

    def wait_for_idleness(self) -> None:
        """Wait until all connections are closed."""
        while self._state.open:
            time.sleep(0.001)

    @property
    def connections(self) -> int:
        """The number of connections so far."""
        return self._state.connections

    @property
    def most_at_once(self) -> int:
        """The largest number of simultaneous connections."""
        return self._state.most_at_once
