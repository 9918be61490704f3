"""Ctrl-C and the signals that mean the same, from the first moment that we can."""

from __future__ import annotations

import signal

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Interruption(BaseException):
    """Somebody wants us to stop.

    Not KeyboardInterrupt, which click would answer with an empty line of its own.
    """


def end_on_signals() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP raise :class:`Interruption`, once.

    While that cleans up behind us, further signals are ignored. What whoever started us
    ignores (nohup) or handles stays so; outside the main thread nothing is changed.
    """
    ours: list[signal.Signals] = []

    def interrupt(_number: int, _frame: object) -> None:
        for number in ours:
            signal.signal(number, signal.SIG_IGN)
        raise Interruption

    for name in SIGNALS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is None:
            continue
        try:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, interrupt)
                ours.append(number)
        except ValueError:
            return
