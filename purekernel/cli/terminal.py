"""Print progress, warnings and errors to a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

from purekernel.errors import OutputError

if TYPE_CHECKING:
    from rich.console import Console

    from purekernel.fetch.model import Download, DownloadedFile


# One screen: longer than any useful message, and a bound for a hostile one.
MAX_MESSAGE_CHARACTERS = 2000


def say_error(message: str, hint: str) -> None:
    """Print what is wrong and what to do, as two lines on stderr."""
    # stderr may be closed.
    with suppress(OSError, ValueError):
        sys.stderr.write(f"purekernel: {_printable(message)}\n  {_printable(hint)}\n")
        sys.stderr.flush()


def say_warning(text: str) -> None:
    """Print a note, as one line on stderr."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"purekernel: note: {_printable(text)}\n")
        sys.stderr.flush()


def say(text: str) -> None:
    """Print ``text`` and a newline on stdout.

    Raises:
        OutputError: stdout cannot be written.
        BrokenPipeError: the reader of stdout is gone.
    """
    if sys.stdout is None:  # closed by the calling process
        return
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    with _writing_stdout():
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()


def say_bytes(data: bytes) -> None:
    """Print ``data`` on stdout unchanged.

    Raises:
        OutputError: stdout cannot be written.
        BrokenPipeError: the reader of stdout is gone.
    """
    if sys.stdout is None:  # closed by the calling process
        return
    with _writing_stdout():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextmanager
def _writing_stdout() -> Iterator[None]:
    """Turn errors of stdout into OutputError, except BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: stdout is closed
        raise OutputError(
            f"stdout cannot be written: {getattr(error, 'strerror', None) or error}",
            hint="the output files are complete; redirect stdout elsewhere",
        ) from None


def _printable(text: str) -> str:
    """Return ``text`` as one line, with escaped control characters, in the encoding of stderr.

    Names in archives and on command lines may contain escape sequences, and be very long.
    """
    if len(text) > MAX_MESSAGE_CHARACTERS:
        text = text[:MAX_MESSAGE_CHARACTERS] + "…"
    one_line = "".join(
        char if char.isprintable() else " " if char == "\n" else ascii(char)[1:-1] for char in text
    )
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    return one_line.encode(encoding, "backslashreplace").decode(encoding)


class StepTimer:
    """Record the duration of each step, and show nothing.

    Attributes:
        seconds: the duration of each step by its words, in the order in which they started.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def step(self, words: str) -> AbstractContextManager[object]:
        """Return a context that lasts as long as the step."""
        return self._timed(words)

    @contextmanager
    def _timed(self, words: str) -> Iterator[None]:
        self.started(words)
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            self.seconds[words] = self.seconds.get(words, 0.0) + taken
        self.ended(words, taken)

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
        self._write(f"{seconds:7.2f} s  {words}")

    def had(self, download: Download, fetched: DownloadedFile | None) -> None:
        """Print the file."""
        details = f"{fetched.size_bytes:>11,}  {fetched.url}" if fetched is not None else "missing"
        self._write(f"{'':9}  {download.name}  {details.strip()}")

    def _write(self, line: str) -> None:
        sys.stderr.write(_printable(line) + "\n")
        sys.stderr.flush()


class Spinner(StepTimer):
    """Show the current step on a terminal, and clear it at the end."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._words = ""
        self._files = 0
        self._bytes = 0
        self._status = console.status("starting", spinner="dots")
        self._status.start()

    def started(self, words: str) -> None:
        """Show the step."""
        self._words = words
        self._show(words)

    def had(self, download: Download, fetched: DownloadedFile | None) -> None:
        """Show the number and size of the files fetched so far."""
        self._files += 1
        self._bytes += fetched.size_bytes if fetched is not None else 0
        self._show(
            f"{self._words}: {self._files} files, {self._bytes / 1e6:.1f} MB  {download.name}"
        )

    def _show(self, words: str) -> None:
        from rich.text import Text  # noqa: PLC0415  # imported already, with its console

        # Not as a string: a file name may contain rich's markup.
        self._status.update(Text(_printable(words)))

    def close(self) -> None:
        """Clear the line."""
        self._status.stop()


def choose_progress(*, quiet: bool, verbose: bool, json: bool) -> StepTimer:
    """Return the progress for the options and the kind of stderr."""
    if quiet:
        return StepTimer()
    if verbose:
        return Verbose()
    if json or not sys.stderr.isatty():
        return StepTimer()
    from rich.console import Console  # noqa: PLC0415  # takes 60 ms, which only a terminal needs

    console = Console(stderr=True)
    return Spinner(console) if console.is_terminal else StepTimer()
