"""Servers and a store for the tests of downloads."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    """An environment without proxies, authorities and passwords."""
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
    """Another server: another mirror."""
    with Server().running() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def unanswering() -> Iterator[int]:
    """A port that accepts connections and never sends anything."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield listening.getsockname()[1]
