"""Run the ``purekernel`` command, also as ``python -m purekernel``."""

from __future__ import annotations

import sys

from purekernel.interruption import EXIT_STATUS, Interruption, end_on_signals


def main() -> int:
    """Run the command; return its exit status."""
    # Before the imports, which take a while: Ctrl-C must not print a traceback then either.
    end_on_signals()
    try:
        from purekernel.cli import main as run  # noqa: PLC0415
    except Interruption:
        if sys.stderr is not None:
            sys.stderr.write("purekernel: interrupted\n  nothing has been written\n")
        return EXIT_STATUS
    return run()


if __name__ == "__main__":
    sys.exit(main())
