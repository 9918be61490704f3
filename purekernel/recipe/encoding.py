"""Hold the options that control how the core is compressed."""

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
from purekernel.input import Limits
from purekernel.recipe.flavour import Flavour
from purekernel.threads import Threads
from purekernel.tree import Buffer

# A production image is built once and downloaded often.
_OF_FLAVOURS = {Flavour.PROD: Effort.MAX}


class Modules(Enum):
    """How to store kernel modules that are compressed with gzip."""

    KEEP = "keep"
    """Keep the modules as they are."""
    REDO = "redo"
    """Recompress the modules to a smaller size, as for other gzip files."""
    RAW = "raw"
    """Decompress the modules: the core compresses better, and the modules take more memory after
    booting."""


def _is_positive(_encoding: object, _attribute: object, jobs: int | None) -> None:
    if jobs is not None and jobs < 1:
        raise UsageError(
            f"jobs must be 1 or more, got {jobs}", hint="give 1 or more, or leave it out"
        )


def _has_no_jobs(encoding: Encoding, _attribute: object, executor: Executor | None) -> None:
    if executor is not None and encoding.jobs is not None:
        raise UsageError(
            "jobs and executor cannot be used together: an executor has its own number of workers",
            hint="leave out one of the two",
        )


@frozen(kw_only=True)
class Encoding:
    """Options for compressing the core.

    ``jobs``, ``executor`` and ``cache`` do not change the bytes of the result.

    Attributes:
        effort: ``None`` for the flavour's effort: the highest for production, balanced otherwise.
        jobs: number of encoders that run at once; ``None`` for one per processor.
        nested: recompress gzip files inside the image, at efforts that do so.
        modules: how to store kernel modules.
        compression: the core's compression; ``None`` for the smallest that the kernel is known
            to support. With a compression other than gzip, the result depends only on the
            release of its library; it is neither split into segments nor cached.
        executor: runs the encoders in place of threads. Any executor works, including one that
            uses processes or other machines.
        cache: stores the encoders' results.

    Raises:
        UsageError: ``jobs`` is less than 1, or ``jobs`` and ``executor`` are both given.
    """

    effort: Effort | None = None
    jobs: int | None = field(default=None, validator=_is_positive)
    nested: bool = True
    modules: Modules = Modules.REDO
    compression: Compression | None = Compression.GZIP
    executor: Executor | None = field(default=None, validator=_has_no_jobs)
    cache: Cache | None = None

    def effort_for(self, flavour: Flavour | None) -> Effort:
        """Return the effort for an image of ``flavour``."""
        if self.effort is not None:
            return self.effort
        return Effort.BALANCED if flavour is None else _OF_FLAVOURS.get(flavour, Effort.BALANCED)

    def compression_for(self, kernel: Buffer, *, source: str, limits: Limits) -> Compression:
        """Return the compression to use for a core that ``kernel`` decompresses.

        Raises:
            UsageError: the kernel is known not to support the requested compression, or any
                compression that purekernel can write.
        """
        if self.compression is Compression.GZIP:
            return self.compression  # every kernel of a Core release supports it
        supported = read_compressions(kernel, source=source, limits=limits)
        if self.compression is None:
            return choose_compression(supported)
        check_taken(self.compression, supported)
        return self.compression

    @contextmanager
    def running(self) -> Iterator[Executor]:
        """Yield the executor; shut it down afterwards if it was created here.

        An interrupted build does not wait for encoders that are running. Their threads continue
        in the background, for a minute at most, unless the process ends first.
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
    """Return the number of processors that the process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
