"""Open the executor that runs encoders on a cluster."""

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
    """Yield the executor of the cluster at ``address``, or ``None`` without an address.

    Raises:
        UsageError: dask.distributed is not installed.
        ClusterError: the cluster cannot be used.
    """
    if address is None:
        yield None
        return
    with _silenced(), ExitStack() as stack:
        with progress.step("connecting to the cluster"):
            executor = stack.enter_context(open_executor(address))
        yield executor


@contextmanager
def _silenced() -> Iterator[None]:
    """Suppress dask's logs and warnings: what matters is reported as a PurekernelError."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
