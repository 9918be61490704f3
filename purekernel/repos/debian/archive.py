"""Look up packages in the indexes of one or more Debian archives.

Source: Debian's "RepositoryFormat".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from attrs import evolve

from purekernel.errors import ChecksumError, DownloadError
from purekernel.fetch.model import MIB, Download, Fetcher
from purekernel.fetch.urls import is_local, is_url, join_url, last_component, redact
from purekernel.formats.debian.index import INDEX_LIMITS, IndexedPackage, PackagesIndex
from purekernel.formats.debian.release import (
    ArchiveRelease,
    Keyring,
    ReleasedFile,
    is_signed,
    lists_files,
    parse_release,
    unverified_text,
)
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.repos.debian.resolve import PackageCandidate

# Debian's own indexes have at most 12 MB, and its release files 150 KB.
MOST_INDEX_BYTES = 256 * MIB
MOST_RELEASE_BYTES = 16 * MIB

MOST_SIGNATURE_BYTES = MIB

DISTS = "/dists/"
RELEASE = "InRelease"

# Where an archive has no InRelease: the same without a signature, and its signatures.
PLAIN_RELEASE, SIGNATURES = "Release", "Release.gpg"


# Derive the URLs of an archive's files from the URL of one of its indexes.
#
# Source: Debian's "RepositoryFormat".


@frozen(kw_only=True)
class IndexPlace:
    """The location of a packages index, and of its archive.

    Attributes:
        url: URL or path of the index.
        base: URL or path that paths in the index are relative to.
        releases: for each folder that may hold the index's ``InRelease``, the URL of that file
            and the path by which it would list the index; the most likely folder first.
    """

    url: str
    base: str
    releases: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, url: str) -> IndexPlace:
        """Parse a URL such as ``…/debian/dists/wheezy/main/binary-i386/Packages.gz``.

        An archive without ``dists`` has all files in one folder.
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

    def by_digest(self, file: ReleasedFile) -> str:
        """Return the URL of the index by its digest, if the archive has such URLs.

        This URL still serves the index after a newer index has replaced it under its name.
        """
        path, query = _cut_query(self.url)
        folder = path.rpartition("/")[0] or "."
        if file.sha256 is not None:
            return join_url(folder + query, "by-hash", "SHA256", file.sha256)
        return join_url(folder + query, "by-hash", "SHA512", file.sha512 or "")


def _cut_query(url: str) -> tuple[str, str]:
    if is_local(url):
        if not is_url(url) and os.sep != "/":
            url = url.replace(os.sep, "/")
        return url, ""
    path = re.split("[?#]", url, maxsplit=1)[0]
    return path, url[len(path) :]


class DebianArchive:
    """Packages indexes. For packages of the same version, earlier indexes take precedence.

    The indexes are fetched at the first lookup. If the archive has an ``InRelease`` that lists an
    index, the index must have the listed digest. With a keyring, ``InRelease`` must exist, and
    one of the keys must have signed it. Without a keyring, its signature is not checked. An archive
    without ``InRelease`` may have ``Release``, with its signatures in ``Release.gpg``.
    """

    def __init__(
        self,
        indexes: Sequence[str],
        downloads: Fetcher,
        *,
        mirrors: Sequence[str] = (),
        keyring: Keyring | None = None,
        now: float | None = None,
        allow_expired: bool = False,
    ) -> None:
        """Create an archive from its packages indexes.

        Args:
            indexes: URLs or paths of ``Packages`` files, with any compression; at least one.
            downloads: fetches files.
            mirrors: mirrors to fetch packages from before the archive of the index.
            keyring: keys, one of which must have signed ``InRelease``.
            now: the time in seconds since 1970, UTC, at which ``InRelease`` must be valid; ``None``
                for no check.
            allow_expired: whether to use an ``InRelease`` that has expired, with a note.
        """
        self._places = tuple(map(IndexPlace.of, dict.fromkeys(indexes)))
        self._downloads = downloads
        self._mirrors = tuple(mirrors)
        self._keyring = keyring
        self._now = now
        self._allow_expired = allow_expired
        self._loaded: tuple[tuple[IndexPlace, PackagesIndex], ...] | None = None
        self._notes: list[str] = []
        self._releases: dict[str, ArchiveRelease | None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about the indexes, one line each."""
        return tuple(dict.fromkeys(self._notes))

    def named(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages called ``name``.

        Raises:
            DownloadError: an index cannot be fetched, does not have its listed digest, or has
                expired.
            FormatError: an index, or its entry for such a package, is damaged.
        """
        return self._candidates(lambda index: index.named(name))

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        """Return the packages that provide ``name``.

        Raises:
            DownloadError: an index cannot be fetched, or does not have its listed digest.
            FormatError: an index, or its entry for such a package, is damaged.
        """
        return self._candidates(lambda index: index.providing(name))

    def _candidates(
        self, look_up: Callable[[PackagesIndex], Iterable[IndexedPackage]]
    ) -> list[PackageCandidate]:
        return [
            self._candidate(place, package)
            for place, index in self._indexes()
            for package in look_up(index)
        ]

    def _candidate(self, place: IndexPlace, package: IndexedPackage) -> PackageCandidate:
        file = package.file
        self._notes += package.record.fields.notes
        strong = file.sha256 is not None or file.sha512 is not None
        bases = dict.fromkeys((*self._mirrors, place.base))
        return PackageCandidate(
            record=package.record,
            download=Download(
                name=package.record.file_name,
                urls=tuple(join_url(base, file.path) for base in bases),
                size_bytes=file.size_bytes,
                sha512=None if file.sha256 is not None else file.sha512,
                sha256=file.sha256,
                digest_source=self._source(place),
                md5=None if strong else file.md5,
            ),
        )

    def _source(self, place: IndexPlace) -> str:
        """Return the URL that the digests of an index depend on; empty if a signature proves it."""
        if self._keyring is not None:
            return ""
        listed = (url for url, path in place.releases if self._lists(url, path))
        return next(listed, place.url)

    def _lists(self, url: str, path: str) -> bool:
        release = self._releases.get(url)
        return release is not None and path in release.files

    def _indexes(self) -> tuple[tuple[IndexPlace, PackagesIndex], ...]:
        if self._loaded is None:
            requested = [self._download(place) for place in self._places]
            self._loaded = tuple(
                (
                    place,
                    PackagesIndex(
                        Input(self._downloads.load(fetched), name=fetched.url, limits=INDEX_LIMITS)
                    ),
                )
                for place, fetched in zip(
                    self._places, self._downloads.fetch_all(requested), strict=True
                )
                if fetched is not None
            )
        return self._loaded

    def _download(self, place: IndexPlace) -> Download:
        plain = Download(
            name=last_component(place.url), urls=(place.url,), most_bytes=MOST_INDEX_BYTES
        )
        for url, path in place.releases:
            release = self._release(url)
            if release is not None and path in release.files:
                listed = release.files[path]
                return evolve(
                    plain,
                    urls=(place.url, place.by_digest(listed)),
                    sha512=listed.sha512 if listed.sha256 is None else None,
                    sha256=listed.sha256,
                    digest_source="" if self._keyring is not None else url,
                    size_bytes=listed.size_bytes,
                )
        if self._keyring is not None:
            raise ChecksumError(
                f"no InRelease or Release lists {redact(place.url)}: its signature cannot be "
                "checked",
                hint="name an index of a signed archive, or leave out the keyring",
            )
        self._notes.append(
            f"no InRelease or Release lists {redact(place.url)}: the index is used without a check"
        )
        return plain

    def _release(self, url: str) -> ArchiveRelease | None:
        """Return the content of the release file at ``url``, or of the one beside it."""
        if url not in self._releases:
            signed = self._fetch(url, RELEASE, MOST_RELEASE_BYTES)
            self._releases[url] = (
                self._plain_release(url) if signed is None else self._read_release(signed)
            )
        return self._releases[url]

    def _fetch(self, url: str, name: str, most_bytes: int) -> Input | None:
        """Return the file called ``name`` beside the InRelease at ``url``; ``None`` if missing."""
        path, query = _cut_query(url)
        place = path.removesuffix(RELEASE) + name + query
        fetched = self._downloads.fetch(
            Download(name=name, urls=(place,), optional=True, most_bytes=most_bytes)
        )
        if fetched is None:
            return None
        return Input(self._downloads.load(fetched), name=fetched.url)

    def _plain_release(self, url: str) -> ArchiveRelease | None:
        file = self._fetch(url, PLAIN_RELEASE, MOST_RELEASE_BYTES)
        if file is None or not lists_files(file.data):
            return None
        if self._keyring is None:
            self._note_unchecked(file.name)
        else:
            signatures = self._fetch(url, SIGNATURES, MOST_SIGNATURE_BYTES)
            if signatures is None:
                raise ChecksumError(
                    f"{file.name} has no signature: neither {RELEASE} nor {SIGNATURES} is beside "
                    "it",
                    hint="use another mirror of the archive, or leave out the keyring",
                )
            self._keyring.verify_detached(file, signatures)
        return self._parse_release(file)

    def _read_release(self, file: Input) -> ArchiveRelease:
        if self._keyring is not None:
            # Read only the signed text, because the file may have unsigned text around it.
            file = file.unpacked(self._keyring.verified_text(file))
        else:
            if is_signed(file.data):
                file = file.unpacked(unverified_text(file))
            self._note_unchecked(file.name)
        return self._parse_release(file)

    def _note_unchecked(self, name: str) -> None:
        self._notes.append(f"the signature of {name} is not checked: give a keyring to check it")

    def _parse_release(self, file: Input) -> ArchiveRelease:
        release = parse_release(file)
        self._check_expiry(release, file.name)
        return release

    def _check_expiry(self, release: ArchiveRelease, name: str) -> None:
        until = release.valid_until
        if until is None or self._now is None or self._now <= until:
            return
        words = f"{name} expired on {datetime.fromtimestamp(until, UTC):%Y-%m-%d}"
        if self._allow_expired:
            self._notes.append(f"{words}: its packages may be out of date")
            return
        raise DownloadError(
            f"{words}: the mirror may hide newer packages",
            hint="use another mirror; for an archive that is no longer updated, use "
            "--dpkg-allow-expired, or allow-expired under [debian]; then pin the packages with "
            "'purekernel lock'",
        )
