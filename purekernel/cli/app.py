"""Run the ``purekernel`` command: its subcommands, exit statuses and error messages."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from purekernel.cli.build import build_command
from purekernel.cli.bundle import bundle_command
from purekernel.cli.cache import cache_command
from purekernel.cli.deps import deps_command
from purekernel.cli.fetch import fetch_command
from purekernel.cli.init import init_command
from purekernel.cli.lock import lock_command
from purekernel.cli.schema import schema_command
from purekernel.cli.terminal import say_error
from purekernel.cli.tool import tool_command
from purekernel.errors import CombinedError, DownloadError, PurekernelError, UsageError
from purekernel.interruption import EXIT_STATUS as INTERRUPTED
from purekernel.interruption import Interruption, end_on_signals
from purekernel.version import __version__

SUCCESS, FAILURE, WRONG_USAGE, NETWORK_FAILURE = 0, 1, 2, 3

EPILOG = f"""Start with: purekernel build --sample

\b
Exit status:
  {SUCCESS:<3}  success
  {FAILURE:<3}  something is wrong with an input or output
  {WRONG_USAGE:<3}  wrong usage
  {NETWORK_FAILURE:<3}  the network or a server failed; a later run may succeed
  {INTERRUPTED:<3}  interrupted, such as by Ctrl-C
"""

# More errors than one screen shows are of no use at once.
MOST_REPORTED = 100


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
    no_args_is_help=True,
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def purekernel() -> None:
    """Rebuild Tiny Core Linux images in memory, as an ordinary user.

    It needs no root, mount, chroot or other program. The same inputs give the same bytes.
    """


for command in (
    build_command,
    bundle_command,
    cache_command,
    deps_command,
    fetch_command,
    init_command,
    lock_command,
    schema_command,
    tool_command,
):
    purekernel.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (``sys.argv``'s by default); return its exit status.

    0 is success, 1 an error in an input or output, 2 wrong usage, 3 a failure of the network or
    of a server, 130 an interruption.
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
    status = SUCCESS
    try:
        purekernel.main(
            args=None if arguments is None else list(arguments),
            prog_name="purekernel",
            standalone_mode=False,
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        status = WRONG_USAGE
    except click.ClickException as error:
        status = _report_usage(error)
    except (Interruption, KeyboardInterrupt, click.Abort):
        say_error("interrupted", "every output is complete: this build's, or an earlier one's")
        status = INTERRUPTED
    except PurekernelError as error:
        status = _report(error)
    except MemoryError:
        say_error(
            "the inputs do not fit in memory", "close other programs, or lower --max-unpacked"
        )
        status = FAILURE
    except BrokenPipeError:
        # The reader of stdout is gone: keep Python from flushing into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILURE
    except OSError as error:  # mostly of stdout
        say_error(f"the system reports: {error}", "check the free space, and where stdout goes")
        status = FAILURE
    except Exception as error:  # noqa: BLE001  # no traceback may reach the user
        status = _report_fault(error)
    return status


def _report(error: PurekernelError) -> int:
    """Print two lines for each error; return the exit status."""
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    for each in errors[:MOST_REPORTED]:
        say_error(str(each), each.hint)
    if len(errors) > MOST_REPORTED:
        left = len(errors) - MOST_REPORTED
        say_error(f"{left} more errors are not shown", "fix these first")
    if all(isinstance(each, UsageError) for each in errors):
        return WRONG_USAGE
    if all(isinstance(each, DownloadError) and each.is_network for each in errors):
        return NETWORK_FAILURE
    return FAILURE


def _report_usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "purekernel"
    say_error(" ".join(error.format_message().split()), f"see '{command} --help'")
    return WRONG_USAGE if isinstance(error, click.UsageError) else FAILURE


def _report_fault(error: Exception) -> int:
    if os.environ.get("PUREKERNEL_TRACEBACK"):
        traceback.print_exception(error)
    words = " ".join(str(error).split()) or "no message"
    say_error(
        f"internal error: {type(error).__name__}: {words}",
        "please report it, with the output of a run with PUREKERNEL_TRACEBACK=1 set",
    )
    return FAILURE
