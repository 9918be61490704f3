"""Helpers for the tests of downloads: fetch one file, or return the error."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from purekernel.errors import PurekernelError
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.http import Bounds
from purekernel.fetch.model import Download
from purekernel.fetch.store import Store
from purekernel.fetch.urls import last_component

# Three attempts without pauses. A busy machine does not exceed the limit for stalls.
QUICK = DownloadPolicy(
    attempts=3,
    connect_seconds=20,
    stall_seconds=20,
    most_seconds=60,
    first_pause_seconds=0,
    most_pause_seconds=0,
)

# Time limits that no test reaches.
BOUNDS = Bounds(connect_seconds=20, stall_seconds=20, slow_seconds=20, min_bytes_per_second=1000)

# For tests that wait for a stall.
IMPATIENT = DownloadPolicy(
    attempts=3,
    connect_seconds=20,
    stall_seconds=0.5,
    most_seconds=60,
    first_pause_seconds=0,
    most_pause_seconds=0,
)

# The hints of failed downloads, by cause.
CHECKSUM_HINT = (
    "correct the digest, use another source, or run 'purekernel lock --update' if the new "
    "file is the right one"
)
NETWORK_HINT = (
    "check the address and the network, or add another mirror (under [mirrors] in a recipe)"
)
ELSEWHERE_HINT = "set another folder with --cache-dir or PUREKERNEL_CACHE"


def extension(size_bytes: int = 3000, seed: int = 0) -> bytes:
    """Return random bytes that start with the magic number of squashfs, as an extension does."""
    return b"hsqs" + random.Random(seed).randbytes(size_bytes - 4)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def want(*urls: str, **fields: Any) -> Download:
    """Return a request for a file. Its name is the last component of the first URL."""
    return Download(**{"name": last_component(urls[0]), "urls": urls, **fields})


def fetch(
    store: Store,
    *urls: str,
    policy: DownloadPolicy = QUICK,
    offline: bool = False,
    reuse: bool = False,
    sleep: Callable[[float], None] | None = None,
    **fields: Any,
) -> bytes | None:
    """Fetch one file, and return its content."""
    with Downloads(store, policy=policy, offline=offline, reuse=reuse, sleep=sleep) as downloads:
        fetched = downloads.fetch(want(*urls, **fields))
        return None if fetched is None else downloads.load(fetched)


def why_not(store: Store, *urls: str, **named: Any) -> tuple[type[PurekernelError], str, str]:
    """Return the type, message and hint of the error that fetching raises."""
    with pytest.raises(PurekernelError) as caught:
        fetch(store, *urls, **named)
    return type(caught.value), str(caught.value), caught.value.hint


def files(store: Store) -> list[str]:
    """Return the top-level folder of each file in the store, without the locks."""
    top = store.folder / "v1"
    found = (path.relative_to(top) for path in top.rglob("*") if path.is_file())
    return sorted(path.parts[0] for path in found if path.parts[0] != "locks")


def blobs(store: Store) -> list[Path]:
    """Return the paths of the complete files in the store."""
    return sorted(path for path in (store.folder / "v1" / "blobs").rglob("*") if path.is_file())


@contextmanager
def closed_port() -> Iterator[int]:
    """Reserve a port that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
