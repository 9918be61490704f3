"""The cache of encoded bytes: what the slow encoders made, in the user's cache folder.

Below the store's folder, ``encoded-v1/ab/…`` has one file for each entry. Its name is a SHA-256 of
the key. It starts with the SHA-256 of the name and the content, and then has the content: a file
that is damaged, or that stands under another entry's name, is deleted when it is read. The digest
has no secret, so it does not keep out a person who may write here; the code that asks for an entry
checks the content against the data it was made of.

Any number of processes may use the cache: a file gets its name by a rename, when it is whole. The
time of a file is that of its last use, and the least recently used are deleted when all together
have too many bytes. Entries of older releases lie in the same folder under names that are never
asked for, so they are counted, and deleted first.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from purekernel.errors import PurekernelError, StoreError
from purekernel.host.cache_folder import clear_temporary, default_folder
from purekernel.host.no_follow import touch
from purekernel.host.write import remove, replace_file, temporary_name
from purekernel.tree import Buffer

_LAYOUT = "encoded-v1"
# Makes the names others than those of entries whose digest is of the content alone.
_ENTRY_FORMAT = b"entry 2\0"
_DIGEST_BYTES = hashlib.sha256().digest_size

# What is called otherwise is not ours, and stays.
_NAME = re.compile("[0-9a-f]{64}")

DEFAULT_MOST_BYTES = 1 << 30


@frozen(kw_only=True)
class Usage:
    """What a cache holds."""

    files: int
    size_bytes: int


class EncodedCache:
    """What is encoded once is read from here ever after. Faults of the disk cost time, no build.

    Args:
        folder: the store's; ``None`` is the user's own.
        most_bytes: what all files together may have after :meth:`prune`.
    """

    def __init__(self, folder: Path | None = None, *, most_bytes: int = DEFAULT_MOST_BYTES) -> None:
        self.folder = (default_folder() if folder is None else folder).absolute() / _LAYOUT
        self._most_bytes = most_bytes
        self._grew = False

    def get(self, key: str) -> bytes | None:
        """Return what is kept under ``key``, or ``None``; what is damaged is taken away."""
        path = self._path(key)
        try:
            if not path.is_file():
                return None  # who reads a pipe, or a link to a device, may never come back
            if path.stat().st_size > self._most_bytes:
                remove(path)  # more than would be kept, and perhaps than fits into memory
                return None
            kept = path.read_bytes()
        except (OSError, ValueError):
            return None
        content = kept[_DIGEST_BYTES:]
        if _digest(path, content) != kept[:_DIGEST_BYTES]:
            remove(path)
            return None
        with suppress(OSError):
            touch(path)
        return content

    def put(self, key: str, content: Buffer) -> None:
        """Keep ``content`` under ``key``, if the disk lets us."""
        path = self._path(key)
        data = _digest(path, content) + bytes(content)
        with suppress(PurekernelError, OSError, ValueError):
            replace_file(path, data, by_way_of=self.folder / "tmp" / temporary_name())
            self._grew = True

    def close(self) -> None:
        """Make room, if anything was put in and the disk lets us."""
        if self._grew:
            with suppress(StoreError):
                self.prune()

    def usage(self) -> Usage:
        """Return what there is."""
        sizes = [size_bytes for _used, size_bytes, _path in self._files()]
        return Usage(files=len(sizes), size_bytes=sum(sizes))

    def prune(self, most_bytes: int | None = None) -> Usage:
        """Take away what was used least lately, until no more than ``most_bytes`` are left.

        Returns:
            What was taken away.

        Raises:
            StoreError: too much is left, for some of it cannot be taken away.
        """
        most_bytes = self._most_bytes if most_bytes is None else most_bytes
        clear_temporary(self.folder / "tmp")
        files = sorted(self._files())
        left_bytes = sum(size_bytes for _used, size_bytes, _path in files)
        taken, taken_bytes, stuck = 0, 0, 0
        for _used, size_bytes, path in files:
            if left_bytes <= most_bytes:
                break
            if not remove(path):
                stuck += 1
                continue
            left_bytes -= size_bytes
            taken += 1
            taken_bytes += size_bytes
        if left_bytes > most_bytes and stuck:
            raise StoreError(
                f"the cache, {self.folder}, cannot be made smaller: {stuck} of its files stay",
                hint="see whether you may write there",
            )
        return Usage(files=taken, size_bytes=taken_bytes)

    def clear(self) -> Usage:
        """Take away all of it, and return what that was.

        What others are writing goes too: they do without.

        Raises:
            StoreError: some of it cannot be taken away.
        """
        with suppress(OSError):
            for path in (self.folder / "tmp").iterdir():
                remove(path)
        return self.prune(-1)

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(_ENTRY_FORMAT + key.encode()).hexdigest()
        return self.folder / name[:2] / name

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield of each file when it was used last, its size in bytes and its place."""
        for path in self.folder.glob("??/*"):
            with suppress(OSError):
                status = path.lstat()
                if _NAME.fullmatch(path.name) and not stat.S_ISDIR(status.st_mode):
                    yield status.st_mtime, status.st_size, path


def _digest(path: Path, content: Buffer) -> bytes:
    """Return the digest that binds ``content`` to the entry at ``path``."""
    digest = hashlib.sha256(bytes.fromhex(path.name))
    digest.update(content)
    return digest.digest()
