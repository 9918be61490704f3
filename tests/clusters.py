"""Start dask.distributed clusters on this machine: a scheduler and workers, each a process."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distributed import Client, Security

from purekernel.encode.cluster import Address, open_executor
from tests.processes import environment

# The longest time to wait for a process to start, in seconds.
PATIENCE_SECONDS = 60

# For --preload: change the environment of a worker or scheduler.
WITHOUT_PUREKERNEL = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "purekernel":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Without())
"""
OTHER_ZOPFLI = "import zopfli; zopfli.__version__ = '0.0.1'\n"


class Cluster:
    """A scheduler and workers.

    Attributes:
        scheduler: the process of the scheduler.
        workers: the processes of the workers.
        url: the scheduler's address as a dask URL.
        address: the same address as purekernel writes it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        options: Sequence[str | Path] = (),
        security: Security | None = None,
        **variables: str | None,
    ) -> None:
        self._security = security
        self._folder = folder
        self._variables = variables
        self._client: Client | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        written = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--scheduler-file", written, "--port", "0", *options
        )
        said = self._await(lambda: written.exists() and written.read_text())
        self.url: str = json.loads(said)["address"]
        way, _, place = self.url.partition("://")
        self.address = f"{'dask' if way == 'tcp' else 'dask+tls'}://{place}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._client.close()
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    @property
    def client(self) -> Client:
        """Return a client of dask itself."""
        if self._client is None:
            self._client = Client(self.url, set_as_default=False, security=self._security)
        return self._client

    def add_workers(self, count: int, *options: str | Path) -> list[subprocess.Popen[bytes]]:
        """Start workers without a nanny, and wait until the scheduler lists them."""
        before = len(self.client.nthreads())
        added = [
            self._start("worker", self.url, "--no-nanny", "--nthreads", "1", *options)
            for _worker in range(count)
        ]
        self.workers += added
        self.client.wait_for_workers(before + count, timeout=PATIENCE_SECONDS)
        return added

    @contextmanager
    def joined_by(self, code: str) -> Iterator[str]:
        """Add a worker that runs ``code`` first; yield its address, and kill it at the end."""
        before = set(self.client.nthreads())
        (worker,) = self.add_workers(1, *self.preload(code))
        (address,) = set(self.client.nthreads()) - before
        yield address
        worker.kill()
        self._await(lambda: address not in self.client.nthreads())

    def preload(self, code: str) -> tuple[str, Path]:
        """Return the dask options that make a process run ``code`` first."""
        path = self._folder / f"preload{len(self.workers)}.py"
        path.write_text(code)
        return "--preload", path

    def await_workers(self, count: int) -> None:
        """Wait until the scheduler lists at most ``count`` workers."""
        self._await(lambda: len(self.client.nthreads()) <= count)

    def await_busy(self) -> None:
        """Wait until a worker runs a call."""
        self._await(lambda: any(self.client.processing().values()))

    def await_idle(self) -> None:
        """Wait until the scheduler has no calls left."""
        self._await(lambda: not any(self.client.processing().values()))

    def _start(self, kind: str, *options: str | Path) -> subprocess.Popen[bytes]:
        """Start ``dask scheduler`` or ``dask worker``, with its log in the folder."""
        command = ["-m", "dask", kind, "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        if kind == "worker":
            command += ["--local-directory", str(self._folder)]
        with (self._folder / f"{kind}s.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command, *map(str, options)],
                cwd=self._folder, env=environment(**self._variables), stdout=log, stderr=log,
            )  # fmt: skip

    @staticmethod
    def _await(question: Callable[[], Any]) -> Any:
        """Poll until the answer is true, and return it."""
        for _try in range(PATIENCE_SECONDS * 20):
            if answer := question():
                return answer
            time.sleep(0.05)
        raise TimeoutError


@contextmanager
def running(folder: Path, *, workers: int = 2, **more: Any) -> Iterator[Cluster]:
    """Run a cluster, and stop it at the end."""
    with Cluster(folder, **more) as cluster:
        if workers:
            cluster.add_workers(workers)
        yield cluster


class HalfWay(Executor):
    """Pass calls on to another executor; call ``happens`` when half of them are done.

    Attributes:
        left: how many calls were not done at that time; ``None`` before ``happens`` is called.
    """

    def __init__(self, executor: Executor, *, calls: int, happens: Callable[[], None]) -> None:
        self._executor = executor
        self._calls = calls
        self._happens = happens
        self._futures: list[Future[Any]] = []
        self.left: int | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = self._executor.submit(fn, *args, **kwargs)
        self._futures.append(future)
        future.add_done_callback(self._count)
        return future

    def _count(self, _future: Future[Any]) -> None:
        done = sum(future.done() for future in self._futures)
        if self.left is None and done >= self._calls // 2:
            self.left = self._calls - done
            self._happens()


@contextmanager
def half_way(
    address: Address, *, happens: Callable[[], None], patience_seconds: float
) -> Iterator[Executor]:
    """Open an executor as a command does; print how many calls were left when ``happens`` ran."""
    with open_executor(address, patience_seconds=patience_seconds) as executor:
        found = HalfWay(executor, calls=NESTED, happens=happens)
        try:
            yield found
        finally:
            sys.stdout.write(f"left {found.left}\n")


# Arguments: the processes to kill half-way, a number of seconds, and the command's arguments.
KILLING = """
import os, signal, sys
from functools import partial
from purekernel.cli import cluster, main
from tests.clusters import half_way
def kill():
    for number in sys.argv[1].split(","):
        os.kill(int(number), getattr(signal, "SIGKILL", signal.SIGTERM))
cluster.open_executor = partial(half_way, happens=kill, patience_seconds=float(sys.argv[2]))
sys.exit(main(sys.argv[3:]))
"""


# The executor gets one call for each file.
NESTED = 24


def write_overlay(folder: Path) -> Path:
    """Write a folder of gzip files and text, 80 kB of it unpacked; return its path."""
    words = b"the kernel of a tiny core in smaller gzip files".split()
    chance = random.Random(0)
    site = folder / "site"
    site.mkdir()
    for number in range(NESTED):
        text = b" ".join(chance.choices(words, k=300 + 30 * number))
        (site / f"text{number:02}").write_bytes(text[:2000])
        packed = gzip.compress(text, 1, mtime=0)
        (site / f"text{number:02}.gz").write_bytes(packed)
        os.utime(site / f"text{number:02}.gz", (0, 0))
    return site
