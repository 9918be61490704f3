"""Threads that run encoders, and never keep the process from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

from purekernel.sources.crew import Crew

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Threads(Executor):
    """An executor of threads that can be left behind.

    Not ThreadPoolExecutor: the interpreter waits, when it ends, for what those threads are at, and
    nothing cuts zopfli short, which may take a minute over one file.

    Args:
        hands: how many there are at the most.
    """

    def __init__(self, hands: int) -> None:
        self._crew = Crew(hands, name="purekernel-encoder")
        self._is_shut = False
        self._is_called_off = False

    def submit(
        self, call: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs
    ) -> Future[_T]:
        """Have ``call`` run.

        Raises:
            RuntimeError: it was shut down.
        """
        if self._is_shut:
            raise RuntimeError("these threads take nothing more")
        future: Future[_T] = Future()
        self._crew.submit(partial(self._run, future, partial(call, *arguments, **named)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; what has begun is not stopped.

        Args:
            wait: whether to wait for it.
            cancel_futures: whether what has not begun is called off.
        """
        self._is_shut = True
        self._is_called_off = self._is_called_off or cancel_futures
        self._crew.dismiss(patience_seconds=threading.TIMEOUT_MAX if wait else 0)

    def _run(self, future: Future[Any], call: Callable[[], Any]) -> None:
        if self._is_called_off:
            future.cancel()
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(result)
