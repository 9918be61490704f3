"""Cache encoded bytes in the user's cache folder.

Each entry is one file, ``encoded-v1/ab/NAME`` below the store's folder. NAME is the SHA-256 of the
key, in hex, and ``ab`` its first two digits. The file holds the SHA-256 of the name and the content
(32 bytes), then the content. A file that is damaged, or has another entry's name, is deleted when
it is read. The digest uses no secret, so it does not stop an attacker with write access; the caller
checks the content against the input.

Several processes may use the cache at once: a file is renamed to its name once it is complete. Its
mtime is the time of its last use. When the total size is over the limit, the least recently used
files are deleted. Entries of older releases have names that are never read, so they count towards
the size and are deleted first.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from purekernel.errors import LimitError, PurekernelError, StoreError
from purekernel.host.cache_folder import clear_temporary, default_folder
from purekernel.host.hints import reason
from purekernel.host.no_follow import touch
from purekernel.host.read import load_file
from purekernel.host.staging import remove, replace_file, temporary_name
from purekernel.input import Buffer, Limits
from purekernel.records import frozen

_LAYOUT = "encoded-v1"
# Keeps names apart from those of the older format, whose digest covers the content alone.
_ENTRY_FORMAT = b"entry 2\0"
_DIGEST_BYTES = hashlib.sha256().digest_size

# Files with other names are not cache entries, and are kept.
_NAME = re.compile("[0-9a-f]{64}")

DEFAULT_MOST_BYTES = 1 << 30


@frozen(kw_only=True)
class Usage:
    """The number and total size of cache entries."""

    files: int
    size_bytes: int


class EncodedCache:
    """A cache of encoded bytes on disk. A disk error costs time but fails no build.

    Args:
        folder: the store's folder; ``None`` for the user's own.
        most_bytes: the largest total size after :meth:`prune`.
    """

    def __init__(self, folder: Path | None = None, *, most_bytes: int = DEFAULT_MOST_BYTES) -> None:
        self.folder = (default_folder() if folder is None else folder).absolute() / _LAYOUT
        self._most_bytes = most_bytes
        self._grew = False

    def get(self, key: str) -> bytes | None:
        """Return the entry for ``key``, or ``None``; delete a damaged entry."""
        path = self._path(key)
        try:
            data = load_file(path, limits=Limits(unpacked_bytes=self._most_bytes))
        except LimitError:
            remove(path)  # over the limit, and perhaps too large for memory
            return None
        except PurekernelError:
            return None
        content = data[_DIGEST_BYTES:]
        if _digest(path, content) != data[:_DIGEST_BYTES]:
            remove(path)
            return None
        with suppress(OSError):
            touch(path)
        return content

    def put(self, key: str, content: Buffer) -> None:
        """Store ``content`` under ``key``; ignore disk errors."""
        path = self._path(key)
        data = _digest(path, content) + bytes(content)
        with suppress(PurekernelError, OSError, ValueError):
            replace_file(path, data, by_way_of=self.folder / "tmp" / temporary_name())
            self._grew = True

    def close(self) -> None:
        """Prune the cache if an entry was added; ignore disk errors."""
        if self._grew:
            with suppress(StoreError):
                self.prune()

    def usage(self) -> Usage:
        """Return the number and total size of all entries.

        Raises:
            StoreError: the folder cannot be listed.
        """
        sizes = [size_bytes for _used, size_bytes, _path in self._files()]
        return Usage(files=len(sizes), size_bytes=sum(sizes))

    def prune(self, most_bytes: int | None = None) -> Usage:
        """Delete the least recently used entries until at most ``most_bytes`` remain.

        Returns:
            The number and total size of the deleted entries.

        Raises:
            StoreError: the folder cannot be listed, or more remains, because some files cannot be
                deleted.
        """
        most_bytes = self._most_bytes if most_bytes is None else most_bytes
        clear_temporary(self.folder / "tmp")
        files = sorted(self._files())
        remaining_bytes = sum(size_bytes for _used, size_bytes, _path in files)
        deleted, deleted_bytes, undeletable = 0, 0, 0
        for _used, size_bytes, path in files:
            if remaining_bytes <= most_bytes:
                break
            if not remove(path):
                undeletable += 1
                continue
            remaining_bytes -= size_bytes
            deleted += 1
            deleted_bytes += size_bytes
        if remaining_bytes > most_bytes and undeletable:
            raise StoreError(
                f"{self.folder}: cannot prune the cache: {undeletable} files cannot be deleted",
                hint="check that you have write permission there",
            )
        return Usage(files=deleted, size_bytes=deleted_bytes)

    def clear(self) -> Usage:
        """Delete all entries, and return their number and total size.

        Temporary files of other processes are deleted too; those processes then store nothing.

        Raises:
            StoreError: some entries cannot be deleted.
        """
        with suppress(OSError):
            for path in (self.folder / "tmp").iterdir():
                remove(path)
        return self.prune(-1)

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(_ENTRY_FORMAT + key.encode()).hexdigest()
        return self.folder / name[:2] / name

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield each entry's time of last use, size in bytes and path.

        Raises:
            StoreError: the folder cannot be listed.
        """
        folders = [path for path in self._list(self.folder) if len(path.name) == 2]
        for path in (path for folder in folders for path in self._list(folder)):
            with suppress(OSError):
                status = path.lstat()
                if _NAME.fullmatch(path.name) and not stat.S_ISDIR(status.st_mode):
                    yield status.st_mtime, status.st_size, path

    def _list(self, folder: Path) -> list[Path]:
        try:
            return list(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(
                f"the cache of encoded pieces, {self.folder}, cannot be read: {reason(error)}",
                hint="check the disk, or set another folder with --cache-dir or PUREKERNEL_CACHE",
            ) from None


def _digest(path: Path, content: Buffer) -> bytes:
    """Return the digest that binds ``content`` to the entry at ``path``."""
    digest = hashlib.sha256(bytes.fromhex(path.name))
    digest.update(content)
    return digest.digest()
