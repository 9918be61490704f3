"""Responses that a :class:`~tests.fetch.server.Server` can give in place of the file."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from tests.fetch.server import PIECE_BYTES, Answer, Exchange


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Respond with a status, and headers whose underscores become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.say(code, body, named)


def redirect(target: str, code: int = 302) -> Answer:
    """Redirect the client."""
    return status(code, b"over there\n", Location=target)


def cut(until: int) -> Answer:
    """Serve the file, and close the connection after ``until`` bytes of the body."""
    return lambda exchange: exchange.give(until=until)


def stall(until: int) -> Answer:
    """Serve ``until`` bytes of the body, and leave the connection open."""

    def answer(exchange: Exchange) -> None:
        exchange.give(until=until)
        exchange.wait_for_the_end()

    return answer


def whole(exchange: Exchange) -> None:
    """Serve the whole file, without support for ranges."""
    exchange.give(ranges=False)


def whole_cut(until: int) -> Answer:
    """Ignore ranges, and close the connection after ``until`` bytes of the body."""
    return lambda exchange: exchange.give(ranges=False, until=until)


def slowly(between: float) -> Answer:
    """Serve the file in pieces of 4 KiB, ``between`` seconds apart."""
    return lambda exchange: exchange.give(between=between)


def silence(exchange: Exchange) -> None:
    """Accept the request, and never respond."""
    exchange.wait_for_the_end()


def tunnel(port: int) -> Answer:
    """Act as a proxy that connects the client to ``port`` on 127.0.0.1 for every request."""

    def relay(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def answer(exchange: Exchange) -> None:
        exchange.hang_up()
        exchange.begin(200, {})
        with socket.create_connection(("127.0.0.1", port)) as behind:
            back = threading.Thread(target=relay, args=(behind, exchange.connection))
            back.start()
            relay(exchange.connection, behind)
            back.join()

    return answer


def raw(*pieces: bytes, between: float = 0.0) -> Answer:
    """Send ``pieces`` unchanged, ``between`` seconds apart, and close the connection."""

    def answer(exchange: Exchange) -> None:
        exchange.hang_up()
        with suppress(OSError):
            for piece in pieces:
                exchange.send_raw(piece)
                time.sleep(between)

    return answer


def chunks(pieces: Iterable[bytes], *, ended: bool = True, **headers: str) -> Answer:
    """Send a chunked body; unless ``ended``, omit the final empty chunk and disconnect."""

    def answer(exchange: Exchange) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.begin(200, {"Transfer-Encoding": "chunked", **named})
        if exchange.command == "HEAD":
            return
        for piece in pieces:
            exchange.send_raw(b"%x\r\n%b\r\n" % (len(piece), piece))
        if ended:
            exchange.send_raw(b"0\r\n\r\n")
        else:
            exchange.hang_up()

    return answer
