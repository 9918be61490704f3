"""Ctrl-C and the signals that mean the same, from the first moment that we can."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Interruption(BaseException):
    """Somebody wants us to stop.

    Not KeyboardInterrupt, which click would answer with an empty line of its own.
    """


def end_on_signals() -> Callable[[], None]:
    """Let Ctrl-C, SIGTERM and SIGHUP raise :class:`Interruption`, once.

    While that cleans up behind us, further signals are ignored. What whoever started us
    ignores (nohup) or handles stays so; outside the main thread nothing is changed.

    Returns:
        What puts everything back as it was.
    """
    ours: dict[signal.Signals, Any] = {}

    def interrupt(_number: int, _frame: object) -> None:
        for number in ours:
            signal.signal(number, signal.SIG_IGN)
        raise Interruption

    for name in SIGNALS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is None:
            continue
        before = signal.getsignal(number)
        if before not in (signal.SIG_DFL, signal.default_int_handler):
            continue
        try:
            signal.signal(number, interrupt)
        except ValueError:
            break
        ours[number] = before

    def restore() -> None:
        for number, handler in ours.items():
            signal.signal(number, handler)

    return restore
