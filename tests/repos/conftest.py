"""Import the fixtures of servers and a store for the tests of repositories."""

import pytest

from tests.fetch.conftest import plain_surroundings, second, server, short_pauses, store

__all__ = ["plain_surroundings", "second", "server", "short_pauses", "store"]


@pytest.fixture(autouse=True)
def always_short_pauses(short_pauses: None) -> None:
    """Pauses are tested with :mod:`purekernel.fetch`."""
