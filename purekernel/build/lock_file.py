"""Where the lock file of a request stands; read it, and write it whole or not at all."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import BinaryIO

from purekernel.errors import InputError, LockError
from purekernel.host.read import load_file
from purekernel.host.write import Output, publish
from purekernel.recipe.request import Asked
from purekernel.sources.lock import Lock
from purekernel.sources.lock_text import build_lock, parse_lock

LOCK_NAME = "purekernel.lock"
ENDING = ".lock"


def lock_path(asked: Asked) -> Path:
    """Return where the lock file stands: beside the recipe, under its name."""
    return Path(LOCK_NAME) if asked.path is None else asked.path.with_suffix(ENDING)


def load_lock(path: Path, *, required: bool = False) -> Lock | None:
    """Return what a lock file pins; ``None`` where there is none.

    Args:
        path: of the file.
        required: whether there must be one.

    Raises:
        LockError: it cannot be read, is damaged, or is required and not there.
    """
    try:
        if not required and not os.path.lexists(path):
            return None
        data = load_file(path)
    except InputError as error:
        hint = "make it with 'purekernel lock', or name another" if required else error.hint
        raise LockError(error.message, hint=hint) from None
    return parse_lock(data, source=str(path))


def write_lock(path: Path, lock: Lock) -> Output:
    """Write a lock file.

    Raises:
        OutputError: it cannot be written; what stood there before still stands.
    """
    (output,) = publish(path.parent, {path.name: partial(_write, build_lock(lock))})
    return output


def _write(content: bytes, stream: BinaryIO) -> None:
    stream.write(content)
