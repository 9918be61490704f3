"""Ctrl-C and the signals that mean the same, from the first moment that we can."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_T = TypeVar("_T")

# Windows has no SIGHUP.
SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


# 128 + SIGINT: the status that shells report of a command which Ctrl-C ended.
EXIT_STATUS = 130

# How long a signal may go unnoticed in the worst case.
_LOOK_SECONDS = 0.5


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

    for number in SIGNALS:
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


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let signals wait, so that several steps are one to them.

    Python runs handlers in the main thread, whichever thread the signal reached; so this
    puts others in their place there, and elsewhere has nothing to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: noted.append(number))
        for number in SIGNALS
        if callable(signal.getsignal(number))
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if noted:
        signal.raise_signal(noted[0])


def interruptibly(call: Callable[[], _T]) -> _T:
    """Return what ``call`` returns, or let Ctrl-C end the wait for it.

    Python runs handlers in the main thread alone, and not while that is in a library's code, which
    may be there for minutes. So from there the call is made in another thread, which is left behind
    when a signal comes: it keeps no process from ending.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    from concurrent.futures import Future  # noqa: PLC0415  # longer than --help may take

    future: Future[_T] = Future()
    ended = threading.Event()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # it is raised in the main thread
            future.set_exception(error)
        ended.set()

    threading.Thread(target=run, name="purekernel-aside", daemon=True).start()
    # A signal that comes as Python goes to sleep is noted and does not wake it.
    while not ended.wait(_LOOK_SECONDS):
        pass
    return future.result()
