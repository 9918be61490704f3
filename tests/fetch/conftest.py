"""Fixtures for the tests of downloads: servers, a store and a clean environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from purekernel.fetch.finder import Finder
from purekernel.fetch.store import Store
from tests.fetch.server import Server

# Variables that requests and purekernel read; a test sets those that it needs.
_VARIABLES = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PUREKERNEL_CACHE",
)


@pytest.fixture
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove proxies, CA bundles and passwords from the environment."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture
def server(plain_surroundings: None) -> Iterator[Server]:
    with Server().running() as running:
        yield running


@pytest.fixture
def second(plain_surroundings: None) -> Iterator[Server]:
    """Run a second server, which acts as another mirror."""
    with Server().running() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def unanswering() -> Iterator[int]:
    """Return a port that accepts connections and never sends data."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield listening.getsockname()[1]


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pauses before further attempts short, for tests of what comes after them."""
    wait = Finder._wait
    monkeypatch.setattr(Finder, "_wait", lambda finder, seconds: wait(finder, min(seconds, 0.01)))
