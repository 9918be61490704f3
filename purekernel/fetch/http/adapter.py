"""Make requests and urllib3 use connections that another thread can shut down."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# urllib3 creates connections internally, in the thread that sends the request.
_this_thread = threading.local()


class Connections:
    """Track the connections of one thread, starting before they are established."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: list[HTTPConnection] = []
        self._handshake: socket.socket | None = None
        self._are_shut = False

    def use(self) -> None:
        """Track the connections that this thread opens from now on."""
        self._are_shut = False
        _this_thread.connections = self

    def shut(self) -> None:
        """Shut down all connections, which wakes the thread if it waits for one of them."""
        with self._lock:
            self._are_shut = True
            for sock in (self._handshake, *(connection.sock for connection in self._connections)):
                if sock is not None:
                    _shut(sock)

    @contextmanager
    def noting(self, connection: HTTPConnection) -> Iterator[None]:
        """Track a connection while it is established and afterwards."""
        with self._lock:
            self._connections = [
                tracked for tracked in self._connections if tracked.sock is not None
            ]
            self._connections.append(connection)
        try:
            yield
        finally:
            with self._lock:
                if self._handshake is not None:
                    self._handshake.close()
                    self._handshake = None
        if self._are_shut:
            connection.close()
            raise ConnectionAbortedError

    def note_handshake(self, sock: socket.socket) -> None:
        """Track the socket of a connection during its TLS handshake.

        The socket of the connection itself cannot be used meanwhile, because ssl detaches it.
        """
        with self._lock:
            self._handshake = sock.dup()
            if self._are_shut:
                _shut(self._handshake)


def _shut(sock: socket.socket) -> None:
    # Do not call SSLSocket.shutdown: the remaining encrypted bytes would be read as plain ones.
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _PlainConnection(HTTPConnection):
    def connect(self) -> None:
        with _this_thread.connections.noting(self):
            super().connect()


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        _this_thread.connections.note_handshake(sock)
        return sock

    def connect(self) -> None:
        with _this_thread.connections.noting(self):
            super().connect()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _PlainPool, "https": _TlsPool}


class Adapter(HTTPAdapter):
    """Creates tracked connections. Connections through a SOCKS proxy are not tracked."""

    def __init__(self) -> None:
        # A thread has one request at a time, and DownloadPolicy controls the retries.
        super().__init__(pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Make the pools of direct connections create tracked connections."""
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **named: Any) -> urllib3.PoolManager:
        """Make the pools of connections through an HTTP proxy create tracked connections."""
        manager: urllib3.PoolManager = super().proxy_manager_for(proxy, **named)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager
