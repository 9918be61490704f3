"""What a person sees: progress while it lasts, errors in two lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

from purekernel.errors import OutputError

if TYPE_CHECKING:
    from rich.console import Console

    from purekernel.fetch.wanted import Fetched, Wanted


# A screenful: enough for any honest message, and no more of a hostile one.
MAX_MESSAGE_CHARACTERS = 2000


def say_error(message: str, hint: str) -> None:
    """Print what is wrong and what to do, on two lines of standard error."""
    # Whoever closed standard error will not miss it.
    with suppress(OSError, ValueError):
        sys.stderr.write(f"purekernel: {_printable(message)}\n  {_printable(hint)}\n")
        sys.stderr.flush()


def say_warning(text: str) -> None:
    """Print what the user should know, on one line of standard error."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"purekernel: note: {_printable(text)}\n")
        sys.stderr.flush()


def say(text: str) -> None:
    """Print ``text`` and a newline on standard output.

    Raises:
        OutputError: standard output cannot take it.
        BrokenPipeError: whoever read it has gone.
    """
    if sys.stdout is None:  # closed by whoever started us
        return
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    with _saying():
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()


def say_bytes(data: bytes) -> None:
    """Print ``data`` on standard output as it is.

    Raises:
        OutputError: standard output cannot take it.
        BrokenPipeError: whoever read it has gone.
    """
    if sys.stdout is None:  # closed by whoever started us
        return
    with _saying():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextmanager
def _saying() -> Iterator[None]:
    """Turn what standard output says into an error of ours, save that its reader has gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise OutputError(
            f"standard output cannot be written: {getattr(error, 'strerror', None) or error}",
            hint="the outputs themselves are complete; send what is printed elsewhere",
        ) from None


def _printable(text: str) -> str:
    """Return ``text`` on one line, harmless to a terminal, and as standard error can write it.

    Names in archives and on command lines may hold escape sequences, and be very long.
    """
    if len(text) > MAX_MESSAGE_CHARACTERS:
        text = text[:MAX_MESSAGE_CHARACTERS] + "…"
    one_line = "".join(
        char if char.isprintable() else " " if char == "\n" else ascii(char)[1:-1] for char in text
    )
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    return one_line.encode(encoding, "backslashreplace").decode(encoding)


class StepTimer:
    """Tell nobody while it lasts, and remember how long each step took.

    Attributes:
        seconds: the duration of each step by its words, in the order of their starts.
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
        """Show that a step begins."""

    def ended(self, words: str, seconds: float) -> None:
        """Show that a step is done."""

    def had(self, wanted: Wanted, fetched: Fetched | None) -> None:
        """Show that a file is had, or that it need not be and is not."""

    def close(self) -> None:
        """Take away what is only of use while it lasts."""


class Verbose(StepTimer):
    """Print a line on standard error for each step, with its time."""

    def ended(self, words: str, seconds: float) -> None:
        """Print the step."""
        self._write(f"{seconds:7.2f} s  {words}")

    def had(self, wanted: Wanted, fetched: Fetched | None) -> None:
        """Print the file."""
        what = f"{fetched.size_bytes:>11,}  {fetched.url}" if fetched is not None else "none"
        self._write(f"{'':9}  {wanted.name}  {what.strip()}")

    def _write(self, line: str) -> None:
        sys.stderr.write(_printable(line) + "\n")
        sys.stderr.flush()


class Spinner(StepTimer):
    """Show on a terminal what is being done, and leave nothing behind."""

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

    def had(self, wanted: Wanted, fetched: Fetched | None) -> None:
        """Show how much is had by now."""
        self._files += 1
        self._bytes += fetched.size_bytes if fetched is not None else 0
        self._show(f"{self._words}: {self._files} files, {self._bytes / 1e6:.1f} MB  {wanted.name}")

    def _show(self, words: str) -> None:
        from rich.text import Text  # noqa: PLC0415  # there already, with its console

        # Not as a string: what rich takes for markup may stand in a file's name.
        self._status.update(Text(_printable(words)))

    def close(self) -> None:
        """Clear the line."""
        self._status.stop()


def choose_progress(*, quiet: bool, verbose: bool, json: bool) -> StepTimer:
    """Return what fits the options and where standard error leads."""
    if quiet:
        return StepTimer()
    if verbose:
        return Verbose()
    if json or not sys.stderr.isatty():
        return StepTimer()
    from rich.console import Console  # noqa: PLC0415  # 60 ms that a pipe need not wait

    console = Console(stderr=True)
    return Spinner(console) if console.is_terminal else StepTimer()
