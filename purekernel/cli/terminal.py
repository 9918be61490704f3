"""Write to stdout and stderr, and show progress there.

Everything that a command prints goes through this module. Names and texts of inputs may contain
escape sequences, so control characters are escaped on a terminal, and always on stderr. Where
stdout is a file or a pipe, its data is exact, because scripts read it.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, TextIO

from purekernel.errors import OutputError, UsageError

if TYPE_CHECKING:
    from purekernel.fetch.model import Download, DownloadedFile
    from purekernel.input import Buffer


# How long a step takes until a line is printed where stderr is no terminal, and how often that is
# checked.
LINE_SECONDS, _LOOK_SECONDS = 10.0, 1.0

# The rate of a download is that of the last seconds.
_RATE_SECONDS = 5.0

# All control characters but tab, newline, form feed and return; those of C1 in UTF-8.
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")

# One screen: longer than any useful message, and a bound for a hostile one.
MAX_MESSAGE_CHARACTERS = 2000


def say_error(message: str, hint: str) -> None:
    """Print what is wrong and what to do, as two lines on stderr."""
    # stderr may be closed.
    with suppress(OSError, ValueError):
        sys.stderr.write(f"purekernel: {printable(message)}\n  {printable(hint)}\n")
        sys.stderr.flush()


def say_warning(text: str) -> None:
    """Print a note, as one line on stderr."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"purekernel: note: {printable(text)}\n")
        sys.stderr.flush()


def say_on_stderr(*lines: str) -> None:
    """Print lines on stderr, for a result whose data is on stdout."""
    for line in lines:
        _say_progress(line)


def open_stdout() -> BinaryIO:
    """Return stdout as a binary stream, for data that is not for a terminal.

    Raises:
        UsageError: stdout is a terminal.
        OutputError: stdout is closed.
    """
    if is_terminal(sys.stdout):
        raise UsageError(
            "the output is binary, and stdout is a terminal",
            hint="redirect stdout to a file or a pipe, or name a file with -o",
        )
    if sys.stdout is None:
        raise OutputError("stdout is closed", hint="name a file with -o")
    return sys.stdout.buffer


def say_traceback(error: BaseException) -> None:
    """Print the traceback of ``error`` on stderr."""
    for part in traceback.format_exception(error):
        for line in part.rstrip("\n").split("\n"):
            _say_progress(line)


def say(*lines: str, end: str = "\n") -> None:
    """Print lines on stdout; on a terminal, with control characters escaped.

    Args:
        lines: the lines, without their ends.
        end: what ends each line.

    Raises:
        OutputError: stdout cannot be written.
        BrokenPipeError: the reader of stdout is gone.
    """
    if sys.stdout is None:  # closed by the calling process
        return
    shown = map(escaped, lines) if is_terminal(sys.stdout) else lines
    text = "".join(line + end for line in shown)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    data = text.encode(encoding, "backslashreplace")
    with _writing_stdout():
        if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
            _write_stdout(data.replace(b"\n", os.linesep.encode()))
        else:
            sys.stdout.write(data.decode(encoding))
        sys.stdout.flush()


def say_bytes(lines: Iterable[bytes], *, end: bytes = b"\n") -> None:
    """Print lines of bytes on stdout; on a terminal, with all but printable characters escaped.

    Raises as :func:`say`.
    """
    if is_terminal(sys.stdout):
        say(*(line.decode("utf-8", "backslashreplace") for line in lines), end=end.decode())
    else:
        say_contents(b"".join(line + end for line in lines))


def controls_terminal(data: Buffer) -> bool:
    """Return whether stdout is a terminal, and ``data`` has control characters for it.

    They may move the cursor, change what was printed before, or make a terminal type an answer.
    """
    return is_terminal(sys.stdout) and _CONTROLS.search(data) is not None


def say_contents(data: Buffer) -> None:
    """Print the content of a file on stdout, unchanged also on a terminal.

    Raises as :func:`say`.
    """
    if sys.stdout is None:  # closed by the calling process
        return
    with _writing_stdout():
        sys.stdout.flush()
        _write_stdout(data)
        sys.stdout.buffer.flush()


def _write_stdout(data: Buffer) -> None:
    """Write all of ``data``: with ``python -u``, one write may write only a part of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]


def megabytes(size_bytes: int | None) -> str:
    """Return a size in kB (below a million bytes) or MB; an empty string for ``None``."""
    if size_bytes is None:
        return ""
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1e3:.1f} kB"
    return f"{size_bytes / 1e6:.2f} MB"


@contextmanager
def _writing_stdout() -> Iterator[None]:
    """Turn errors of stdout into OutputError, except BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: stdout is closed
        if os.name == "nt" and getattr(error, "errno", None) == errno.EINVAL:
            raise BrokenPipeError from None  # how Windows reports a pipe without a reader
        raise OutputError(
            f"stdout cannot be written: {getattr(error, 'strerror', None) or error}",
            hint="the output files are complete; redirect stdout elsewhere",
        ) from None


def printable(text: str) -> str:
    """Return ``text`` as one line, with escaped control characters, in the encoding of stderr.

    Names in archives and on command lines may contain escape sequences, and be very long.
    """
    if len(text) > MAX_MESSAGE_CHARACTERS:
        text = text[:MAX_MESSAGE_CHARACTERS] + "…"
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    one_line = escaped(text.replace("\n", " "))
    return one_line.encode(encoding, "backslashreplace").decode(encoding)


def escaped(text: str) -> str:
    r"""Return ``text`` with everything escaped that is not printable, as in ``\x1b``.

    These are control characters, also those of C1 and newlines; format characters, which change
    the order of a line; separators of lines; and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether ``stream`` is a terminal; a closed stream is none."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):
        return False


class Counter:
    """Counts a part of a step; a :class:`purekernel.progress.Task`.

    Attributes:
        unit: what is counted.
        done: how much is done.
        total: how much there is to do; ``None`` if that is unknown.
    """

    def __init__(self, unit: str, total: int | None, clock: Callable[[], float]) -> None:
        self.unit = unit
        self.done = 0
        self.total = total
        self._lock = threading.Lock()
        self._clock = clock
        self._samples = deque([(clock(), 0)])

    def advance(self, count: int = 1) -> None:
        """Add ``count``."""
        with self._lock:
            self.done += count

    def set_total(self, total: int | None) -> None:
        """Set how much there is to do."""
        self.total = total

    @property
    def has_begun(self) -> bool:
        """Return whether the numbers are worth showing: 0 of several files are, 0 bytes are not."""
        return bool(self.done) or (self.unit != "bytes" and (self.total or 0) > 1)

    def describe(self) -> str:
        """Return the numbers, as "3/12 files" or "1.2/4.5 MB, 0.3 MB/s, 0:11 left"."""
        if self.unit != "bytes":
            of_total = "" if self.total is None else f"/{self.total}"
            return f"{self.done}{of_total} {self.unit}"
        rate = self._rate()
        of_total = "" if self.total is None else f"/{self.total / 1e6:.1f}"
        parts = [f"{self.done / 1e6:.1f}{of_total} MB", f"{rate / 1e6:.1f} MB/s"]
        if self.total is not None and rate > 0:
            minutes, seconds = divmod(round(max(self.total - self.done, 0) / rate), 60)
            parts.append(f"{minutes}:{seconds:02} left")
        return ", ".join(parts)

    def _rate(self) -> float:
        """Return the average of the last seconds, per second."""
        now = self._clock()
        self._samples.append((now, self.done))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_SECONDS:
            self._samples.popleft()
        start, done = self._samples[0]
        return max(self.done - done, 0) / (now - start) if now > start else 0.0


class StepTimer:
    """Record the duration of each step, and show nothing; a :class:`purekernel.progress.Progress`.

    Attributes:
        seconds: the duration of each step by its words, in the order in which they started.
        words: the current step; empty between steps.
        start_seconds: when the last step started, by the clock.
        counters: what is counted in it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self.words = ""
        self.start_seconds = 0.0
        self.counters: tuple[Counter, ...] = ()
        self._clock = clock

    def step(self, words: str) -> AbstractContextManager[object]:
        """Return a context that lasts as long as the step."""
        return self._timed(words)

    @contextmanager
    def _timed(self, words: str) -> Iterator[None]:
        before, self.words = self.words, words
        self.start_seconds = self._clock()
        self.started(words)
        start = self._clock()
        try:
            yield
        finally:
            self.words = before
            taken = self._clock() - start
            self.seconds[words] = self.seconds.get(words, 0.0) + taken
        self.ended(words, taken)

    def task(self, unit: str, *, total: int | None = None) -> AbstractContextManager[Counter]:
        """Return a context that counts a part of the step."""
        return self._counted(Counter(unit, total, self._clock))

    @contextmanager
    def _counted(self, counter: Counter) -> Iterator[Counter]:
        before, self.counters = self.counters, (*self.counters, counter)
        try:
            yield counter
        finally:
            self.counters = before

    def amounts(self) -> str:
        """Return the numbers of all counters that have begun; empty without any."""
        return ", ".join(counter.describe() for counter in self.counters if counter.has_begun)

    def started(self, words: str) -> None:
        """Show that a step starts."""

    def ended(self, words: str, seconds: float) -> None:
        """Show that a step is done."""

    def had(self, download: Download, fetched: DownloadedFile | None) -> None:
        """Show that a file is fetched, or that an optional file is missing (``None``)."""

    def close(self) -> None:
        """Remove temporary output from the terminal."""


class Verbose(StepTimer):
    """Print a line on stderr for each step, with its duration."""

    def ended(self, words: str, seconds: float) -> None:
        """Print the step."""
        _say_progress(f"{seconds:7.2f} s  {words}")

    def had(self, download: Download, fetched: DownloadedFile | None) -> None:
        """Print the file."""
        details = f"{fetched.size_bytes:>11,}  {fetched.url}" if fetched is not None else "missing"
        _say_progress(f"{'':9}  {download.name}  {details.strip()}")


class Lines(StepTimer):
    """Print a line on stderr for every ten seconds that a step takes.

    Args:
        clock: returns a number of seconds that never decreases.
        looks: whether a thread looks at the clock; tests call :meth:`look` instead.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, looks: bool = True) -> None:
        super().__init__(clock=clock)
        self._last_seconds = 0.0
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._look_often, daemon=True)
        if looks:
            self._thread.start()

    def look(self) -> None:
        """Print a line if the step has taken ten seconds since it started, or since the last."""
        words, now = self.words, self._clock()
        if words and now - max(self.start_seconds, self._last_seconds) >= LINE_SECONDS:
            self._last_seconds = now
            _say_progress(": ".join(filter(None, ("purekernel", words, self.amounts()))))

    def close(self) -> None:
        """End the thread."""
        self._is_closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look_often(self) -> None:
        while not self._is_closed.wait(_LOOK_SECONDS):
            self.look()


def _say_progress(line: str) -> None:
    with suppress(OSError, ValueError):  # stderr may be closed
        sys.stderr.write(printable(line) + "\n")
        sys.stderr.flush()


def choose_progress(*, quiet: bool, verbose: bool, json: bool) -> StepTimer:
    """Return the progress for the options and the kind of stderr."""
    if verbose:
        return Verbose()
    if quiet or json:
        return StepTimer()
    if not is_terminal(sys.stderr):
        return Lines()
    from purekernel.cli.bars import open_bars  # noqa: PLC0415  # rich takes 60 ms to import

    return open_bars() or Lines()
