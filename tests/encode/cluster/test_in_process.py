"""Test an executor of a cluster whose scheduler and worker are threads of this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import LocalCluster

from purekernel import open_executor


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield f"dask://{cluster.scheduler_address.removeprefix('tcp://')}"


def test_calls_return_and_raise_as_in_a_thread_pool(address: str) -> None:
    with open_executor(address) as executor:
        assert executor.submit(divmod, 7, 2).result() == (3, 1)
        assert list(executor.map(pow, [2, 3], [5, 2])) == [32, 9]
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 7, 0).result()
    with pytest.raises(RuntimeError, match="cannot submit calls after shutdown"):
        executor.submit(divmod, 7, 2)
