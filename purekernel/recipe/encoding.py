"""How the core is made small: what a build may be told of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from enum import Enum

from attrs import field, frozen

from purekernel.encode.cache import Cache
from purekernel.encode.encoders import Effort
from purekernel.errors import UsageError
from purekernel.formats.compress import check_taken, choose_compression
from purekernel.formats.initramfs import Compression, read_compressions
from purekernel.formats.limits import Limits
from purekernel.recipe.flavour import Flavour
from purekernel.threads import Threads
from purekernel.tree import Buffer

# For production an image is made once and fetched often.
_OF_FLAVOURS = {Flavour.PROD: Effort.MAX}


class Modules(Enum):
    """What becomes of kernel modules that are packed with gzip."""

    KEEP = "keep"
    """They stay as they are."""
    REDO = "redo"
    """They are packed smaller, as other gzip files are."""
    RAW = "raw"
    """They are unpacked: what deflates the core finds more in them, and they take more memory
    once it has booted."""


def _is_positive(_encoding: object, _attribute: object, jobs: int | None) -> None:
    if jobs is not None and jobs < 1:
        raise UsageError(f"{jobs} jobs do no work", hint="give one or more, or leave it out")


def _has_no_jobs(encoding: Encoding, _attribute: object, executor: Executor | None) -> None:
    if executor is not None and encoding.jobs is not None:
        raise UsageError(
            f"{encoding.jobs} jobs are for threads, and an executor runs as many as it does",
            hint="give one of the two",
        )


@frozen(kw_only=True)
class Encoding:
    """How the core is made small.

    Neither ``jobs`` nor ``executor`` nor ``cache`` makes a difference to the bytes.

    Attributes:
        effort: ``None`` for the flavour's: the most for production, else a balance.
        jobs: how many encoders run at once; ``None`` for one a processor.
        nested: whether gzip files inside the image are packed smaller, where the effort does so.
        modules: what becomes of kernel modules.
        compression: of the core; ``None`` for the smallest that the kernel is known to take. What
            another than gzip makes hangs on nothing but the release of its library, and is neither
            cut into segments nor remembered.
        executor: what runs the encoders in place of threads: any, of processes or machines, too.
        cache: what remembers their results.

    Raises:
        UsageError: there are no jobs, or jobs beside an executor.
    """

    effort: Effort | None = None
    jobs: int | None = field(default=None, validator=_is_positive)
    nested: bool = True
    modules: Modules = Modules.REDO
    compression: Compression | None = Compression.GZIP
    executor: Executor | None = field(default=None, validator=_has_no_jobs)
    cache: Cache | None = None

    def effort_for(self, flavour: Flavour | None) -> Effort:
        """Return the effort for an image of a flavour."""
        if self.effort is not None:
            return self.effort
        return Effort.BALANCED if flavour is None else _OF_FLAVOURS.get(flavour, Effort.BALANCED)

    def compression_for(self, kernel: Buffer, *, source: str, limits: Limits) -> Compression:
        """Return the compression of a core that ``kernel`` shall unpack.

        Raises:
            UsageError: the kernel is known not to take the one that was asked for, or none that is
                written here.
        """
        if self.compression is Compression.GZIP:
            return self.compression  # which every kernel takes that there is a Core of
        taken = read_compressions(kernel, source=source, limits=limits)
        if self.compression is None:
            return choose_compression(taken)
        check_taken(self.compression, taken)
        return self.compression

    @contextmanager
    def running(self) -> Iterator[Executor]:
        """Give an executor, for as long as it takes.

        Whoever interrupts a build does not wait for what is being encoded: one of our threads goes
        on with that by itself, for a minute at worst, unless the process ends before.
        """
        if self.executor is not None:
            yield self.executor
            return
        threads = Threads(self.jobs or _processors())
        try:
            yield threads
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        threads.shutdown()


def _processors() -> int:
    """Return how many processors we may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
