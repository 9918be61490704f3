from __future__ import annotations

import functools
import hashlib
import http.server
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from fixtures.gem import GemFile, make_gem
from fixtures.gem_server import lay_out_server
from fixtures.gemspec_yaml import Era
from purekernel.errors import (
    CombinedError,
    DependencyError,
    DownloadError,
    FormatError,
    MissingFileError,
)
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.model import Download, DownloadedFile
from purekernel.fetch.store import Store
from purekernel.formats.detect import FileKind
from purekernel.formats.gem import parse_gem, parse_listed_gem
from purekernel.input import Input
from purekernel.repos.rubygems import GemResolution, GemServer, GemServers, resolve_gems
from tests.fetch.answers import status
from tests.fetch.fetching import QUICK
from tests.fetch.server import Server

GEMS = (
    make_gem("facter", "1.6.0"),
    make_gem("facter", "1.7.0"),
    make_gem("facter", "1.8.0.rc1"),
    make_gem("facter", "1.7.5", ruby=">= 1.9"),
    make_gem("facter", "1.9.0", platform="java"),
    make_gem("razor", "0.9", needs={"facter": "~> 1.6", "json_pure": ">= 1.7, != 1.7.1"},
             development={"rspec": ">= 0"}, era=Era.EARLY_PSYCH),
    make_gem("json_pure", "1.7.7", era=Era.SYCK),
)  # fmt: skip


class Fetcher:
    """A fetcher that uses the standard library and records the requests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.download: list[Download] = []
        self.batches: list[int] = []

    def fetch(self, download: Download) -> DownloadedFile | None:
        self.download.append(download)
        for url in download.urls:
            try:
                content = self._read(url)
            except (FileNotFoundError, urllib.error.HTTPError):
                continue
            path = self._folder / f"{len(self.download)}"
            path.write_bytes(content)
            return DownloadedFile(
                name=download.name,
                url=url.replace("user:secret@", ""),
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                md5="",
                path=path,
            )
        assert download.optional, f"{download.name} is nowhere"
        return None

    def load(self, fetched: DownloadedFile) -> bytes:
        return fetched.path.read_bytes()

    def fetch_all(self, downloads: Iterable[Download]) -> list[DownloadedFile | None]:
        listed = list(downloads)
        self.batches.append(len(listed))
        return [self.fetch(each) for each in listed]

    @staticmethod
    def _read(url: str) -> bytes:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "file"):
            return Path(url).read_bytes()
        if parts.scheme == "file":
            return Path(urllib.request.url2pathname(parts.path)).read_bytes()
        with urllib.request.urlopen(url.replace("user:secret@", "")) as answer:
            content = answer.read()
            assert isinstance(content, bytes)
            return content


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    (tmp_path / "fetched").mkdir()
    return Fetcher(tmp_path / "fetched")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "server"


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    """Return the URL of a web server that serves ``folder``."""
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def resolve(server: GemServer, *lines: str) -> GemResolution:
    return resolve_gems(
        [parse_listed_gem(line, place=f"line {n}") for n, line in enumerate(lines, start=1)], server
    )


def files(resolution: GemResolution) -> list[str]:
    return [gem.file_name for gem in resolution.gems]


def names(fetcher: Fetcher) -> list[str]:
    return [download.name for download in fetcher.download]


def test_gems_are_looked_up_in_the_compact_index(
    address: str, folder: Path, fetcher: Fetcher
) -> None:
    lay_out_server(folder, GEMS, older=False)
    resolution = resolve(GemServer(address + "/", fetcher), "razor", "facter")
    assert files(resolution) == ["facter-1.7.5.gem", "json_pure-1.7.7.gem", "razor-0.9.gem"]
    assert names(fetcher) == ["info/facter", "info/razor", "info/json_pure"]
    # One batch for each level of dependencies.
    assert fetcher.batches == [2, 1]
    assert fetcher.download[0] == Download(
        name="info/facter", urls=(f"{address}/info/facter",), kind=FileKind.TEXT, optional=True,
        most_bytes=32 << 20,
    )  # fmt: skip
    razor = GEMS[5]
    assert resolution.gems[2].download == Download(
        name="razor-0.9.gem", urls=(f"{address}/gems/razor-0.9.gem",), kind=FileKind.TAR,
        sha256=razor.sha256,
    )  # fmt: skip
    fetched = fetcher.fetch(resolution.gems[2].download)
    assert fetched is not None
    assert parse_gem(Input(fetched.path.read_bytes(), name="razor")).spec == razor.spec


@pytest.mark.parametrize("form", ["http", "file", "path"])
def test_older_index_is_used_without_compact_index(
    form: str, address: str, folder: Path, fetcher: Fetcher
) -> None:
    lay_out_server(folder, GEMS, compact=False)
    server = {"http": address, "file": folder.as_uri(), "path": str(folder)}[form]
    resolution = resolve(GemServer(server, fetcher), "razor", "facter")
    assert files(resolution) == ["facter-1.7.5.gem", "json_pure-1.7.7.gem", "razor-0.9.gem"]
    assert names(fetcher) == [
        "info/facter",
        "info/razor",
        "specs.4.8.gz",
        "prerelease_specs.4.8.gz",
        # The specification of the java release is not fetched.
        "quick/Marshal.4.8/facter-1.6.0.gemspec.rz",
        "quick/Marshal.4.8/facter-1.7.0.gemspec.rz",
        "quick/Marshal.4.8/facter-1.7.5.gemspec.rz",
        "quick/Marshal.4.8/facter-1.8.0.rc1.gemspec.rz",
        "quick/Marshal.4.8/razor-0.9.gemspec.rz",
        "info/json_pure",
        "quick/Marshal.4.8/json_pure-1.7.7.gemspec.rz",
    ]
    assert fetcher.batches == [2, 2, 5, 1, 1]
    assert resolution.gems[0].download.sha256 is None
    assert resolution.gems[0].download.urls == (f"{server}/gems/facter-1.7.5.gem",)


def test_both_indexes_give_the_same_releases(
    folder: Path, tmp_path: Path, fetcher: Fetcher
) -> None:
    lay_out_server(folder, GEMS, older=False)
    lay_out_server(tmp_path / "older", GEMS, compact=False)
    asked = ["facter", "razor", "json_pure", "rspec"]
    compact = GemServer(str(folder), fetcher).versions(asked)
    older = GemServer(str(tmp_path / "older"), fetcher).versions(asked)
    assert sorted(compact) == sorted(older) == ["facter", "json_pure", "razor"]
    for name in compact:
        facts = [
            {
                (
                    str(found.release.version),
                    found.release.platform,
                    found.release.dependencies,
                    found.release.required_ruby,
                    found.release.required_rubygems,
                    found.download.name,
                )
                for found in candidates[name]
            }
            for candidates in (compact, older)
        ]
        assert facts[0] == facts[1]


@pytest.mark.parametrize("compact", [True, False])
def test_releases_come_from_the_first_server_that_has_the_gem(
    compact: bool, folder: Path, tmp_path: Path, fetcher: Fetcher
) -> None:
    second = tmp_path / "second"
    lay_out_server(second, GEMS, compact=compact)
    lay_out_server(folder, GEMS[:1], compact=compact)
    found = GemServers([f"{folder}/", str(second)], fetcher).versions(["facter", "razor", "none"])
    assert [str(each.release.version) for each in found["facter"]] == ["1.6.0"]
    assert Path(found["facter"][0].download.urls[0]).parent == folder / "gems"
    # Other servers are only used if a digest is known.
    elsewhere = (folder / "gems" / "razor-0.9.gem",) if compact else ()
    urls = tuple(map(Path, found["razor"][0].download.urls))
    assert urls == (second / "gems" / "razor-0.9.gem", *elsewhere)
    assert "none" not in found


class Failing(Fetcher):
    """A fetcher that fails for URLs that begin with ``failing``."""

    failing = ""

    def fetch(self, download: Download) -> DownloadedFile | None:
        if self.failing and download.urls[0].startswith(self.failing):
            raise DownloadError(f"{download.name} cannot be fetched")
        return super().fetch(download)


def test_failing_server_is_skipped_with_a_note(folder: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    (tmp_path / "fetched").mkdir()
    lay_out_server(second, GEMS)
    fetcher = Failing(tmp_path / "fetched")
    fetcher.failing = str(folder)
    servers = GemServers([str(folder), str(second)], fetcher)
    assert set(servers.versions(["facter", "razor"])) == {"facter", "razor"}
    (note,) = servers.notes
    assert note == (
        f"the gem server {folder} was skipped, and the other servers were used instead: "
        "info/facter cannot be fetched"
    )
    # The first server may have a gem that the other servers do not have.
    with pytest.raises(DownloadError, match="info/facter cannot be fetched"):
        servers.versions(["facter", "fakter"])
    # The server answers again, but this run still does not mix servers.
    lay_out_server(folder, GEMS[:1])
    fetcher.failing = ""
    found = servers.versions(["facter"])["facter"]
    assert found[0].download.urls[0].startswith(str(second))


def test_all_failing_servers_are_reported(folder: Path, tmp_path: Path, fetcher: Fetcher) -> None:
    third = tmp_path / "third"
    lay_out_server(third, GEMS)
    places = [f"{tmp_path}/no", f"{tmp_path}/none", str(third)]
    servers = GemServers(places, fetcher)
    assert set(servers.versions(["facter"])) == {"facter"}
    with pytest.raises(CombinedError) as caught:
        servers.versions(["fakter"])
    assert [str(error) for error in caught.value.errors] == [
        f"{place} has no index of gems" for place in places[:2]
    ]
    assert len(servers.notes) == 2


def test_damaged_index_is_an_error(folder: Path, tmp_path: Path, fetcher: Fetcher) -> None:
    lay_out_server(folder, GEMS)
    lay_out_server(tmp_path / "second", GEMS)
    (folder / "info" / "facter").write_bytes(b"1.0 \x00|checksum\n")
    with pytest.raises(FormatError):
        GemServers([str(folder), str(tmp_path / "second")], fetcher).versions(["facter"])


def test_url_keeps_its_query_and_messages_hide_secrets(server: Server, store: Store) -> None:
    """A token stays after the path, and does not appear in messages."""
    address = server.url.replace("//", "//me:p@ss-w0rd@")
    for path in ("info/rake", "info/razor"):
        server.put(f"/g/{path}?token=s3cret/", b"---\n1.0 |checksum:" + b"0" * 64 + b"\n")
    places = [f"{address}/none", f"{address}/none?key=s3cret", f"{address}/g/?token=s3cret/"]
    with Downloads(store, policy=QUICK) as downloads:
        servers = GemServers(places, downloads)
        found = servers.versions(["rake", "razor"])
        assert found["rake"][0].download.urls[0] == f"{address}/g/gems/rake-1.0.gem?token=s3cret/"
        assert servers.notes == tuple(
            f"the gem server {server.url}/{place} was skipped, and the other servers were used "
            f"instead: {server.url}/{place} has no index of gems"
            for place in ("none", "none?key=***")
        )
        with pytest.raises(CombinedError) as caught:
            servers.versions(["nobody"])
    for secret in ("p@ss", "ss-w0rd", "s3cret"):
        assert secret not in str(caught.value)
        assert secret not in repr(found)


def test_failed_gem_download_uses_the_same_file_of_another_server(
    server: Server, second: Server, store: Store, tmp_path: Path
) -> None:
    for number, (place, gems) in enumerate(((server, GEMS[:1]), (second, GEMS[:2]))):
        folder = tmp_path / str(number)
        lay_out_server(folder, gems)
        for path in folder.rglob("*"):
            if path.is_file():
                place.put(f"/{path.relative_to(folder).as_posix()}", path.read_bytes())
    with Downloads(store, policy=QUICK) as downloads:
        found = GemServers([server.url, second.url], downloads).versions(["facter"])
        (download,) = (each.download for each in found["facter"])
        server.script("/gems/facter-1.6.0.gem", *[status(503)] * 9)
        fetched = downloads.fetch(download)
    assert fetched is not None
    assert (fetched.url, fetched.sha256) == (f"{second.url}/gems/facter-1.6.0.gem", GEMS[0].sha256)


def test_index_damaged_in_the_store_is_not_used(folder: Path, tmp_path: Path) -> None:
    lay_out_server(folder, GEMS)

    class Damaging(Downloads):
        done = False

        def fetch_all(self, downloads: Iterable[Download]) -> list[DownloadedFile | None]:
            found = super().fetch_all(downloads)
            for fetched in found:
                if fetched is not None and not self.done:
                    self.done = True
                    fetched.path.chmod(0o644)
                    fetched.path.write_bytes(b"---\n9.9.9 |checksum:" + b"0" * 64 + b"\n")
            return found

    with Damaging(Store(tmp_path / "store")) as downloads:
        found = GemServer(str(folder), downloads).versions(["razor"])
    assert [str(each.release.version) for each in found["razor"]] == ["0.9"]


def test_name_missing_in_compact_index_is_not_looked_up_in_the_older(
    folder: Path, fetcher: Fetcher
) -> None:
    lay_out_server(folder, GEMS)
    with pytest.raises(DependencyError) as caught:
        resolve(GemServer(str(folder), fetcher), "facter", "fakter")
    assert str(caught.value) == "line 2: no mirror has the gem fakter"
    assert names(fetcher) == ["info/facter", "info/fakter"]


def test_url_with_user_and_password_works(address: str, folder: Path, fetcher: Fetcher) -> None:
    lay_out_server(folder, GEMS)
    server = GemServer(address.replace("//", "//user:secret@"), fetcher)
    assert list(server.versions(["facter", "fakter"])) == ["facter"]
    assert names(fetcher) == ["info/facter", "info/fakter"]


def test_missing_first_name_is_looked_up_in_both_indexes(folder: Path, fetcher: Fetcher) -> None:
    lay_out_server(folder, GEMS)
    server = GemServer(str(folder), fetcher)
    assert server.versions(["fakter"]) == {}
    assert server.versions(["fakter"]) == {}
    assert names(fetcher) == [
        "info/fakter",
        "specs.4.8.gz",
        "prerelease_specs.4.8.gz",
        "info/fakter",
    ]


def test_compact_index_alone_is_enough(folder: Path, fetcher: Fetcher) -> None:
    lay_out_server(folder, GEMS, older=False)
    assert GemServer(str(folder), fetcher).versions(["fakter"]) == {}
    assert names(fetcher)[-1] == "versions"


def test_url_without_gem_index_is_an_error(address: str, fetcher: Fetcher) -> None:
    with pytest.raises(MissingFileError) as caught:
        GemServer(address.replace("//", "//user:secret@"), fetcher).versions(["facter"])
    assert str(caught.value) == f"{address} has no index of gems"
    assert caught.value.hint == (
        "use a gem server, or a folder in which 'gem generate_index' was run"
    )


def test_withdrawn_gem_has_no_releases(folder: Path, fetcher: Fetcher) -> None:
    lay_out_server(folder, GEMS)
    (folder / "info" / "gone").write_bytes(b"---\n")
    assert GemServer(str(folder), fetcher).versions(["gone"]) == {"gone": ()}


def test_release_without_specification_is_skipped(folder: Path, fetcher: Fetcher) -> None:
    lay_out_server(folder, GEMS, compact=False)
    (folder / "quick" / "Marshal.4.8" / "facter-1.7.5.gemspec.rz").unlink()
    assert files(resolve(GemServer(str(folder), fetcher), "facter")) == ["facter-1.7.0.gem"]


def test_missing_prerelease_index_is_accepted(folder: Path, fetcher: Fetcher) -> None:
    lay_out_server(folder, GEMS, compact=False)
    (folder / "prerelease_specs.4.8.gz").unlink()
    assert files(resolve(GemServer(str(folder), fetcher), "facter")) == ["facter-1.7.5.gem"]


def test_specification_of_another_gem_is_an_error(folder: Path, fetcher: Fetcher) -> None:
    lay_out_server(folder, GEMS, compact=False)
    quick = folder / "quick" / "Marshal.4.8"
    (quick / "razor-0.9.gemspec.rz").write_bytes((quick / "facter-1.6.0.gemspec.rz").read_bytes())
    with pytest.raises(FormatError) as caught:
        GemServer(str(folder), fetcher).versions(["razor"])
    assert str(caught.value) == (
        f"{quick / 'razor-0.9.gemspec.rz'}: expected the specification of razor-0.9, "
        "got that of facter-1.6.0"
    )


def test_html_page_in_place_of_index_is_an_error(folder: Path, fetcher: Fetcher) -> None:
    (folder / "info").mkdir(parents=True)
    (folder / "info" / "facter").write_bytes(b"<html>\n")
    with pytest.raises(FormatError, match="expected releases of a gem, one per line, got '<html>'"):
        GemServer(str(folder), fetcher).versions(["facter"])


def test_gems_of_every_era_are_resolved_with_digests(folder: Path, fetcher: Fetcher) -> None:
    made: list[GemFile] = [make_gem(f"g-{era.value}", era=era) for era in Era]
    lay_out_server(folder, made)
    resolution = resolve(GemServer(str(folder), fetcher), *(f"g-{era.value}" for era in Era))
    assert [gem.download.sha256 for gem in resolution.gems] == [gem.sha256 for gem in made]
