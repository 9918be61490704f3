"""Print results, notes, errors and progress, as text or as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Concatenate, NamedTuple, ParamSpec, TypeVar

import click

from purekernel.errors import OutputError, PurekernelError
from purekernel.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from purekernel.fetch.model import Download, DownloadedFile


_P = ParamSpec("_P")
_T = TypeVar("_T")

# More errors than one screen shows are of no use at once.
MOST_REPORTED = 100

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


class ErrorReport(NamedTuple):
    """What is printed about an error; docs/json.md explains the fields."""

    code: str
    message: str
    hint: str
    file: str | None = None
    line: int | None = None
    offset: int | None = None


def report_of(error: PurekernelError) -> ErrorReport:
    """Return what is printed about ``error``."""
    return ErrorReport(error.code, str(error), error.hint, *(error.location or ()))


class Printer:
    """Print what a command reports: text at once, or one JSON document at the end.

    Attributes:
        as_json: whether to print JSON.
        document: the JSON document; the command adds its keys.
    """

    def __init__(self) -> None:
        self.as_json = False
        self.document: dict[str, object] = {}
        self._notes: list[str] = []
        self._is_done = False

    def text(self, text: str) -> None:
        """Print ``text`` and a newline on stdout, unless JSON is printed.

        Raises:
            OutputError: stdout cannot be written.
            BrokenPipeError: the reader of stdout is gone.
        """
        if not self.as_json:
            say(text)

    def data(self, data: bytes) -> None:
        """Print ``data`` on stdout unchanged, unless JSON is printed; raise as :meth:`text`."""
        if not self.as_json:
            say_bytes(data)

    def note(self, text: str) -> None:
        """Print a note as one line on stderr, or add it to the document."""
        if self.as_json:
            self._notes.append(text)
        else:
            say_warning(text)

    def json_text(self, text: str) -> None:
        """Print ``text``, which is JSON, in place of the document; raise as :meth:`text`."""
        say(text)
        self._is_done = True

    def finish(self) -> None:
        """Print the document, if JSON is printed; raise as :meth:`text`."""
        if not self._is_done:
            self._finish({})

    def fail(self, errors: Sequence[ErrorReport]) -> None:
        """Print errors: two lines each on stderr, or in the document."""
        if self.as_json:
            reports = [error._asdict() for error in errors]
            try:
                self._finish({"error": reports[0]} if len(reports) == 1 else {"errors": reports})
            except OutputError as unwritable:  # stderr is left
                errors = (*errors, report_of(unwritable))
            else:
                return
        for error in errors[:MOST_REPORTED]:
            say_error(error.message, error.hint)
        if len(errors) > MOST_REPORTED:
            say_error(f"{len(errors) - MOST_REPORTED} more errors are not shown", "fix these first")

    def _finish(self, more: Mapping[str, object]) -> None:
        if self.as_json:
            common = {"purekernel": __version__, **self.document, "notes": self._notes}
            say(_render_json({**common, **more}))


def _render_json(document: object) -> str:
    """Return ``document`` as JSON text in ASCII."""
    import json  # noqa: PLC0415  # too slow for --help

    return json.dumps(_valid_unicode(document), indent=2)


def _valid_unicode(value: object) -> object:
    """Decode bytes, and replace lone surrogates, which some readers of JSON refuse.

    A byte that is not UTF-8 becomes a backslash, x and two digits.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        try:
            data = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # of Windows, or of a server's JSON
            data = value.encode("utf-8", "surrogatepass")
        return data.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {_valid_unicode(key): _valid_unicode(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [_valid_unicode(content) for content in value]
    return value


def _print_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    context.ensure_object(Printer).as_json |= value


def asks_for_json(words: Sequence[str]) -> bool:
    """Return whether a command line that click cannot parse contains ``--json``."""
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def reports(command: Callable[Concatenate[Printer, _P], _T]) -> Callable[_P, _T]:
    """Add the option ``--json`` to a command, and pass it the printer as its first argument."""
    option = click.option(
        "--json",
        is_flag=True,
        is_eager=True,  # errors in other options are printed as JSON too
        expose_value=False,
        callback=_print_json,
        help="Print the result, notes and errors as one JSON document.",
    )
    return option(click.pass_obj(command))


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
