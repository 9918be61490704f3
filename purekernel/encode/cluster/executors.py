"""Open an executor on a cluster, by the cluster's address."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from purekernel.encode.cluster.address import Address
from purekernel.errors import UsageError

# How long a build waits without any worker: a nanny restarts a worker in seconds, an autoscaled
# cluster adds one in about a minute.
PATIENCE_SECONDS = 60.0


@contextmanager
def open_executor(
    address: Address | str, *, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[Executor]:
    """Open an executor that runs calls on a cluster's workers; close it at the end of the context.

    All machines must have the same releases of purekernel and its encoders. This is checked on
    opening, and again for each call. If a worker dies, its calls are retried on other workers.
    Calls that are not done at the end of the context are cancelled.

    The executor's futures raise a ``ClusterError`` if the cluster fails.

    Args:
        address: such as ``dask://HOST:8786``.
        patience_seconds: how long calls may wait while there is no worker.

    Raises:
        UsageError: the address is invalid, or dask.distributed is not installed.
        ClusterError: the cluster cannot be reached, has no workers, or has other releases.
    """
    where = Address.parse(address) if isinstance(address, str) else address
    try:
        from purekernel.encode.cluster.dask import connect  # noqa: PLC0415  # half a second
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{where.text}: needs dask.distributed: the module {error.name} is missing",
            hint="install it: pip install 'purekernel[dask]'",
        ) from None
    with connect(where, patience_seconds=patience_seconds) as executor:
        yield executor
