"""Look up gems on servers, and in folders that ``gem generate_index`` created.

Source: the compact index, https://guides.rubygems.org/rubygems-org-compact-index-api/, and
Gem::Source of RubyGems for the older one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from purekernel.errors import (
    CombinedError,
    DownloadError,
    MissingFileError,
    PurekernelError,
    raise_all,
    split_errors,
)
from purekernel.fetch.model import MIB, Download, DownloadedFile, Fetcher
from purekernel.fetch.urls import join_url, redact
from purekernel.formats.detect import FileKind
from purekernel.formats.gem.compact import GemRelease, parse_info
from purekernel.formats.gem.index import (
    INDEX_LIMITS,
    PRERELEASE,
    QUICK,
    SPECS,
    IndexedGem,
    may_list,
    parse_gem_index,
    parse_packed_spec,
    unpack_gem_index,
)
from purekernel.formats.gem.spec import RUBY, full_name
from purekernel.input import Input
from purekernel.repos.rubygems.resolve import GemCandidate

# On rubygems.org, the largest file of one gem's releases has 1 MiB, the older index has 6 MiB,
# and the list of all versions has 25 MiB.
MAX_INFO_BYTES = 32 * MIB
MAX_INDEX_BYTES = 64 * MIB
MAX_VERSIONS_BYTES = 256 * MIB
MAX_SPEC_BYTES = 4 * MIB


class GemServer:
    """One gem server.

    Releases are looked up in the compact index. If it does not have a gem, and the server is not
    known to have a compact index, the older index is used: mirrors in folders have only that.
    """

    def __init__(self, server: str, downloads: Fetcher, *, others: Collection[str] = ()) -> None:
        """Create a repository for one server.

        Args:
            server: URL or folder of the server.
            downloads: fetches files.
            others: servers to fetch a gem from if this server lists it, but the download fails.
        """
        self._server = server
        self._others = tuple(others)
        self._downloads = downloads
        self._has_compact = False
        # The older indexes, and their entries by gem name, once they are parsed.
        self._older: list[Input] | None = None
        self._listed: dict[str, list[IndexedGem]] | None = None

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
        """Return the releases of each gem that a server knows.

        Raises:
            DownloadError: a file cannot be fetched, or the URL is not that of a gem server.
            FormatError: an index is damaged.
            LimitError: an index exceeds a limit.
        """
        ordered = sorted(set(names))
        found = self._from_compact(ordered)
        missing = [name for name in ordered if name not in found]
        if missing and not self._has_compact:
            found |= self._from_older(missing)
        return found

    def _from_compact(self, names: list[str]) -> dict[str, tuple[GemCandidate, ...]]:
        fetched = self._downloads.fetch_all(
            [
                self._download(f"info/{name}", kind=FileKind.TEXT, most_bytes=MAX_INFO_BYTES)
                for name in names
            ]
        )
        found = {}
        for name, file in zip(names, fetched, strict=True):
            if file is None:
                continue
            self._has_compact = True
            releases = parse_info(Input(self._downloads.load(file), name=file.url))
            found[name] = tuple(self._candidate(name, release) for release in releases)
        return found

    def _from_older(self, names: list[str]) -> dict[str, tuple[GemCandidate, ...]]:
        indexes = self._indexes()
        if not any(may_list(index, name) for index in indexes for name in names):
            return {}
        if self._listed is None:
            self._listed = {}
            for index in indexes:
                for entry in parse_gem_index(index):
                    self._listed.setdefault(entry.name, []).append(entry)
        entries = [entry for name in names for entry in self._listed.get(name, ())]
        found: dict[str, tuple[GemCandidate, ...]] = {
            name: () for name in names if name in self._listed
        }
        for entry, release in zip(entries, self._releases(entries), strict=True):
            if release is not None:
                found[entry.name] += (self._candidate(entry.name, release),)
        return found

    def _indexes(self) -> list[Input]:
        """Return the existing older indexes, of releases and of prereleases, unpacked."""
        if self._older is None:
            fetched = self._downloads.fetch_all(
                [
                    self._download(f"{path}.gz", kind=FileKind.GZIP, most_bytes=MAX_INDEX_BYTES)
                    for path in (SPECS, PRERELEASE)
                ]
            )
            if fetched[0] is None:
                self._check_is_gem_server()
            self._older = [
                unpack_gem_index(
                    Input(self._downloads.load(file), name=file.url, limits=INDEX_LIMITS)
                )
                for file in fetched
                if file is not None
            ]
        return self._older

    def _check_is_gem_server(self) -> None:
        """Raise an error for a server without any index: a wrong URL is not a missing gem."""
        if self._has_compact:
            return
        download = self._download("versions", kind=FileKind.TEXT, most_bytes=MAX_VERSIONS_BYTES)
        if self._downloads.fetch(download) is None:
            raise MissingFileError(
                f"{redact(self._server.rstrip('/'))} has no index of gems",
                hint="use a gem server, or a folder in which 'gem generate_index' was run",
            )

    def _releases(self, entries: list[IndexedGem]) -> list[GemRelease | None]:
        """Return the releases of older entries; ``None`` if a specification is missing."""
        # Other platforms' releases appear only in errors, so their dependencies are not needed.
        usable = [entry for entry in entries if entry.platform == RUBY]
        fetched = self._downloads.fetch_all(
            [
                self._download(f"{QUICK}/{entry.full_name}.gemspec.rz", most_bytes=MAX_SPEC_BYTES)
                for entry in usable
            ]
        )
        files = {entry.full_name: file for entry, file in zip(usable, fetched, strict=True)}
        return [
            self._release(entry, files[entry.full_name])
            if entry.platform == RUBY
            else GemRelease(version=entry.version, platform=entry.platform)
            for entry in entries
        ]

    def _candidate(self, name: str, release: GemRelease) -> GemCandidate:
        path = f"gems/{full_name(name, release.version, release.platform)}.gem"
        return GemCandidate(
            name=name,
            release=release,
            download=Download(
                name=path.removeprefix("gems/"),
                urls=tuple(
                    dict.fromkeys(
                        join_url(server, path)
                        for server in (
                            self._server,
                            # Without a digest, another server's file may differ.
                            *(self._others if release.sha256 is not None else ()),
                        )
                    )
                ),
                kind=FileKind.TAR,
                sha256=release.sha256,
                digest_source=self._server,
            ),
        )

    def _download(self, path: str, *, kind: FileKind | None = None, most_bytes: int) -> Download:
        return Download(
            name=path,
            urls=(join_url(self._server, path),),
            kind=kind,
            optional=True,
            most_bytes=most_bytes,
        )

    def _release(self, entry: IndexedGem, file: DownloadedFile | None) -> GemRelease | None:
        if file is None:
            return None
        packed = Input(self._downloads.load(file), name=file.url)
        spec = parse_packed_spec(packed)
        if spec.full_name != entry.full_name:
            raise packed.fail(
                None,
                f"the specification of {entry.full_name}",
                f"that of {spec.full_name}",
                hint="the server's index is damaged: use another server",
            )
        return GemRelease(
            version=spec.version,
            dependencies=spec.runtime_dependencies,
            required_ruby=spec.required_ruby,
            required_rubygems=spec.required_rubygems,
        )


# Several gem servers, in order of precedence.


class GemServers:
    """Several gem servers, with the same gems or with different ones.

    The releases of each gem come from the first server that has it. A gem of a private server is
    therefore not looked up on a public server, where any user can register the same name.
    RubyGems itself selects the newest release of all servers, which would make the image depend
    on what others publish.

    A server that fails is skipped for the rest of the run, so that the run does not mix its gems
    with those of other servers. :attr:`notes` reports it.
    """

    def __init__(self, servers: Sequence[str], downloads: Fetcher) -> None:
        """Create a repository for several servers.

        Args:
            servers: URLs or folders, in order of precedence.
            downloads: fetches files.
        """
        addresses = tuple(dict.fromkeys(servers))
        self._servers = {
            address: GemServer(
                address, downloads, others=[other for other in addresses if other != address]
            )
            for address in addresses
        }
        self._failed: dict[str, PurekernelError] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about skipped servers and the reason, one line each."""
        return tuple(
            f"the gem server {redact(address)} was skipped, and the other servers were used "
            f"instead: {split_errors([error])[0]}"
            for address, error in self._failed.items()
        )

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
        """Return the releases of each gem that a server knows.

        A server that fails is skipped if the others have all names.

        Raises:
            DownloadError: a file cannot be fetched, or a URL is not that of a gem server, and the
                other servers do not have all names.
            CombinedError: several servers fail.
            FormatError: an index is damaged.
            LimitError: an index exceeds a limit.
        """
        found: dict[str, tuple[GemCandidate, ...]] = {}
        for address, server in self._servers.items():
            rest = [name for name in names if name not in found]
            if not rest:
                break
            if address in self._failed:
                continue
            try:
                found.update(server.versions(rest))
            except (DownloadError, CombinedError) as error:
                if not all(isinstance(cause, DownloadError) for cause in split_errors([error])):
                    raise
                self._failed[address] = error
        if any(name not in found for name in names):
            # A failed server may have the missing names, so report its error.
            raise_all(self._failed.values())
        return found
