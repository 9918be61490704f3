"""An archive of Debian's, or several: packages by what their indexes say.

Source: Debian's "RepositoryFormat".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from purekernel.errors import ChecksumError
from purekernel.fetch.urls import is_local, is_url, join_url, last_component, redact
from purekernel.fetch.wanted import MIB, Fetcher, Wanted
from purekernel.formats.debian.index import IndexedPackage, PackagesIndex
from purekernel.formats.debian.release import (
    ArchiveRelease,
    is_signed,
    parse_release,
    signed_text,
)
from purekernel.formats.debian.signature import Keyring
from purekernel.repos.debian.repository import Candidate

# Debian's have 12 MB at most, and 150 KB.
MOST_INDEX_BYTES = 256 * MIB
MOST_RELEASE_BYTES = 16 * MIB


DISTS = "/dists/"
RELEASE = "InRelease"


# Where the files of an archive are, told by where one of its indexes is.
#
# Source: Debian's "RepositoryFormat".


@frozen(kw_only=True)
class IndexPlace:
    """One packages index, and what is around it.

    Attributes:
        url: its address or path.
        base: what the paths in it are below.
        releases: for each folder that may have its ``InRelease``, that file's address, and the
            path of the index as it would say it; the likeliest first.
    """

    url: str
    base: str
    releases: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, url: str) -> IndexPlace:
        """Take an address apart: ``…/debian/dists/wheezy/main/binary-i386/Packages.gz``.

        In an archive without ``dists`` all lies in one folder.
        """
        path, query = _cut_query(url)
        folder, _slash, name = path.rpartition("/")
        base, dists, below = path.rpartition(DISTS)
        if not dists:
            return cls(
                url=url,
                base=(folder or ".") + query,
                releases=((join_url((folder or ".") + query, RELEASE), name),),
            )
        parts = below.split("/")
        releases = tuple(
            (
                join_url(base + query, "dists", *parts[:count], RELEASE),
                "/".join(parts[count:]),
            )
            for count in range(1, len(parts))
        )
        return cls(url=url, base=(base or "/") + query, releases=releases)

    def by_digest(self, sha256: str) -> str:
        """Return where the index is kept under its digest, if the archive does that.

        There it stays when the next one has taken its name.
        """
        path, query = _cut_query(self.url)
        folder = path.rpartition("/")[0] or "."
        return join_url(folder + query, "by-hash", "SHA256", sha256)


def _cut_query(url: str) -> tuple[str, str]:
    if is_local(url):
        if not is_url(url) and os.sep != "/":
            url = url.replace(os.sep, "/")
        return url, ""
    path = re.split("[?#]", url, maxsplit=1)[0]
    return path, url[len(path) :]


class DebianArchive:
    """Packages indexes, in the order in which they count where versions are the same.

    They are fetched when a package is first asked for. Where the archive has an ``InRelease``
    beside them, an index must be the one that it lists. With a keyring that file must be there,
    and be signed by one of its keys; without, nobody has checked who wrote it.
    """

    def __init__(
        self,
        indexes: Sequence[str],
        downloads: Fetcher,
        *,
        mirrors: Sequence[str] = (),
        keyring: Keyring | None = None,
    ) -> None:
        """Ask ``indexes`` (URLs or paths) through ``downloads``.

        Args:
            indexes: of ``Packages`` files, with any compression; at least one.
            downloads: what fetches.
            mirrors: what is asked for packages before the place that an index lies in.
            keyring: whose signatures count.
        """
        self._places = tuple(map(IndexPlace.of, dict.fromkeys(indexes)))
        self._downloads = downloads
        self._mirrors = tuple(mirrors)
        self._keyring = keyring
        self._loaded: tuple[tuple[IndexPlace, PackagesIndex], ...] | None = None
        self._notes: list[str] = []
        self._releases: dict[str, ArchiveRelease | None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the indexes, a line each."""
        return tuple(dict.fromkeys(self._notes))

    def named(self, name: str) -> Sequence[Candidate]:
        """Return the packages of that name.

        Raises:
            DownloadError: an index cannot be had, or is not the one that it should be.
            FormatError: an index, or what it says of such a package, is damaged.
        """
        return [
            self._candidate(place, one)
            for place, index in self._indexes()
            for one in index.named(name)
        ]

    def providing(self, name: str) -> Sequence[Candidate]:
        """Return the packages that stand for that name.

        Raises:
            DownloadError: likewise.
            FormatError: likewise.
        """
        return [
            self._candidate(place, one)
            for place, index in self._indexes()
            for one in index.providing(name)
        ]

    def _candidate(self, place: IndexPlace, package: IndexedPackage) -> Candidate:
        file = package.file
        bases = dict.fromkeys((*self._mirrors, place.base))
        return Candidate(
            record=package.record,
            wanted=Wanted(
                name=package.record.file_name,
                urls=tuple(join_url(base, file.path) for base in bases),
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                md5=None if file.sha256 is not None else file.md5,
            ),
        )

    def _indexes(self) -> tuple[tuple[IndexPlace, PackagesIndex], ...]:
        if self._loaded is None:
            wanted = [self._wanted(place) for place in self._places]
            self._loaded = tuple(
                (place, PackagesIndex(self._downloads.load(fetched), source=fetched.url))
                for place, fetched in zip(
                    self._places, self._downloads.fetch_all(wanted), strict=True
                )
                if fetched is not None
            )
        return self._loaded

    def _wanted(self, place: IndexPlace) -> Wanted:
        plain = Wanted(
            name=last_component(place.url), urls=(place.url,), most_bytes=MOST_INDEX_BYTES
        )
        for url, path in place.releases:
            release = self._release(url)
            if release is not None and path in release.files:
                sha256, size_bytes = release.files[path]
                return evolve(
                    plain,
                    urls=(place.url, place.by_digest(sha256)),
                    sha256=sha256,
                    size_bytes=size_bytes,
                )
        if self._keyring is not None:
            raise ChecksumError(
                f"no InRelease that lists {redact(place.url)} is there, and a keyring was given",
                hint="name an index of an archive that is signed, or leave out the keyring",
            )
        self._notes.append(
            f"no InRelease lists {redact(place.url)}: what it says is taken as it came"
        )
        return plain

    def _release(self, url: str) -> ArchiveRelease | None:
        if url not in self._releases:
            fetched = self._downloads.fetch(
                Wanted(name="InRelease", urls=(url,), optional=True, most_bytes=MOST_RELEASE_BYTES)
            )
            self._releases[url] = (
                None
                if fetched is None
                else self._read_release(self._downloads.load(fetched), fetched.url)
            )
        return self._releases[url]

    def _read_release(self, data: bytes, source: str) -> ArchiveRelease:
        if self._keyring is not None:
            # Only what was signed is read, for there may be something around it.
            text = self._keyring.verified_text(data, source=source)
        else:
            text = signed_text(data, source=source) if is_signed(data) else data
            self._notes.append(f"nobody has checked who signed {source}: give a keyring for that")
        return parse_release(text, source=source)


def newest_first(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return packages by their versions, the newest first; those of one version as they came."""
    return sorted(candidates, key=lambda one: one.record.version, reverse=True)
