"""dask.distributed behind an executor, with its failures as errors of ours.

The one importer of distributed. Its own executor (``Client.get_executor()``) waits for ever where
no worker is left, and where the scheduler dies between saying that a call is done and handing over
its result.

Arguments travel with their calls, and the scheduler has them until the calls are done. What is
scattered to a worker beforehand, as dask advises of large ones, would be lost with that worker.

This module takes half a second to import: import it where it is used.
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

T = TypeVar("T")

# For the scheduler to answer; and again for a worker to be there and all to say what they have.
CONNECT_SECONDS = 10.0
# For saying good-bye to a scheduler that may be gone.
_CLOSE_SECONDS = 5.0
# From one look at whether there are workers to the next.
_LOOK_SECONDS = 1.0

# dask warns of large arguments, which is all that ours are.
_SETTINGS = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}

_SCHEDULER = "the scheduler"

_REACH = (
    "correct the address, or start one there: dask scheduler",
    "correct the address, or the certificates in dask's configuration",
)
_AGAIN = "see what the cluster's logs say, start what is missing, and build again"
_SAME = "install the same on all machines, the scheduler's, too, and start them anew"


@contextmanager
def connect(address: Address, *, patience_seconds: float) -> Iterator[Executor]:
    """Give an executor of the cluster at ``address``, for as long as it takes.

    Raises:
        ClusterError: it cannot be reached, has no workers, or other releases than this machine.
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
    """Calls that a cluster's workers make.

    All that has to do with the cluster runs in the background, where it can be given up at any
    time: dask bounds how long it takes to reach a server, and not how long that takes to answer.
    """

    def __init__(self, address: Address, patience_seconds: float) -> None:
        self._address = address
        self._patience_seconds = patience_seconds
        self._releases = releases()
        self._futures: set[Future[Any]] = set()
        self._is_shut = False
        self._is_ready: Future[None] = Future()
        self._background = Background(self._live())
        # What follows is the event loop's.
        self._client: Client
        self._lost: asyncio.Future[ClusterError] = self._background.loop.create_future()
        self._waiting = 0

    def connect(self) -> None:
        """Reach the cluster, and see that it is what is wanted."""
        self._background.start()
        self._is_ready.result()

    def disconnect(self) -> None:
        """Leave the cluster, which drops what it was to do for us, whether it answers or not."""
        self._background.stop(patience_seconds=2 * _CLOSE_SECONDS)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Let a worker make a call; all that goes there and comes back is pickled."""
        if self._is_shut:
            raise RuntimeError("no more calls are taken after shutdown")
        call = Call(releases=self._releases, function=fn, arguments=args, keywords=kwargs)
        future: Future[T] = self._background.add(self._make(call))
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; wait for those that were taken, or give them up."""
        self._is_shut = True
        futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait:
            wait_for(futures)

    async def _live(self) -> None:
        """Reach the cluster and look after it, until this is cancelled."""
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
        except BaseException as error:  # noqa: BLE001  # whoever waits for it shall have it
            if not self._is_ready.done():
                self._is_ready.set_exception(error)

    async def _reach(self) -> None:
        """Wait for the scheduler to answer and for a worker to be there."""
        workers = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client
                while not (workers := await self._client.nthreads()):
                    await asyncio.sleep(_LOOK_SECONDS / 10)
        except OSError:
            if workers is not None:
                raise ClusterError(
                    f"{self._address.text} has no workers",
                    hint=f"start some, on any machine: dask worker {self._address.url}",
                ) from None
            raise ClusterError(
                f"no scheduler answers at {self._address.text}", hint=_REACH[self._address.is_tls]
            ) from None
        except Exception as error:  # noqa: BLE001  # other servers make dask raise anything
            raise ClusterError(
                f"what answers at {self._address.text} is no scheduler that is understood: "
                f"{_words(error)}",
                hint=_REACH[self._address.is_tls],
            ) from None

    async def _check(self) -> None:
        """Refuse a cluster where somebody has other releases, or does not say which."""
        workers = await self._client.nthreads()
        there = await asyncio.gather(*(_ask(self._client, name) for name in (None, *workers)))
        names = (_SCHEDULER, *workers)
        if wrong := differences(self._releases, dict(zip(names, there, strict=True))):
            raise self._unlike(wrong)

    async def _make(self, call: Call) -> Any:
        """Have a call made, and wait for what it returns."""
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
        """Find out when nobody is left that could make the calls that are waiting."""
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
                    ClusterError(f"no worker is left at {self._address.text}", hint=_AGAIN)
                )
                break
        await asyncio.Event().wait()  # there is nothing to wait for but the end

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"the scheduler at {self._address.text} is gone, or was started anew", hint=_AGAIN
        )

    def _unlike(self, wrong: str) -> ClusterError:
        return ClusterError(
            f"not all machines at {self._address.text} have the releases of this one: {wrong}",
            hint=_SAME,
        )

    def _explain(self, error: BaseException) -> BaseException:
        """Return what a call raised, or why it could not be made, as the user should see it."""
        where = self._address.text
        if isinstance(error, KilledWorker):
            return ClusterError(
                f"one worker after the other died at {where} over the same work, the last "
                f"{error.last_worker.address}",
                hint="see what they say: they may lack memory, or purekernel",
            )
        if isinstance(error, ImportError):
            return ClusterError(f"a worker at {where} lacks something: {error}", hint=_SAME)
        if isinstance(error, MemoryError):
            return ClusterError(
                f"a worker at {where} has too little memory",
                hint="give workers more of it, or fewer threads: dask worker --nthreads 1",
            )
        return error


def _security(address: Address) -> Security | None:
    """Return the certificates that dask is configured with, for an address that needs some."""
    if not address.is_tls:
        return None
    setting = "set distributed.comm.tls.ca-file, and cert and key of its client, as dask says"
    try:
        security = Security()
        known = security.get_connection_args("client").get("ssl_context")
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"dask's certificates for {address.text} are of no use: {error}", hint=setting
        ) from None
    if known is None:
        raise ClusterError(
            f"{address.text} needs certificates, and dask is configured with none", hint=setting
        )
    return security


def _make_there(call: Call) -> tuple[str, Answer]:
    """Make a call, on a worker; return its address, too."""
    return get_worker().address, call()


async def _ask(client: Client, worker: str | None) -> Releases | str:
    """Return what a worker has, or the scheduler; or in words why that is not known."""
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
        # Which module it was, dask tells in words alone.
        lacking = re.search(r"No module named '([\w.]+)'", str(answer))
        return f"no {lacking[1]}" if lacking else _words(answer)
    found: Releases = answer
    return found


def _words(error: BaseException) -> str:
    """Return what an exception of somebody else's is, and says if it says something."""
    return ": ".join(filter(None, (type(error).__name__, str(error))))
