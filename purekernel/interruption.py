"""Turn Ctrl-C, Ctrl-Break, SIGTERM and SIGHUP into an exception."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

_T = TypeVar("_T")

# Windows has no SIGHUP. Only Windows has SIGBREAK: Ctrl-Break, and the end of a console or session.
SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)


# 128 + SIGINT: the status that shells report for a command that Ctrl-C ended.
EXIT_STATUS = 130

# The longest time for which a signal may go unnoticed.
_LOOK_SECONDS = 0.5


class Interruption(BaseException):
    """Request that the command stops.

    Not KeyboardInterrupt: click prints an empty line for that.
    """


def end_on_signals() -> Callable[[], None]:
    """Raise :class:`Interruption` on the first Ctrl-C, Ctrl-Break, SIGTERM or SIGHUP.

    Further signals are ignored, so that cleaning up is not interrupted. Signals that the calling
    process ignores (nohup) or handles stay as they are. Outside the main thread, nothing changes.

    Returns:
        A function that restores the previous handlers.
    """
    replaced: dict[signal.Signals, Any] = {}

    def interrupt(_number: int, _frame: object) -> None:
        for number in replaced:
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
        replaced[number] = before

    def restore() -> None:
        for number, handler in replaced.items():
            signal.signal(number, handler)

    return restore


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay signals until the block ends, so that no signal comes between its steps.

    Python runs handlers in the main thread, whichever thread receives the signal. So this
    replaces the handlers in the main thread, and does nothing in others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: pending.append(number))
        for number in SIGNALS
        if callable(signal.getsignal(number))
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pending:
        signal.raise_signal(pending[0])


def result_of(future: Future[_T]) -> _T:
    """Return the result of ``future``, or raise its exception; a signal ends the wait for it.

    A signal that arrives just before a wait, or in another thread, does not wake the main thread.
    So the wait is repeated.
    """
    while not future.done():
        with suppress(TimeoutError):
            future.exception(timeout=_LOOK_SECONDS)
    return future.result()


def interruptibly(call: Callable[[], _T]) -> _T:
    """Return what ``call`` returns; Ctrl-C ends the wait for it.

    Python runs handlers only in the main thread, and not while that thread is in the code of a
    library, which may take minutes. So the main thread makes the call in a daemon thread. When a
    signal comes, that thread is abandoned, and does not keep the process from ending.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    results: list[_T] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001  # raised again in the main thread
            errors.append(error)
        ended.set()

    threading.Thread(target=run, name="purekernel-aside", daemon=True).start()
    # A signal that arrives just before the wait does not wake it; so the wait is repeated.
    while not ended.wait(_LOOK_SECONDS):
        pass
    if errors:
        raise errors[0]
    return results[0]
