"""Verify an image against itself, and against a lock file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from purekernel.analysis.verify import Pinned, Verification, verify_image
from purekernel.input import Report, limits_of
from purekernel.plan.bases import KERNEL
from purekernel.plan.lock import Lock, load_lock


def verify(
    address: str, *, lock: Path | None, max_unpacked: int | None, note: Report
) -> Verification:
    """Verify the image at an address.

    Args:
        address: the address of the image.
        lock: the path of a lock file; ``None`` to compare with none.
        max_unpacked: the limit of what is unpacked, in bytes; ``None`` for the default.
        note: called with what the readers drop or replace, a line each.

    Raises:
        InputError, MissingPathError: nothing is at the address.
        LockError: the lock file is missing or damaged.
    """
    loaded = None if lock is None else load_lock(lock, required=True)
    return verify_image(
        address,
        pins=None if loaded is None else tuple(pinned_files(loaded)),
        limits=limits_of(max_unpacked, report=note),
    )


def pinned_files(lock: Lock) -> Iterator[Pinned]:
    """Yield the files that an image can carry as they were fetched: extensions, gems, a kernel."""
    for extension in lock.extensions.values():
        yield Pinned(name=extension.name, sha256=extension.file.sha256)
    for gem in lock.gems:
        yield Pinned(name=gem.pin.name, sha256=gem.pin.sha256)
    kernel = lock.files.get(KERNEL)
    # The pin of a kernel inside another file is that of the file.
    if kernel is not None and kernel.requested.endswith(kernel.pin.name):
        yield Pinned(name="", sha256=kernel.pin.sha256)
