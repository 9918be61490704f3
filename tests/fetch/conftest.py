"""Servers and a store for the tests of downloads."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from purekernel.fetch.store import Store
from tests.fetch.server import Server

# What requests and we go by; a test sets what it is about.
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
    """Surroundings that name no proxy, no authorities and no passwords."""
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
    """A port that takes connections, and on which nothing is ever said."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield listening.getsockname()[1]
