"""Have requests and urllib3 make connections that can be cut off from another thread."""

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

# Connections are made deep inside of urllib3, in the thread that asks.
_this_thread = threading.local()


class Connections:
    """The connections of one thread, known from before they are made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: list[HTTPConnection] = []
        self._handshake: socket.socket | None = None
        self._are_shut = False

    def use(self) -> None:
        """Note here what this thread connects to from now on."""
        self._are_shut = False
        _this_thread.connections = self

    def shut(self) -> None:
        """Wake the thread from whatever it waits for on one of them."""
        with self._lock:
            self._are_shut = True
            for sock in (self._handshake, *(connection.sock for connection in self._known)):
                if sock is not None:
                    _shut(sock)

    @contextmanager
    def noting(self, connection: HTTPConnection) -> Iterator[None]:
        """Know a connection while it is made, and from then on."""
        with self._lock:
            self._known = [known for known in self._known if known.sock is not None]
            self._known.append(connection)
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
        """Know a connection that TLS is to be agreed on over, until it is made.

        The connection's own socket is of no use meanwhile: ssl takes it away.
        """
        with self._lock:
            self._handshake = sock.dup()
            if self._are_shut:
                _shut(self._handshake)


def _shut(sock: socket.socket) -> None:
    # Not SSLSocket's own shutdown: it would make what is still to be read pass for plain bytes.
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
    """Makes connections that are noted; those through SOCKS are of another kind, and are not."""

    def __init__(self) -> None:
        # One thread has one request at a time; and to try again is our policy's business.
        super().__init__(pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Have the pools of direct connections make ours."""
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **named: Any) -> urllib3.PoolManager:
        """Have the pools of connections through an HTTP proxy make ours."""
        manager: urllib3.PoolManager = super().proxy_manager_for(proxy, **named)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager
