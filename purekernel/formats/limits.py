"""Define the limits that every reader checks, because inputs may be hostile."""

from __future__ import annotations

from attrs import frozen

from purekernel.errors import LimitError


@frozen(kw_only=True)
class Limits:
    """The limits of one input.

    Attributes:
        unpacked_bytes: the unpacked size of one stream or image. A Tiny Core image has about
            40 MB unpacked, a large remaster some hundreds. 1 GiB stops a decompression bomb of a
            few MB before it fills the memory of a small machine.
        members: the number of names in one archive. A desktop distribution has about 150,000.
        depth: the depth of nested folders. Linux limits it only by PATH_MAX.
    """

    unpacked_bytes: int = 1 << 30
    members: int = 200_000
    depth: int = 256

    def check_unpacked(self, size_bytes: int, *, source: str, offset: int | None = None) -> None:
        """Raise LimitError if ``size_bytes`` exceeds the limit."""
        if size_bytes > self.unpacked_bytes:
            raise LimitError(
                source=source,
                offset=offset,
                expected=f"at most {self.unpacked_bytes} bytes unpacked",
                got=f"{size_bytes} or more",
            )

    def check_members(self, count: int, *, source: str, offset: int | None = None) -> None:
        """Raise LimitError if the number of names exceeds the limit."""
        if count > self.members:
            raise LimitError(
                source=source,
                offset=offset,
                expected=f"at most {self.members} members",
                got="more",
                hint="the archive is damaged or hostile: use another copy of it",
            )

    def check_depth(self, path: bytes, *, source: str, offset: int | None = None) -> None:
        """Raise LimitError if the depth of ``path`` exceeds the limit."""
        depth = path.count(b"/") + 1
        if depth > self.depth:
            raise LimitError(
                source=source,
                offset=offset,
                expected=f"at most {self.depth} folders deep",
                got=f"{depth}",
                hint="the archive is damaged or hostile: use another copy of it",
            )


DEFAULT_LIMITS = Limits()


def limits_of(unpacked_bytes: int | None) -> Limits:
    """Return the default limits, with ``unpacked_bytes`` replaced unless it is ``None``."""
    return DEFAULT_LIMITS if unpacked_bytes is None else Limits(unpacked_bytes=unpacked_bytes)
