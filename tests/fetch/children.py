"""Fetch in another process, which a test can kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.processes import DEFAULT_SIGNALS, environment

_SCRIPT = """
import json, sys
from pathlib import Path
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.store import Store
from purekernel.fetch.model import Download
folder, *urls = sys.argv[1:]
policy = DownloadPolicy(parallel=3, stall_seconds=60)
with Downloads(Store(Path(folder)), policy=policy) as downloads:
    fetched = downloads.fetch_all(
        Download(name=url.rpartition("/")[2], urls=(url,), md5=digest or None)
        for url, _mark, digest in (url.partition("#") for url in urls)
    )
print(json.dumps([one.sha256 for one in fetched]))
"""


class Child:
    """A process that fetches ``urls`` into the store at ``folder``, and prints the digests.

    A URL may end in ``#`` and the expected MD5.
    """

    def __init__(self, folder: Path, urls: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", DEFAULT_SIGNALS + _SCRIPT, str(folder), *urls],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Send SIGKILL, as the out-of-memory killer of Linux does: no cleanup code runs."""
        self._process.kill()
        self._process.communicate()

    def interrupt(self) -> tuple[int, str]:
        """Send SIGINT, as Ctrl-C does; return the exit status and the last line on stderr."""
        self._process.send_signal(signal.SIGINT)
        _said, complaints = self._process.communicate(timeout=120)
        return self._process.returncode, complaints.decode().splitlines()[-1]

    def wait(self) -> Any:
        """Wait for the exit; return the SHA-256 digests of the fetched files."""
        said, complaints = self._process.communicate(timeout=120)
        assert (self._process.returncode, complaints) == (0, b"")
        return json.loads(said)
