"""Run calls on dask.distributed through an executor, and turn its failures into ClusterError.

No other module imports distributed. Its own executor (``Client.get_executor()``) hangs forever if
no worker is left, or if the scheduler dies after it reports a call as done and before it sends the
result.

Arguments are sent with their calls, and the scheduler keeps them until the calls are done. dask
advises to scatter large arguments to a worker first, but they would be lost with that worker.

This module takes half a second to import: import it only where it is used.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from uuid import uuid4

import dask
from distributed import Client, KilledWorker, Security, get_worker

from purekernel.encode.cluster.address import Address
from purekernel.encode.cluster.background import Background
from purekernel.encode.cluster.releases import Answer, Call, Releases, differences, releases
from purekernel.errors import ClusterError
from purekernel.interruption import result_of

T = TypeVar("T")

# The limit for the scheduler to answer and a worker to exist; and for each machine to report its
# releases.
CONNECT_SECONDS = 10.0
# The limit for closing the connection to a scheduler that may be gone.
_CLOSE_SECONDS = 5.0
# The interval of checks whether there are workers.
_LOOK_SECONDS = 1.0

# dask warns about large arguments, and all of ours are large.
_SETTINGS = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}

_SCHEDULER = "the scheduler"

_REACH = (
    "correct the address, or start a scheduler there: dask scheduler",
    "correct the address, or the certificates in dask's configuration",
)
_AGAIN = "check the cluster's logs, restart what is missing, and build again"
_SAME = "install the same releases on all machines, including the scheduler's, and restart them"


@contextmanager
def connect(address: Address, *, patience_seconds: float) -> Iterator[Executor]:
    """Open an executor on the cluster at ``address``; close it at the end of the context.

    Raises:
        ClusterError: the cluster cannot be reached, has no workers, or has other releases than
            this machine.
    """
    with dask.config.set(_SETTINGS):
        executor = _ClusterExecutor(address, patience_seconds)
        try:
            executor.connect()
            yield executor
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            executor.disconnect()


class _ClusterExecutor(Executor):
    """An executor that runs calls on a cluster's workers.

    All communication with the cluster runs in a background thread, so that it can be abandoned at
    any time: dask has a timeout for connecting to a server, but none for the server's answer.
    """

    def __init__(self, address: Address, patience_seconds: float) -> None:
        self._address = address
        self._patience_seconds = patience_seconds
        self._releases = releases()
        self._futures: set[Future[Any]] = set()
        self._is_shut = False
        self._is_ready: Future[None] = Future()
        self._background = Background(self._live())
        # Only the event loop uses the attributes below.
        self._client: Client
        self._lost: asyncio.Future[ClusterError] = self._background.loop.create_future()
        self._waiting = 0

    def connect(self) -> None:
        """Connect to the cluster, and check its workers and releases."""
        self._background.start()
        result_of(self._is_ready)

    def disconnect(self) -> None:
        """Disconnect, whether the cluster answers or not; the cluster then drops our calls."""
        self._background.stop(patience_seconds=2 * _CLOSE_SECONDS)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a call on a worker; arguments and result are pickled."""
        if self._is_shut:
            raise RuntimeError("cannot submit calls after shutdown")
        call = Call(releases=self._releases, function=fn, arguments=args, keywords=kwargs)
        future: Future[T] = self._background.add(self._make(call))
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls; wait for pending calls, or cancel them."""
        self._is_shut = True
        futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait:
            wait_for(futures)

    async def _live(self) -> None:
        """Connect to the cluster and watch it, until cancelled."""
        try:
            security = _security(self._address)
            self._client = Client(
                self._address.url, asynchronous=True, set_as_default=False, security=security
            )
            try:
                await self._reach()
                await self._check()
                self._is_ready.set_result(None)
                await self._watch()
            except OSError:
                raise self._gone() from None
            finally:
                with suppress(OSError):
                    async with asyncio.timeout(_CLOSE_SECONDS):
                        await self._client.close()
        except BaseException as error:  # noqa: BLE001  # connect() raises it
            if not self._is_ready.done():
                self._is_ready.set_exception(error)

    async def _reach(self) -> None:
        """Wait until the scheduler answers and has a worker."""
        workers = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client
                while not (workers := await self._client.nthreads()):
                    await asyncio.sleep(_LOOK_SECONDS / 10)
        except OSError:
            if workers is not None:
                raise ClusterError(
                    f"{self._address.text}: the cluster has no workers",
                    hint=f"start a worker on any machine: dask worker {self._address.url}",
                ) from None
            raise ClusterError(
                f"{self._address.text}: no scheduler answers", hint=_REACH[self._address.is_tls]
            ) from None
        except Exception as error:  # noqa: BLE001  # other servers make dask raise anything
            raise ClusterError(
                f"{self._address.text}: the server must be a compatible dask scheduler, got "
                f"{_words(error)}",
                hint=_REACH[self._address.is_tls],
            ) from None

    async def _check(self) -> None:
        """Refuse a cluster where a machine has other or unknown releases."""
        workers = await self._client.nthreads()
        there = await asyncio.gather(*(_ask(self._client, name) for name in (None, *workers)))
        names = (_SCHEDULER, *workers)
        if wrong := differences(self._releases, dict(zip(names, there, strict=True))):
            raise self._unlike(wrong)

    async def _make(self, call: Call) -> Any:
        """Run a call on the cluster, and return its result."""
        if self._lost.done():
            raise self._lost.result()
        if self._client.status != "running":
            raise self._gone()
        remote = self._client.submit(_make_there, call, key=f"purekernel-{uuid4().hex}", pure=False)
        answering = asyncio.ensure_future(remote.result())
        self._waiting += 1
        try:
            await asyncio.wait((answering, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise self._lost.result()
            if answering.cancelled() or (answering.exception() and remote.status != "error"):
                raise self._gone()
            if error := answering.exception():
                raise self._explain(error)
            where, answer = answering.result()
            if wrong := differences(self._releases, {where: answer.releases}):
                raise self._unlike(wrong)
            return answer.value
        finally:
            self._waiting -= 1
            answering.cancel()
            remote.release()

    async def _watch(self) -> None:
        """Fail waiting calls if the scheduler is gone, or if no worker is left for too long."""
        clock = asyncio.get_running_loop().time
        seen = clock()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                async with asyncio.timeout(self._patience_seconds):
                    workers = await self._client.nthreads()
            except Exception:  # noqa: BLE001  # the client may have closed itself
                self._lost.set_result(self._gone())
                break
            if workers or not self._waiting:
                seen = clock()
            elif clock() - seen > self._patience_seconds:
                self._lost.set_result(
                    ClusterError(f"{self._address.text}: no worker is left", hint=_AGAIN)
                )
                break
        await asyncio.Event().wait()  # wait until cancelled

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"{self._address.text}: the scheduler is gone or was restarted", hint=_AGAIN
        )

    def _unlike(self, wrong: str) -> ClusterError:
        return ClusterError(
            f"{self._address.text}: all machines must have the releases of this one: {wrong}",
            hint=_SAME,
        )

    def _explain(self, error: BaseException) -> BaseException:
        """Return the error that a call raised, or a ClusterError why it did not run."""
        where = self._address.text
        if isinstance(error, KilledWorker):
            return ClusterError(
                f"{where}: several workers died while running the same call, the last at "
                f"{error.last_worker.address}",
                hint="check their logs: they may lack memory, or purekernel",
            )
        if isinstance(error, ImportError):
            return ClusterError(f"{where}: a worker lacks a module: {error}", hint=_SAME)
        if isinstance(error, MemoryError):
            return ClusterError(
                f"{where}: a worker is out of memory",
                hint="give workers more memory or fewer threads: dask worker --nthreads 1",
            )
        return error


def _security(address: Address) -> Security | None:
    """Return dask's configured certificates for a TLS address, else ``None``."""
    if not address.is_tls:
        return None
    setting = "set distributed.comm.tls.ca-file, client.cert and client.key in dask's configuration"
    try:
        security = Security()
        ssl_context = security.get_connection_args("client").get("ssl_context")
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"{address.text}: cannot load dask's certificates: {error}", hint=setting
        ) from None
    if ssl_context is None:
        raise ClusterError(
            f"{address.text}: needs certificates, but dask's configuration has none", hint=setting
        )
    return security


def _make_there(call: Call) -> tuple[str, Answer]:
    """Run a call on a worker; return the worker's address and the answer."""
    return get_worker().address, call()


async def _ask(client: Client, worker: str | None) -> Releases | str:
    """Return the releases of a worker, or of the scheduler; or a text why they are unknown."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            if worker is None:
                answer = await client.run_on_scheduler(releases)
            else:
                answers = await client.run(releases, workers=[worker], on_error="return")
                answer = answers[worker]
    except TimeoutError:
        return "no answer"
    except Exception as error:  # noqa: BLE001  # whatever an import raises there
        answer = error
    if isinstance(answer, BaseException):
        # dask gives the module's name only in the message.
        lacking = re.search(r"No module named '([\w.]+)'", str(answer))
        return f"{lacking[1]} is missing" if lacking else _words(answer)
    found: Releases = answer
    return found


def _words(error: BaseException) -> str:
    """Return the type of an exception, and its message if there is one."""
    return ": ".join(filter(None, (type(error).__name__, str(error))))
