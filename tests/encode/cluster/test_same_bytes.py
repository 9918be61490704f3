"""Test that all executors produce the same bytes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager

import pytest

from purekernel import Effort, open_executor
from tests.builds import Encoding, make_image
from tests.clusters import Cluster, running, write_overlay

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def core_by(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    site = write_overlay(tmp_path_factory.mktemp("overlay"))

    def make(effort: Effort, executor: Executor | None = None) -> bytes:
        encoding = Encoding(effort=effort, executor=executor)
        return make_image(sample=True, overlays=site, timestamp=0, encoding=encoding).core

    return make


KINDS: dict[str, Callable[[Cluster], AbstractContextManager[Executor]]] = {
    "processes": lambda _cluster: ProcessPoolExecutor(
        2, mp_context=multiprocessing.get_context("spawn")
    ),
    "dask's executor": lambda cluster: cluster.client.get_executor(),
    "ours": lambda cluster: open_executor(cluster.address),
}


@pytest.mark.parametrize(
    "effort",
    [
        pytest.param(effort, marks=[pytest.mark.nightly] if effort is Effort.MAX else [])
        for effort in Effort
    ],
)
def test_all_executors_give_the_same_bytes_as_threads(
    cluster: Cluster, core_by: Callable[..., bytes], effort: Effort
) -> None:
    expected = core_by(effort)
    for kind, make in KINDS.items():
        with make(cluster) as executor:
            assert core_by(effort, executor) == expected, kind
