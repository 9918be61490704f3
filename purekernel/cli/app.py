"""Run the ``purekernel`` command: its subcommands, exit statuses and error messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from purekernel.cli.lazy_group import LazyGroup
from purekernel.cli.printer import ErrorReport, Printer, asks_for_json, report_of
from purekernel.cli.terminal import say, say_traceback
from purekernel.errors import (
    DownloadError,
    FindingError,
    ProgramError,
    PurekernelError,
    UndecidedError,
    UsageError,
    split_errors,
)
from purekernel.interruption import EXIT_STATUS as INTERRUPTED
from purekernel.interruption import Interruption, end_on_signals
from purekernel.version import __version__

SUCCESS, FAILURE, WRONG_USAGE, NETWORK_FAILURE, FINDINGS = 0, 1, 2, 3, 4
UNDECIDED = 3

EPILOG = f"""Start with: purekernel build --sample

\b
Exit status:
  {SUCCESS:<3}  success
  {FAILURE:<3}  something is wrong with an input or output
  {WRONG_USAGE:<3}  wrong usage
  {NETWORK_FAILURE:<3}  the network or a server failed; a later run may succeed
  {FINDINGS:<3}  a finding in the image is an error, and --strict is given
  {INTERRUPTED:<3}  interrupted, such as by Ctrl-C
"""


_COMMANDS = (
    "build", "bundle", "cache", "cat", "deps", "diff", "fetch", "info", "init", "inspect", "lint",
    "lock", "ls", "rebuild", "report", "run", "schema", "search", "show", "tool", "verify",
)  # fmt: skip


@click.group(
    cls=LazyGroup,
    package="purekernel.cli",
    names=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
    no_args_is_help=True,
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def purekernel() -> None:
    """Rebuild Tiny Core Linux images in memory, as an ordinary user.

    It needs no root, mount, chroot or other program; only 'run' starts one, QEMU. The same inputs
    give the same bytes.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (``sys.argv``'s by default); return its exit status.

    0 is success, 1 an error in an input or output, 2 wrong usage, 3 a failure of the network or
    of a server, 4 findings of a strict build or check, 130 an interruption.
    """
    restore_signals = end_on_signals()
    if sys.stderr is None:  # closed by the calling process
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # open until the process ends
    try:
        return _run(arguments)
    finally:
        restore_signals()


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command; turn each exception into an error message and an exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    printer = Printer()
    try:
        try:
            purekernel.main(args=words, prog_name="purekernel", standalone_mode=False, obj=printer)
            printer.finish()
        except click.exceptions.NoArgsIsHelpError as error:
            say(*error.format_message().split("\n"))
            return WRONG_USAGE
        except BrokenPipeError:
            raise
        except (Exception, Interruption, KeyboardInterrupt) as error:  # noqa: BLE001  # no traceback
            if isinstance(error, click.ClickException):
                printer.as_json |= asks_for_json(words)
            status, reports = _explain(error)
            printer.fail(reports)
            return status if status == INTERRUPTED else printer.error_status or status
    except BrokenPipeError:
        # The reader of stdout is gone: keep Python from flushing into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return printer.error_status or FAILURE
    return printer.status


def _explain(error: BaseException) -> tuple[int, list[ErrorReport]]:
    """Return the exit status for an exception, and what is printed about it."""
    match error:
        case click.Abort() | Interruption() | KeyboardInterrupt():
            hint = "every output is complete: this build's, or an earlier one's"
            return INTERRUPTED, [ErrorReport("interrupted", "interrupted", hint)]
        case click.ClickException():
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "purekernel"
            message = " ".join(error.format_message().split())
            return (
                WRONG_USAGE if isinstance(error, click.UsageError) else FAILURE,
                [ErrorReport("usage", message, f"see '{command} --help'")],
            )
        case PurekernelError():
            errors = split_errors([error])
            return _status(errors), [report_of(each) for each in errors]
        case MemoryError():
            message = "the inputs do not fit in memory"
            hint = "close other programs, or lower --max-unpacked"
            return FAILURE, [ErrorReport("memory", message, hint)]
        case OSError():
            return FAILURE, [_explain_system(error)]
        case _:
            return FAILURE, [_explain_fault(error)]


def _explain_system(error: OSError) -> ErrorReport:
    try:
        Path.cwd()
    except OSError:
        message = "the current folder cannot be used: it was deleted, or cannot be read"
        return ErrorReport("system", message, "change to another folder")
    # Mostly of stdout.
    hint = "check the free space, and where stdout goes"
    return ErrorReport("system", f"the system reports: {error}", hint)


def _status(errors: Sequence[PurekernelError]) -> int:
    for error in errors:
        if isinstance(error, ProgramError) and error.status:
            return error.status
    if all(isinstance(error, UsageError) for error in errors):
        return WRONG_USAGE
    if all(isinstance(error, DownloadError) and error.is_network for error in errors):
        return NETWORK_FAILURE
    if all(isinstance(error, UndecidedError) for error in errors):
        return UNDECIDED
    if all(isinstance(error, FindingError) for error in errors):
        return FINDINGS
    return FAILURE


def _explain_fault(error: BaseException) -> ErrorReport:
    if os.environ.get("PUREKERNEL_TRACEBACK"):
        say_traceback(error)
    words = " ".join(str(error).split()) or "no message"
    return ErrorReport(
        "internal",
        f"internal error: {type(error).__name__}: {words}",
        "please report it, with the output of a run with PUREKERNEL_TRACEBACK=1 set",
    )
