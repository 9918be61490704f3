"""Provide servers for tests of commands that fetch."""

import pytest

from tests.fetch.conftest import plain_surroundings, second, server, short_pauses, unanswering

__all__ = ["plain_surroundings", "second", "server", "short_pauses", "unanswering"]


@pytest.fixture(autouse=True)
def always_short_pauses(short_pauses: None) -> None:
    """Pauses are tested with :mod:`purekernel.fetch`."""
