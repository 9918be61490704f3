"""Look up extensions in one folder, by its three indexes or file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from attrs import evolve, field

from purekernel.errors import DownloadError, FormatError
from purekernel.fetch.model import MIB, Download, DownloadedFile, Fetcher
from purekernel.fetch.urls import join_url
from purekernel.formats.detect import FileKind
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.tinycore import (
    parse_dependency_index,
    parse_md5,
    parse_md5_index,
    parse_size_index,
)
from purekernel.input import Input, Limits
from purekernel.records import frozen
from purekernel.repos.tinycore.extension import DEPENDENCIES, INFO, LISTING, MD5

T = TypeVar("T")

DEPENDENCY_INDEX, MD5_INDEX, SIZE_INDEX = "dep.db.gz", "md5.db.gz", "sizelist.gz"
INDEXES = (DEPENDENCY_INDEX, MD5_INDEX, SIZE_INDEX)

# Tiny Core's indexes have less than 100 KB, and decompress to four times that.
INDEX_LIMITS = Limits(unpacked_bytes=64 * MIB)
MOST_INDEX_BYTES = 16 * MIB

# Size limits of the files beside an extension. The .list of kernel sources has 40,000 lines.
MOST_COMPANION_BYTES = {MD5: 4096, DEPENDENCIES: MIB, INFO: MIB, LISTING: 64 * MIB}


class ExtensionFetcher(Fetcher, Protocol):
    """Fetches files, and says which of them exist; see :mod:`purekernel.fetch.downloads`."""

    def try_all(self, downloads: Iterable[Download]) -> list[DownloadedFile | DownloadError | None]:
        """Return each file or the error that prevented it, in the order of ``downloads``."""
        ...

    def look_all(self, downloads: Iterable[Download]) -> list[bool | DownloadError]:
        """Return whether a source has each file, or the error if no source answers."""
        ...


@frozen(kw_only=True)
class Indexes:
    """The three indexes of a folder; ``None`` for a missing index."""

    dependencies: Mapping[str, tuple[str, ...]] | None = None
    digests: Mapping[str, str] | None = None
    sizes: Mapping[str, int] = field(factory=dict)


class ExtensionFolder:
    """A folder of ``NAME.tcz`` files and the files beside them.

    Args:
        place: URL or path of the folder.
        downloads: fetches files.
    """

    def __init__(self, place: str, downloads: ExtensionFetcher) -> None:
        self.place = place
        self._downloads = downloads

    def url(self, name: str) -> str:
        """Return the URL or path of a file in the folder."""
        return join_url(self.place, name)

    def index_files(self, *, attempts: int | None) -> list[Download]:
        """Return the downloads of the three indexes, with at most ``attempts`` attempts each."""
        return [
            Download(
                name=name,
                urls=(self.url(name),),
                kind=FileKind.GZIP,
                optional=True,
                most_bytes=MOST_INDEX_BYTES,
                attempts=attempts,
            )
            for name in INDEXES
        ]

    def read_indexes(self, fetched: Iterable[DownloadedFile | None]) -> Indexes:
        """Parse the three indexes that were fetched for :meth:`index_files`."""
        needs, digests, sizes = fetched
        return Indexes(
            dependencies=self._parse(needs, parse_dependency_index),
            digests=self._parse(digests, parse_md5_index),
            sizes=self._parse(sizes, parse_size_index) or {},
        )

    def look(
        self, names: list[str], *, attempts: int | None
    ) -> dict[str, str | DownloadError | None]:
        """Look up extensions by their files; return the MD5 of each that the folder has.

        The MD5 is in hexadecimal, and ``None`` if it is unknown. The result has an error for each
        extension that the folder gave no answer for, and no entry for a missing one.

        Raises:
            FormatError: the file of a digest is damaged, and ``attempts`` is ``None``.
        """
        digests = self._downloads.try_all(
            evolve(companion_download(name, MD5, (self.url(name + MD5),)), attempts=attempts)
            for name in names
        )
        found: dict[str, str | DownloadError | None] = {}
        without_digest = []
        for name, file in zip(names, digests, strict=True):
            if file is None:
                without_digest.append(name)
            elif isinstance(file, DownloadError):
                found[name] = file
            else:
                try:
                    found[name] = parse_md5(Input(self._downloads.load(file), name=file.url))
                except FormatError as error:
                    if attempts is None:
                        raise
                    found[name] = DownloadError(error.message)
        # An extension can exist without a file of its digest.
        answers = self._downloads.look_all(
            evolve(extension_download(name, (self.url(name),)), attempts=attempts)
            for name in without_digest
        )
        for name, answer in zip(without_digest, answers, strict=True):
            if isinstance(answer, DownloadError):
                found[name] = answer
            elif answer:
                found[name] = None
        return found

    def _parse(self, fetched: DownloadedFile | None, parse: Callable[[Input], T]) -> T | None:
        if fetched is None:
            return None
        packed = self._downloads.load(fetched)
        try:
            file = Input(packed, name=fetched.url, limits=INDEX_LIMITS)
            return parse(file.unpacked(parse_gzip(file)))
        except FormatError:
            # A damaged line must not make the mirror unusable: the files have the same information.
            return None


def extension_download(name: str, urls: tuple[str, ...]) -> Download:
    """Return the download of an extension from ``urls``."""
    return Download(name=name, urls=urls, kind=FileKind.SQUASHFS)


def companion_download(name: str, suffix: str, urls: tuple[str, ...]) -> Download:
    """Return the download of a file beside an extension from ``urls``."""
    return Download(
        name=name + suffix,
        urls=urls,
        kind=FileKind.TEXT,
        optional=True,
        most_bytes=MOST_COMPANION_BYTES[suffix],
    )
