"""Look up extensions in one folder, by its indexes or file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from attrs import evolve, field

from purekernel.errors import DownloadError, FormatError
from purekernel.fetch.file_mirror import list_local
from purekernel.fetch.model import MIB, Download, DownloadedFile, Fetcher
from purekernel.fetch.urls import is_local, join_url
from purekernel.formats.detect import FileKind
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.tinycore import (
    TCZ,
    is_extension_name,
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

# Indexes that only searches need.
TAG_INDEX, NAME_INDEX = "tags.db.gz", "info.lst.gz"
PROVIDES_INDEX, PLAIN_PROVIDES_INDEX = "provides.db.gz", "provides.db"

# Tiny Core's indexes have less than 100 KB, and decompress to four times that.
INDEX_LIMITS = Limits(unpacked_bytes=64 * MIB)
MOST_INDEX_BYTES = 16 * MIB

# The list of all files of all extensions has about 30 MB, and 4 MB compressed.
PROVIDES_LIMITS = Limits(unpacked_bytes=512 * MIB)
MOST_PROVIDES_BYTES = 256 * MIB

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
    """The three indexes of a folder.

    Attributes:
        dependencies: direct dependencies by name; ``None`` for a missing or damaged index.
        digests: MD5 by name, in hexadecimal; likewise.
        sizes: sizes by name, in bytes.
        damaged: what is wrong with damaged indexes, one line each.
    """

    dependencies: Mapping[str, tuple[str, ...]] | None = None
    digests: Mapping[str, str] | None = None
    sizes: Mapping[str, int] = field(factory=dict)
    damaged: tuple[str, ...] = field(default=(), eq=False)

    def names(self) -> frozenset[str]:
        """Return the names of all extensions in the indexes."""
        return frozenset((*(self.digests or ()), *self.sizes, *(self.dependencies or ())))


class ExtensionFolder:
    """A folder of ``NAME.tcz`` files and the files beside them.

    Args:
        place: URL or path of the folder.
        downloads: fetches files.
    """

    def __init__(self, place: str, downloads: ExtensionFetcher) -> None:
        self.place = place
        self._downloads = downloads
        self._listed: frozenset[str] | None = None

    def url(self, name: str) -> str:
        """Return the URL or path of a file in the folder."""
        return join_url(self.place, name)

    def listed_names(self) -> frozenset[str]:
        """Return the extensions that are files of the folder; none unless it is on this host."""
        if self._listed is None:
            names = list_local(self.place) if is_local(self.place) else []
            self._listed = frozenset(
                name for name in names if name.endswith(TCZ) and is_extension_name(name)
            )
        return self._listed

    def index_file(self, name: str, *, attempts: int | None = None) -> Download:
        """Return the download of an index, with at most ``attempts`` attempts."""
        is_provides = name in (PROVIDES_INDEX, PLAIN_PROVIDES_INDEX)
        return Download(
            name=name,
            urls=(self.url(name),),
            kind=FileKind.GZIP if name.endswith(".gz") else FileKind.TEXT,
            optional=True,
            most_bytes=MOST_PROVIDES_BYTES if is_provides else MOST_INDEX_BYTES,
            attempts=attempts,
        )

    def index_files(self, *, attempts: int | None) -> list[Download]:
        """Return the downloads of the three indexes, with at most ``attempts`` attempts each."""
        return [self.index_file(name, attempts=attempts) for name in INDEXES]

    def read_indexes(self, fetched: Iterable[DownloadedFile | None]) -> Indexes:
        """Parse the three indexes that were fetched for :meth:`index_files`."""
        needs, digests, sizes = fetched
        damaged: list[str] = []
        return Indexes(
            dependencies=self._parse(needs, parse_dependency_index, damaged),
            digests=self._parse(digests, parse_md5_index, damaged),
            sizes=self._parse(sizes, parse_size_index, damaged) or {},
            damaged=tuple(damaged),
        )

    def read_index(self, fetched: DownloadedFile, limits: Limits = INDEX_LIMITS) -> Input:
        """Return the unpacked content of an index.

        Raises:
            FormatError: the index is damaged, or exceeds ``limits``.
        """
        file = Input(self._downloads.load(fetched), name=fetched.url, limits=limits)
        if not fetched.name.endswith(".gz"):
            return file
        return file.unpacked(parse_gzip(file))

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

    def _parse(
        self, fetched: DownloadedFile | None, parse: Callable[[Input], T], damaged: list[str]
    ) -> T | None:
        if fetched is None:
            return None
        try:
            return parse(self.read_index(fetched))
        except FormatError as error:
            # A damaged line must not make the mirror unusable: the files have the same information.
            damaged.append(error.message)
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
