"""Encoders: each turns bytes into one whole raw deflate stream."""

from __future__ import annotations

from typing import Protocol

import deflate
from attrs import frozen

from purekernel.tree import Buffer

# libdeflate's slowest: it searches for the cheapest parse, much like zopfli, at fifty
# times its speed.
SLOWEST = 12


class Encoder(Protocol):
    """What turns bytes into a raw deflate stream (RFC 1951)."""

    def encode(self, data: Buffer) -> bytes:
        """Return ``data`` as one whole raw deflate stream, the same bytes every time."""
        ...


@frozen(kw_only=True)
class Libdeflate:
    """libdeflate, through the ``deflate`` package; it releases the GIL.

    Attributes:
        level: 1 (fastest) to 12 (smallest).
    """

    level: int = SLOWEST

    def encode(self, data: Buffer) -> bytes:
        """Return ``data`` as one whole raw deflate stream."""
        return bytes(deflate.deflate_compress(data, self.level))
