"""One folder of extensions, asked file by file or through its three indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from attrs import evolve, field, frozen

from purekernel.errors import DownloadError, FormatError
from purekernel.fetch.urls import join_url
from purekernel.fetch.wanted import MIB, Fetched, Kind, Wanted
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.limits import Limits
from purekernel.formats.tinycore import (
    parse_dependency_index,
    parse_md5,
    parse_md5_index,
    parse_size_index,
)
from purekernel.repos.tinycore.extension import DEPENDENCIES, INFO, LISTING, MD5
from purekernel.tree import Buffer

T = TypeVar("T")

DEPENDENCY_INDEX, MD5_INDEX, SIZE_INDEX = "dep.db.gz", "md5.db.gz", "sizelist.gz"
INDEXES = (DEPENDENCY_INDEX, MD5_INDEX, SIZE_INDEX)

# The real ones are under 100 KB, and unpack to four times that.
INDEX_LIMITS = Limits(unpacked_bytes=64 * MIB)
MOST_INDEX_BYTES = 16 * MIB

# What may stand beside an extension. The list of a kernel's sources names 40,000 files.
MOST_SIDE_BYTES = {MD5: 4096, DEPENDENCIES: MIB, INFO: MIB, LISTING: 64 * MIB}


class Downloads(Protocol):
    """What fetches files; see :mod:`purekernel.fetch.downloads`."""

    def fetch_all(self, wanted: Iterable[Wanted]) -> list[Fetched | None]:
        """Return the files, in the order asked for."""
        ...

    def try_all(self, wanted: Iterable[Wanted]) -> list[Fetched | DownloadError | None]:
        """Return the files, or why one cannot be had, in the order asked for."""
        ...

    def look_all(self, wanted: Iterable[Wanted]) -> list[bool | DownloadError]:
        """Return whether a source has each file, or why nobody can tell."""
        ...

    def load(self, fetched: Fetched) -> bytes:
        """Return the content, checked against its digest."""
        ...


@frozen(kw_only=True)
class Indexes:
    """The three indexes of a folder; ``None`` where it does not have one."""

    dependencies: Mapping[str, tuple[str, ...]] | None = None
    digests: Mapping[str, str] | None = None
    sizes: Mapping[str, int] = field(factory=dict)


@frozen(kw_only=True)
class Found:
    """An extension that a folder has.

    Attributes:
        digest: its MD5 in hexadecimal, where that is known.
        listed: whether the folder's index says so, and not its files.
    """

    digest: str | None
    listed: bool


class ExtensionFolder:
    """A folder that holds ``NAME.tcz`` and what stands beside them.

    Args:
        place: its URL or path.
        downloads: what fetches.
    """

    def __init__(self, place: str, downloads: Downloads) -> None:
        self.place = place
        self._downloads = downloads

    def url(self, name: str) -> str:
        """Return where a file of that name is."""
        return join_url(self.place, name)

    def index_files(self, *, attempts: int | None) -> list[Wanted]:
        """Return the three indexes as they are wanted, each asked for so many times at most."""
        return [
            Wanted(
                name=name,
                urls=(self.url(name),),
                kind=Kind.GZIP,
                optional=True,
                most_bytes=MOST_INDEX_BYTES,
                attempts=attempts,
            )
            for name in INDEXES
        ]

    def read_indexes(self, fetched: Iterable[Fetched | None]) -> Indexes:
        """Return what the three indexes say, as they came for :meth:`index_files`."""
        needs, digests, sizes = fetched
        return Indexes(
            dependencies=self._parse(needs, parse_dependency_index),
            digests=self._parse(digests, parse_md5_index),
            sizes=self._parse(sizes, parse_size_index) or {},
        )

    def look(self, names: list[str], *, attempts: int | None) -> dict[str, Found | DownloadError]:
        """Return which extensions are there, or why that cannot be told, going by the files.

        Raises:
            FormatError: what should be a digest is none.
        """
        sides = self._downloads.try_all(
            evolve(side_wanted(name, MD5, (self.url(name + MD5),)), attempts=attempts)
            for name in names
        )
        found: dict[str, Found | DownloadError] = {}
        silent = []
        for name, side in zip(names, sides, strict=True):
            if side is None:
                silent.append(name)
            elif isinstance(side, DownloadError):
                found[name] = side
            else:
                try:
                    digest = parse_md5(self._downloads.load(side), source=side.url)
                except FormatError as error:
                    if attempts is None:
                        raise
                    found[name] = DownloadError(error.message)
                else:
                    found[name] = Found(digest=digest, listed=False)
        # One without a digest is an extension all the same.
        seen = self._downloads.look_all(
            evolve(package_wanted(name, (self.url(name),)), attempts=attempts) for name in silent
        )
        for name, answer in zip(silent, seen, strict=True):
            if isinstance(answer, DownloadError):
                found[name] = answer
            elif answer:
                found[name] = Found(digest=None, listed=False)
        return found

    def _parse(self, fetched: Fetched | None, parse: Callable[..., T]) -> T | None:
        if fetched is None:
            return None
        packed: Buffer = self._downloads.load(fetched)
        try:
            data = parse_gzip(packed, source=fetched.url, limits=INDEX_LIMITS)
            return parse(data, source=fetched.url)
        except FormatError:
            # One odd line must not keep everybody from the mirror: the files say the same.
            return None


def package_wanted(name: str, urls: tuple[str, ...]) -> Wanted:
    """Return an extension as it is wanted from ``urls``."""
    return Wanted(name=name, urls=urls, kind=Kind.SQUASHFS)


def side_wanted(name: str, side: str, urls: tuple[str, ...]) -> Wanted:
    """Return what stands beside an extension as it is wanted from ``urls``."""
    return Wanted(
        name=name + side,
        urls=urls,
        kind=Kind.TEXT,
        optional=True,
        most_bytes=MOST_SIDE_BYTES[side],
    )
