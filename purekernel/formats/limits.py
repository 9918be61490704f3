"""Bounds that every reader keeps, because inputs may be hostile."""

from __future__ import annotations

from attrs import frozen

from purekernel.errors import LimitError


@frozen(kw_only=True)
class Limits:
    """How much a reader may take from one input before it refuses.

    Attributes:
        unpacked_bytes: what one stream or image may unpack to. A Tiny Core image is some
            40 MB unpacked, a fat remaster some hundreds; 1 GiB stops a bomb of a few MB
            before it fills a small machine's memory.
        members: names in one archive. A whole desktop distribution has some 150,000.
        depth: folders within folders. Linux sets no bound but PATH_MAX.
    """

    unpacked_bytes: int = 1 << 30
    members: int = 200_000
    depth: int = 256

    def check_unpacked(self, size_bytes: int, *, source: str, offset: int | None = None) -> None:
        """Raise LimitError when ``size_bytes`` is over the bound."""
        if size_bytes > self.unpacked_bytes:
            raise LimitError(
                source=source,
                offset=offset,
                expected=f"at most {self.unpacked_bytes} bytes unpacked",
                got=f"{size_bytes} or more",
            )

    def check_members(self, count: int, *, source: str, offset: int | None = None) -> None:
        """Raise LimitError when an archive has more names than it may."""
        if count > self.members:
            raise LimitError(
                source=source,
                offset=offset,
                expected=f"at most {self.members} members",
                got="more",
                hint="the archive is damaged or hostile: no image has that many names",
            )

    def check_depth(self, path: bytes, *, source: str, offset: int | None = None) -> None:
        """Raise LimitError when ``path`` lies deeper than it may."""
        depth = path.count(b"/") + 1
        if depth > self.depth:
            raise LimitError(
                source=source,
                offset=offset,
                expected=f"at most {self.depth} folders deep",
                got=f"{depth}",
                hint="the archive is damaged or hostile: no image is that deep",
            )


DEFAULT_LIMITS = Limits()


def limits_of(unpacked_bytes: int | None) -> Limits:
    """Return the usual bounds, with another on what may be unpacked where one is given."""
    return DEFAULT_LIMITS if unpacked_bytes is None else Limits(unpacked_bytes=unpacked_bytes)
