"""What remembers encoded bytes from one build to the next."""

from __future__ import annotations

from typing import Protocol

from purekernel.tree import Buffer


class Cache(Protocol):
    """A memory of encoded bytes, by the digest of what they were made of and by what."""

    def get(self, key: str) -> bytes | None:
        """Return what is kept under ``key``, whole and as it was, or ``None``."""
        ...

    def put(self, key: str, content: Buffer) -> None:
        """Keep ``content`` under ``key``, if that is possible."""
        ...


class Forgetful:
    """Remember nothing."""

    def get(self, key: str) -> bytes | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def put(self, key: str, content: Buffer) -> None:
        """Keep nothing."""
