"""A mirror of the extensions, asked file by file or through its three indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.limits import Limits
from purekernel.formats.tinycore import (
    parse_dependencies,
    parse_dependency_index,
    parse_md5,
    parse_md5_index,
    parse_size_index,
)
from purekernel.sources.tinycore.extension import DEPENDENCIES, INFO, LISTING, MD5, Extension
from purekernel.sources.wanted import MIB, Fetched, Kind, Wanted
from purekernel.tree import Buffer

T = TypeVar("T")

DEPENDENCY_INDEX, MD5_INDEX, SIZE_INDEX = "dep.db.gz", "md5.db.gz", "sizelist.gz"

# The real ones are under 100 KB, and unpack to four times that.
INDEX_LIMITS = Limits(unpacked_bytes=64 * MIB)
MOST_INDEX_BYTES = 16 * MIB

# What may stand beside an extension. The list of a kernel's sources names 40,000 files.
MOST_SIDE_BYTES = {MD5: 4096, DEPENDENCIES: MIB, INFO: MIB, LISTING: 64 * MIB}


class Downloads(Protocol):
    """What fetches files; see :mod:`purekernel.sources.downloads`."""

    def fetch(self, wanted: Wanted) -> Fetched | None:
        """Return the file as it came, or ``None`` where it is optional and not there."""
        ...

    def fetch_all(self, wanted: Iterable[Wanted]) -> list[Fetched | None]:
        """Return the files, in the order asked for."""
        ...

    def exists(self, wanted: Wanted) -> bool:
        """Say whether a source has the file."""
        ...

    def load(self, fetched: Fetched) -> bytes:
        """Return the content, checked against its digest."""
        ...


@frozen(kw_only=True)
class _Indexes:
    """The three indexes; ``None`` where the mirror has none."""

    dependencies: Mapping[str, tuple[str, ...]] | None = None
    digests: Mapping[str, str] | None = None
    sizes: Mapping[str, int] = field(factory=dict)


class ExtensionMirror:
    """The folders that hold extensions, in the order in which they are asked.

    With its indexes a mirror tells all about any number of extensions in three requests.
    """

    def __init__(
        self, folders: Sequence[str], downloads: Downloads, *, use_indexes: bool = True
    ) -> None:
        """Ask ``folders`` (URLs or paths that hold ``NAME.tcz``) through ``downloads``.

        Args:
            folders: at least one.
            downloads: what fetches.
            use_indexes: whether the indexes are believed. An index may be older than the
                files that it speaks of.
        """
        self._folders = tuple(folder.rstrip("/") for folder in folders)
        self._downloads = downloads
        self._use_indexes = use_indexes
        self._known: dict[str, Extension | None] = {}
        self._found_indexes: _Indexes | None = None

    @property
    def has_indexes(self) -> bool:
        """Whether what it says of dependencies or digests comes from an index."""
        indexes = self._indexes()
        return indexes.dependencies is not None or indexes.digests is not None

    def describe(self, names: Sequence[str]) -> list[Extension | None]:
        """Return what the mirror has of each extension, in the same order.

        Raises:
            DownloadError: the mirror cannot be asked.
            FormatError: what it says is damaged.
        """
        new = [name for name in dict.fromkeys(names) if name not in self._known]
        if new:
            self._known.update(zip(new, self._describe(new), strict=True))
        return [self._known[name] for name in names]

    def _describe(self, names: list[str]) -> list[Extension | None]:
        indexes = self._indexes()
        digests = self._digests(names, indexes)
        present = [name for name in names if name in digests]
        needs = self._dependencies(present, indexes)
        return [
            self._extension(name, digests[name], needs[name], indexes) if name in digests else None
            for name in names
        ]

    def _extension(
        self, name: str, digest: str | None, needs: tuple[str, ...] | None, indexes: _Indexes
    ) -> Extension:
        sides = [MD5, *([] if needs is None else [DEPENDENCIES]), INFO, LISTING]
        return Extension(
            name=name,
            dependencies=needs or (),
            package=Wanted(
                name=name,
                urls=self._urls(name),
                kind=Kind.SQUASHFS,
                md5=digest,
                size_bytes=indexes.sizes.get(name) if digest else None,
            ),
            sides={side: self._side(name, side) for side in sides},
        )

    def _side(self, name: str, side: str) -> Wanted:
        return Wanted(
            name=name + side,
            urls=self._urls(name + side),
            kind=Kind.TEXT,
            optional=True,
            most_bytes=MOST_SIDE_BYTES[side],
        )

    def _digests(self, names: list[str], indexes: _Indexes) -> dict[str, str | None]:
        """Return the digests of those extensions that are there; ``None`` for one unknown.

        What an index does not know is looked for all the same: it may be new.
        """
        known = indexes.digests or {}
        digests = {name: known[name] for name in names if name in known}
        others = self._load_sides([name for name in names if name not in known], MD5, parse_md5)
        found = {
            name: digest
            for name, digest in others.items()
            if digest is not None or self._downloads.exists(self._package(name))
        }
        return {**digests, **found}

    def _dependencies(
        self, names: list[str], indexes: _Indexes
    ) -> dict[str, tuple[str, ...] | None]:
        """Return what each extension needs; ``None`` where it has no ``.dep``."""
        if indexes.dependencies is None:
            return self._load_sides(names, DEPENDENCIES, parse_dependencies)
        known = indexes.digests
        listed = [name for name in names if known is None or name in known]
        others = [name for name in names if name not in listed]
        found = {name: indexes.dependencies.get(name) for name in listed}
        return {**found, **self._load_sides(others, DEPENDENCIES, parse_dependencies)}

    def _load_sides(
        self, names: list[str], side: str, parse: Callable[..., T]
    ) -> dict[str, T | None]:
        if not names:
            return {}
        fetched = self._downloads.fetch_all(self._side(name, side) for name in names)
        return {
            name: None if one is None else parse(self._downloads.load(one), source=one.url)
            for name, one in zip(names, fetched, strict=True)
        }

    def _package(self, name: str) -> Wanted:
        return Wanted(name=name, urls=self._urls(name), kind=Kind.SQUASHFS)

    def _urls(self, name: str) -> tuple[str, ...]:
        return tuple(f"{folder}/{name}" for folder in self._folders)

    def _indexes(self) -> _Indexes:
        if self._found_indexes is None:
            self._found_indexes = self._fetch_indexes() if self._use_indexes else _Indexes()
        return self._found_indexes

    def _fetch_indexes(self) -> _Indexes:
        names = (DEPENDENCY_INDEX, MD5_INDEX, SIZE_INDEX)
        wanted = [
            Wanted(
                name=name,
                urls=self._urls(name),
                kind=Kind.GZIP,
                optional=True,
                most_bytes=MOST_INDEX_BYTES,
            )
            for name in names
        ]
        needs, digests, sizes = self._downloads.fetch_all(wanted)
        return _Indexes(
            dependencies=self._parse(needs, parse_dependency_index),
            digests=self._parse(digests, parse_md5_index),
            sizes=self._parse(sizes, parse_size_index) or {},
        )

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
