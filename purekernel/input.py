"""Define what a reader reads: data, its name for messages, and limits.

Inputs may be hostile. Every reader takes an :class:`Input`, checks its limits, and reports faults
through :meth:`Input.fail`.
"""

from __future__ import annotations

from attrs import evolve, field

from purekernel.errors import FormatError, LimitError, UnsupportedError
from purekernel.records import frozen

Buffer = bytes | bytearray | memoryview
"""Bytes, possibly a view into the archive that they were read from."""


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


DEFAULT_LIMITS = Limits()

_HOSTILE = "the archive is damaged or hostile: use another copy of it"


def limits_of(unpacked_bytes: int | None) -> Limits:
    """Return the default limits, with ``unpacked_bytes`` replaced unless it is ``None``."""
    return DEFAULT_LIMITS if unpacked_bytes is None else Limits(unpacked_bytes=unpacked_bytes)


def _shown(data: Buffer) -> str:
    return f"<{len(data)} bytes>"


@frozen
class Input:
    """Data to read, with its name and limits.

    Attributes:
        data: the bytes to read.
        name: the name of the file, or of the member of a file, for messages.
        limits: the limits of everything that is read from ``data``.
        start: the position of ``data`` in the file called ``name``, in bytes. Messages give
            positions in that file.
    """

    data: Buffer = field(repr=_shown)
    name: str = field(kw_only=True)
    limits: Limits = field(default=DEFAULT_LIMITS, kw_only=True)
    start: int = field(default=0, kw_only=True)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def view(self) -> memoryview:
        """The data as a view of single bytes, so that slices are not copies."""
        return memoryview(self.data).cast("B")

    def fail(self, offset: int | None, expected: str, got: str, *, hint: str = "") -> FormatError:
        """Return an error about the byte at ``offset``, for the caller to raise.

        Args:
            offset: the position of the fault in :attr:`data`, in bytes; ``None`` if the format has
                no useful position.
            expected: what the format requires there.
            got: what is there instead.
            hint: what to do; by default, to get the file again.
        """
        return FormatError(
            source=self.name, offset=self._position(offset), expected=expected, got=got, hint=hint
        )

    def fail_at_line(self, line: int, expected: str, got: str, *, hint: str = "") -> FormatError:
        """Return an error about a line of a text, counted from 1, for the caller to raise.

        The other arguments are those of :meth:`fail`.
        """
        return FormatError(
            source=f"{self.name}, line {line}", expected=expected, got=got, hint=hint
        )

    def unsupported(
        self, offset: int | None, expected: str, got: str, *, hint: str = ""
    ) -> UnsupportedError:
        """Return an error about a feature that is not supported, for the caller to raise.

        The arguments are those of :meth:`fail`; ``got`` names the feature.
        """
        return UnsupportedError(
            source=self.name,
            offset=self._position(offset),
            expected=expected,
            got=f"{got}, which is not supported",
            hint=hint,
        )

    def exceed(self, offset: int | None, expected: str, got: str, *, hint: str = "") -> LimitError:
        """Return an error about a limit that the data exceeds, for the caller to raise.

        The arguments are those of :meth:`fail`; the default hint is to raise the limit with
        --max-unpacked.
        """
        return LimitError(
            source=self.name, offset=self._position(offset), expected=expected, got=got, hint=hint
        )

    def at(self, offset: int) -> str:
        """Return the name with a position, as errors give it: ``x.tar, byte 512``."""
        return f"{self.name}, byte {self.start + offset}"

    def part(self, start: int, end: int | None = None, *, name: str | None = None) -> Input:
        """Return the bytes from ``start`` to ``end`` as an input of their own, without a copy.

        Args:
            start: the first byte, counted in :attr:`data`.
            end: the byte after the last; ``None`` for the end of the data.
            name: the name of the part if it is a file of its own, such as a member of an archive.
                Its messages then count from its own start; otherwise they count from the start of
                this file.
        """
        data = memoryview(self.data)[start:end]
        if name is None:
            return evolve(self, data=data, start=self.start + start)
        return evolve(self, data=data, name=name, start=0)

    def unpacked(self, data: Buffer, *, name: str | None = None) -> Input:
        """Return ``data``, which was unpacked from this input, as an input with the same limits.

        Args:
            data: the unpacked bytes.
            name: the name for messages; by default that of this input.
        """
        return evolve(self, data=data, name=self.name if name is None else name, start=0)

    def check_unpacked(self, size_bytes: int, offset: int | None = None) -> None:
        """Raise LimitError if ``size_bytes`` exceeds the limit of unpacked data."""
        most = self.limits.unpacked_bytes
        if size_bytes > most:
            raise self.exceed(offset, f"at most {most} bytes unpacked", f"{size_bytes} or more")

    def check_members(self, count: int, offset: int | None = None) -> None:
        """Raise LimitError if ``count`` exceeds the limit of names in an archive."""
        most = self.limits.members
        if count > most:
            raise self.exceed(offset, f"at most {most} members", "more", hint=_HOSTILE)

    def check_depth(self, path: bytes, offset: int | None = None) -> None:
        """Raise LimitError if ``path`` is nested deeper than the limit."""
        depth, most = path.count(b"/") + 1, self.limits.depth
        if depth > most:
            raise self.exceed(offset, f"at most {most} folders deep", f"{depth}", hint=_HOSTILE)

    def _position(self, offset: int | None) -> int | None:
        return None if offset is None else self.start + offset
