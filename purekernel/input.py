"""Define what a reader reads: data, its name for messages, and limits.

Inputs may be hostile. Every reader takes an :class:`Input`, checks its limits, reports faults
through :meth:`Input.fail`, and reports what it drops or replaces through :meth:`Input.note`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from attrs import evolve, field

from purekernel.errors import FormatError, LimitError, PurekernelError, UnsupportedError
from purekernel.records import frozen

Buffer = bytes | bytearray | memoryview
"""Bytes, possibly a view into the archive that they were read from."""


Report = Callable[[str], None]
"""Receives a note for the user, one line."""

Salvage = Callable[[PurekernelError], None]
"""Receives the fault at which a reader stops, which then returns what it has read until there."""


def ignore_note(text: str) -> None:
    """Ignore a note, where no user can see it."""


class Budget:
    """What all inputs of one command may unpack to together. Threads may share it.

    Args:
        most_bytes: the limit.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """The size of what was unpacked so far."""
        return self._used_bytes

    def has(self, size_bytes: int) -> bool:
        """Return whether ``size_bytes`` are left."""
        return self._used_bytes + size_bytes <= self.most_bytes

    def draw(self, size_bytes: int) -> bool:
        """Use ``size_bytes`` if they are left; return whether they are."""
        with self._lock:
            if not self.has(size_bytes):
                return False
            self._used_bytes += size_bytes
            return True

    def rewind(self, used_bytes: int) -> None:
        """Return to an earlier state, after all that was unpacked since has been dropped."""
        with self._lock:
            self._used_bytes = used_bytes


@frozen(kw_only=True)
class Limits:
    """The limits of the inputs of one command, and where its readers report to.

    Attributes:
        unpacked_bytes: the unpacked size of one stream or image. A Tiny Core image has about
            40 MB unpacked, a large remaster some hundreds. 1 GiB stops a decompression bomb of a
            few MB before it fills the memory of a small machine.
        members: the number of names in one archive. A desktop distribution has about 150,000.
        depth: the depth of nested folders. Linux limits it only by PATH_MAX.
        total_bytes: the unpacked size of all inputs together; ``None`` for ``unpacked_bytes``.
        budget: counts it; ``None`` to limit only each input by itself.
        report: called with each note of a reader.
        salvage: called with the fault of a damaged archive, of which all is wanted that can be
            read; ``None`` to raise the fault.
    """

    unpacked_bytes: int = 1 << 30
    members: int = 200_000
    depth: int = 256
    total_bytes: int | None = None
    budget: Budget | None = field(default=None, eq=False, repr=False)
    report: Report = field(default=ignore_note, eq=False, repr=False)
    salvage: Salvage | None = field(default=None, eq=False, repr=False)

    def budgeted(self) -> Limits:
        """Return these limits with a new budget, unless they have one."""
        if self.budget is not None:
            return self
        total_bytes = self.unpacked_bytes if self.total_bytes is None else self.total_bytes
        return evolve(self, budget=Budget(total_bytes))

    def mark(self) -> Callable[[], None]:
        """Return a function that gives back what is unpacked from now on, if it is dropped."""
        budget = self.budget
        return (lambda: None) if budget is None else partial(budget.rewind, budget.used_bytes)

    def unbudgeted(self) -> Limits:
        """Return these limits without the budget, to read again what was counted."""
        return evolve(self, budget=None)


# A large remaster and its overlays, extensions and packages unpack to some hundred MB.
DEFAULT_LIMITS = Limits(total_bytes=2 << 30)

_HOSTILE = "the archive is damaged or hostile: use another copy of it"


def limits_of(unpacked_bytes: int | None, *, report: Report = ignore_note) -> Limits:
    """Return limits of ``unpacked_bytes`` for all inputs together; ``None`` for the default.

    Args:
        unpacked_bytes: the limit.
        report: called with each note of a reader.
    """
    limits = DEFAULT_LIMITS if unpacked_bytes is None else Limits(unpacked_bytes=unpacked_bytes)
    return evolve(limits, report=report)


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
        is_counted: whether ``data`` was counted when it was unpacked.
        is_cut: whether the end of ``data`` is missing, which was reported already.
    """

    data: Buffer = field(repr=_shown)
    name: str = field(kw_only=True)
    limits: Limits = field(default=DEFAULT_LIMITS, kw_only=True)
    start: int = field(default=0, kw_only=True)
    is_counted: bool = field(default=False, kw_only=True, eq=False, repr=False)
    is_cut: bool = field(default=False, kw_only=True, eq=False, repr=False)

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

    def fail_kind(self, offset: int, expected: str, kind: str | None, start: str) -> FormatError:
        """Return an error about a file of another kind, for the caller to raise.

        Args:
            offset: where the magic number is missing, in bytes.
            expected: the kind that is required.
            kind: the kind of the file, if it is known; see :func:`~.formats.detect.name_kind`.
            start: what the file has at ``offset`` instead.
        """
        hint = "" if kind is None else "the file may be valid: check its name, or convert it"
        return self.fail(offset, expected, kind or start, hint=hint)

    def exceed(self, offset: int | None, expected: str, got: str, *, hint: str = "") -> LimitError:
        """Return an error about a limit that the data exceeds, for the caller to raise.

        The arguments are those of :meth:`fail`; the default hint is to raise the limit with
        --max-unpacked.
        """
        return LimitError(
            source=self.name, offset=self._position(offset), expected=expected, got=got, hint=hint
        )

    def note(self, text: str) -> None:
        """Report what the reader drops or replaces; ``text`` is a line without the name."""
        self.limits.report(f"{self.name}: {text}")

    def stop_at(self, error: PurekernelError) -> None:
        """Report the fault at which reading stops, if what was read before is wanted.

        Raises:
            PurekernelError: ``error`` itself, if an archive that is not whole is of no use.
        """
        if self.limits.salvage is None:
            raise error
        if not self.is_cut:
            self.limits.salvage(error)

    def quiet(self) -> Input:
        """Return this input without its notes, to read it a second time."""
        return evolve(self, limits=evolve(self.limits, report=ignore_note))

    def strict(self) -> Input:
        """Return this input without its notes, to read it again and to raise at the first fault."""
        return evolve(self, limits=evolve(self.limits, report=ignore_note, salvage=None))

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

    def unpacked(self, data: Buffer, *, name: str | None = None, is_cut: bool = False) -> Input:
        """Return ``data``, which was unpacked from this input, as an input with the same limits.

        Args:
            data: the unpacked bytes.
            name: the name for messages; by default that of this input.
            is_cut: whether unpacking stopped at a fault.
        """
        name = self.name if name is None else name
        is_cut |= self.is_cut
        return evolve(self, data=data, name=name, start=0, is_counted=True, is_cut=is_cut)

    def check_unpacked(self, size_bytes: int, offset: int | None = None) -> None:
        """Raise LimitError if ``size_bytes`` exceeds the limit of unpacked data or the budget."""
        most = self.limits.unpacked_bytes
        if size_bytes > most:
            raise self.exceed(offset, f"at most {most} bytes unpacked", f"{size_bytes} or more")
        budget = self.limits.budget
        if budget is not None and not budget.has(size_bytes):
            raise self._out_of_budget(budget, size_bytes, offset)

    def count_unpacked(
        self, size_bytes: int, offset: int | None = None, *, already_bytes: int = 0
    ) -> int:
        """Take ``size_bytes`` of unpacked data from the budget.

        Args:
            size_bytes: the size of data that was unpacked, or is about to be.
            offset: where in :attr:`data` it is packed, in bytes.
            already_bytes: what was unpacked from the same input before.

        Returns:
            The size of all data unpacked from this input.

        Raises:
            LimitError: that exceeds the limit of one input, or the budget is used up.
        """
        most, total_bytes = self.limits.unpacked_bytes, already_bytes + size_bytes
        if total_bytes > most:
            raise self.exceed(offset, f"at most {most} bytes unpacked", f"{total_bytes} or more")
        budget = self.limits.budget
        if budget is not None and not budget.draw(size_bytes):
            raise self._out_of_budget(budget, size_bytes, offset)
        return total_bytes

    def count_data(self) -> None:
        """Take the data itself from the budget, unless it was counted when it was unpacked."""
        if not self.is_counted:
            self.count_unpacked(len(self.data), 0)

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

    def _out_of_budget(self, budget: Budget, size_bytes: int, offset: int | None) -> LimitError:
        return self.exceed(
            offset,
            f"at most {budget.most_bytes} bytes unpacked from all inputs together",
            f"{budget.used_bytes + size_bytes} or more",
            hint="if you trust the inputs, raise the limit with --max-unpacked",
        )

    def _position(self, offset: int | None) -> int | None:
        return None if offset is None else self.start + offset
