"""Give an executor of a cluster, by the cluster's address."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from purekernel.encode.cluster.address import Address
from purekernel.errors import UsageError

# How long a build bears to see no worker: a nanny starts another in seconds, a cluster that
# grows with its work in a minute or so.
PATIENCE_SECONDS = 60.0


@contextmanager
def open_executor(
    address: Address | str, *, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[Executor]:
    """Give an executor whose calls are made on a cluster's workers, for as long as it takes.

    All machines must have the same releases of purekernel and of what encodes; that is looked at
    first, and again for each call. A call whose worker dies is made again on another. What is
    not done in the end is given up.

    The executor's futures raise a ``ClusterError`` where the cluster fails.

    Args:
        address: such as ``dask://HOST:8786``.
        patience_seconds: for how long there may be calls and no worker.

    Raises:
        UsageError: the address is none, or what reaches such clusters is not installed.
        ClusterError: the cluster cannot be reached, has no workers or other releases.
    """
    where = Address.parse(address) if isinstance(address, str) else address
    try:
        from purekernel.encode.cluster.dask import connect  # noqa: PLC0415  # half a second
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{where.text} needs dask.distributed, and there is no {error.name} here",
            hint="install it: pip install 'purekernel[dask]'",
        ) from None
    with connect(where, patience_seconds=patience_seconds) as executor:
        yield executor
