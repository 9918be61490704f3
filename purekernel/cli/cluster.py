"""What runs encoders on a cluster, for commands."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager

from purekernel.cli.terminal import StepTimer
from purekernel.encode.cluster import Address, open_executor


@contextmanager
def running_on(address: Address | None, *, progress: StepTimer) -> Iterator[Executor | None]:
    """Give the executor of the cluster at ``address``; ``None`` where that is ``None``.

    Raises:
        UsageError: what reaches clusters is not installed.
        ClusterError: the cluster cannot be used.
    """
    if address is None:
        yield None
        return
    with _hushed(), ExitStack() as stack:
        with progress.step("connecting to the cluster"):
            executor = stack.enter_context(open_executor(address))
        yield executor


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep from standard error what dask says there: what counts of it is an error of ours."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
