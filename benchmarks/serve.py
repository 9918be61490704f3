"""Serve a folder on this machine, each answer after a pause, as over a line of some length.

Run with ``python -m benchmarks.serve FOLDER [SECONDS]``; it prints its address.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    """Answers from a folder, when it has waited."""

    protocol_version = "HTTP/1.1"
    # Or each answer's body waits for the acknowledgement of its head.
    wbufsize = -1
    pause_seconds = 0.0

    def parse_request(self) -> bool:
        """Wait, then read the request."""
        time.sleep(self.pause_seconds)
        return super().parse_request()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until somebody ends it."""
    folder, *pause = sys.argv[1:]
    Handler.pause_seconds = float(pause[0]) if pause else 0.0
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
