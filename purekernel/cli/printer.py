"""Print the results, notes and errors of commands, as text or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, Concatenate, NamedTuple, ParamSpec, TypeVar

import click

from purekernel.cli.terminal import (
    controls_terminal,
    open_stdout,
    say,
    say_bytes,
    say_contents,
    say_error,
    say_on_stderr,
    say_warning,
)
from purekernel.errors import InputError, OutputError, PurekernelError, UsageError
from purekernel.version import __version__

if TYPE_CHECKING:
    from purekernel.input import Buffer, Input

_P = ParamSpec("_P")
_T = TypeVar("_T")

# The exit statuses of commands that compare, as those of diff(1).
DIFFERENT, TROUBLE = 1, 2

# More errors than one screen shows are of no use at once.
MOST_REPORTED = 100


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
        status: the exit status if there is no error.
        error_status: the exit status after an error; ``None`` for that of the error.
    """

    def __init__(self) -> None:
        self.as_json = False
        self.status = 0
        self.error_status: int | None = None
        self.document: dict[str, object] = {}
        self._text_on_stderr = False
        self._notes: list[str] = []
        self._pending: dict[str, None] = {}
        self._is_done = False

    def text(self, *lines: str) -> None:
        """Print lines on stdout, unless JSON is printed.

        Raises:
            OutputError: stdout cannot be written.
            BrokenPipeError: the reader of stdout is gone.
        """
        if self._text_on_stderr:
            say_on_stderr(*lines)
        elif not self.as_json:
            say(*lines)

    def take_stdout(self) -> BinaryIO:
        """Return stdout as a binary stream, for an output; text goes to stderr from now on.

        Raises:
            UsageError: JSON is printed, or stdout is a terminal.
            OutputError: stdout is closed.
        """
        if self.as_json:
            raise UsageError(
                "the output and the JSON cannot both go to stdout", hint="leave out --json"
            )
        stream = open_stdout()
        self._text_on_stderr = True
        return stream

    def lines(self, lines: Iterable[bytes], *, end: bytes = b"\n") -> None:
        """Print lines of bytes on stdout, unless JSON is printed; raise as :meth:`text`."""
        if not self.as_json:
            say_bytes(lines, end=end)

    def find_unprintable(self, file: Input) -> InputError | None:
        """Return the error for data that would send control characters to a terminal.

        Returns:
            ``None`` if stdout is no terminal, or ``file`` has no such data.
        """
        if not controls_terminal(file.data):
            return None
        return InputError(
            f"{file.name} is binary, and would send control characters to the terminal",
            hint="redirect stdout to a file or a pipe, or add --force",
            file=file.name,
        )

    def contents(self, data: Buffer) -> None:
        """Print the content of a file on stdout, unchanged also on a terminal, as cat does.

        Raises as :meth:`text`.
        """
        if not self.as_json:
            say_contents(data)

    def note(self, text: str) -> None:
        """Print a note as one line on stderr, or add it to the document."""
        if self.as_json:
            self._notes.append(text)
        else:
            say_warning(text)

    def note_later(self, text: str) -> None:
        """Print a note when the command ends, once: the progress may use the terminal now."""
        self._pending[text] = None

    def json_text(self, text: str) -> None:
        """Print ``text``, which is JSON, in place of the document; raise as :meth:`text`."""
        say(*text.split("\n"))
        self._is_done = True

    def finish(self) -> None:
        """Print the pending notes, and the document if JSON is printed; raise as :meth:`text`."""
        self._print_pending()
        if not self._is_done:
            self._finish({})

    def fail(self, errors: Sequence[ErrorReport]) -> None:
        """Print the pending notes, and errors: two lines each on stderr, or in the document."""
        self._print_pending()
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

    def _print_pending(self) -> None:
        for text in self._pending:
            self.note(text)
        self._pending.clear()

    def _finish(self, more: Mapping[str, object]) -> None:
        if self.as_json:
            common = {"purekernel": __version__, **self.document, "notes": self._notes}
            say(*_render_json({**common, **more}).split("\n"))


def _render_json(document: object) -> str:
    """Return ``document`` as JSON text in ASCII."""
    import json  # noqa: PLC0415  # too slow for --help

    # JSON permits DEL unescaped.
    return json.dumps(_valid_unicode(document), indent=2).replace("\x7f", "\\u007f")


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
