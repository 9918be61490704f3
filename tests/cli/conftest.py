"""Provide servers for tests of commands that fetch."""

from tests.fetch.conftest import plain_surroundings, second, server, unanswering

__all__ = ["plain_surroundings", "second", "server", "unanswering"]
