"""Import the fixtures of servers and a store for the tests of repositories."""

from tests.fetch.conftest import plain_surroundings, second, server, store

__all__ = ["plain_surroundings", "second", "server", "store"]
