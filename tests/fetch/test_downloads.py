"""Test Downloads: parallel downloads, error reports, sizes, load and offline mode."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from purekernel.errors import (
    CombinedError,
    DownloadError,
    MissingFileError,
    OfflineError,
    StoreError,
)
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.model import DownloadedFile
from purekernel.fetch.store import Store, load_fetched
from purekernel.formats.detect import FileKind
from tests.fetch.answers import chunks, slowly, status
from tests.fetch.fetching import QUICK, blobs, extension, files, md5, sha256, want
from tests.fetch.server import Server

CONTENT = extension()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> object:
    """Assert that all download threads end with the test."""
    yield
    left = [thread for thread in threading.enumerate() if thread.name == "purekernel-download"]
    for thread in left:
        thread.join(20)
    assert not any(thread.is_alive() for thread in left)


@pytest.mark.slow
def test_hundreds_of_files_use_eight_connections(server: Server, store: Store) -> None:
    contents = {f"/{number}.tcz": extension(2000, number) for number in range(400)}
    wanted = [
        want(server.put(path, content), kind=FileKind.SQUASHFS, md5=md5(content))
        for path, content in contents.items()
    ]
    seen: list[str] = []
    with Downloads(store, report=lambda one, _fetched: seen.append(one.name)) as downloads:
        fetched = downloads.fetch_all(wanted)
        assert [downloads.load(one) for one in fetched if one] == list(contents.values())
    assert [one.name for one in fetched if one] == [one.name for one in wanted]
    assert sorted(seen) == sorted(one.name for one in wanted)
    assert server.statuses() == [200] * 400
    # Connections are kept alive and reused.
    assert server.connections <= 8
    assert server.most_at_once <= 8


@pytest.mark.slow
def test_parallel_limits_simultaneous_downloads(server: Server, store: Store) -> None:
    wanted = [want(server.put(f"/{number}", extension(seed=number))) for number in range(9)]
    for one in wanted:
        server.script(f"/{one.name}", slowly(0.001))
    with Downloads(store, policy=DownloadPolicy(parallel=3)) as downloads:
        downloads.fetch_all(wanted)
    assert server.most_at_once <= 3


def test_duplicate_requests_are_fetched_once(server: Server, store: Store) -> None:
    one, other = want(server.put("/a", CONTENT)), want(server.put("/b", CONTENT))
    reported: list[str] = []
    with Downloads(store, report=lambda wanted, _: reported.append(wanted.name)) as downloads:
        fetched = downloads.fetch_all([one, other, one])
    assert [each.name for each in fetched if each] == ["a", "b", "a"]
    assert sorted(reported) == ["a", "b"]
    assert len(server.asked) == 2
    # Both files have the same content, so the store has one blob.
    assert len(blobs(store)) == 1


def test_empty_request_list_returns_nothing(store: Store) -> None:
    with Downloads(store) as downloads:
        assert downloads.fetch_all([]) == []
    assert not store.folder.exists()


def test_fetch_returns_url_size_digests_and_path(server: Server, store: Store) -> None:
    with Downloads(store) as downloads:
        fetched = downloads.fetch(want(server.put("/a.tcz", CONTENT)))
    assert fetched is not None
    assert fetched == DownloadedFile(
        name="a.tcz",
        url=f"{server.url}/a.tcz",
        size_bytes=3000,
        sha256=sha256(CONTENT),
        md5=md5(CONTENT),
        path=blobs(store)[0],
    )
    assert load_fetched(fetched) == CONTENT


def test_all_files_are_tried_and_all_errors_reported(server: Server, store: Store) -> None:
    server.script("/bad", status(403))
    names = ("good", "gone", "bad", "maybe")
    wanted = [want(f"{server.url}/{name}", optional=name == "maybe") for name in names]
    server.put("/good", CONTENT)
    reported: dict[str, bool] = {}
    with (
        Downloads(store, report=lambda one, got: reported.update({one.name: got is not None})) as d,
        pytest.raises(CombinedError) as caught,
    ):
        d.fetch_all(wanted)
    assert [(type(error), str(error)) for error in caught.value.errors] == [
        (MissingFileError, f"gone not found: tried {server.url}/gone"),
        (DownloadError, f"bad cannot be fetched: {server.url}/bad: status 403, Forbidden"),
    ]
    assert reported == {"good": True, "maybe": False}


def test_exists_does_not_fetch(server: Server, store: Store) -> None:
    server.put("/a", CONTENT)
    server.script("/b", status(405), status(200))
    server.script("/c", status(403), status(403))
    with Downloads(store, policy=QUICK) as downloads:
        assert downloads.exists(want(f"{server.url}/a"))
        assert downloads.exists(want(f"{server.url}/b"))
        assert not downloads.exists(want(f"{server.url}/missing"))
        with pytest.raises(DownloadError) as caught:
            downloads.exists(want(f"{server.url}/c"))
    assert str(caught.value) == (f"c cannot be fetched: {server.url}/c: status 403, Forbidden")
    assert [(asked.method, asked.target) for asked in server.asked] == [
        ("HEAD", "/a"), ("HEAD", "/b"), ("GET", "/b"), ("HEAD", "/missing"),
        ("HEAD", "/c"), ("GET", "/c"),
    ]  # fmt: skip
    assert blobs(store) == []


def test_sizes_does_not_fetch(server: Server, store: Store) -> None:
    wanted = [
        want(server.put("/a", CONTENT)),
        want(f"{server.url}/promised", size_bytes=7),
        want(server.put("/b", CONTENT)),
        want(server.script("/chunks", chunks([], Content_Length="9"))),
        want(f"{server.url}/missing"),
        want(server.script("/c", status(403), status(403))),
        want(server.put("/d", CONTENT), md5=md5(CONTENT)),
    ]
    server.script("/b", status(501))
    with Downloads(store, policy=QUICK) as downloads:
        downloads.fetch(wanted[-1])
        sizes = downloads.sizes(wanted)
    assert [sizes[one] for one in wanted] == [3000, 7, 3000, None, None, None, 3000]
    assert sorted((one.method, one.target) for one in server.asked) == [
        ("GET", "/b"), ("GET", "/c"), ("GET", "/d"), ("HEAD", "/a"), ("HEAD", "/b"), ("HEAD", "/c"),
        ("HEAD", "/chunks"), ("HEAD", "/missing"),
    ]  # fmt: skip
    assert len(blobs(store)) == 1


def damage(how: str) -> Callable[[DownloadedFile], None]:
    def change(fetched: DownloadedFile) -> None:
        fetched.path.chmod(0o644)
        if how == "gone":
            fetched.path.unlink()
        elif how == "emptied":
            fetched.path.write_bytes(b"")
        elif how == "truncated":
            fetched.path.write_bytes(CONTENT[:-1])
        else:
            fetched.path.write_bytes(CONTENT[:-1] + b"?")

    return change


@pytest.mark.parametrize("how", ["gone", "emptied", "truncated", "altered"])
def test_load_refetches_damaged_file(how: str, server: Server, store: Store) -> None:
    url = server.put("/a", CONTENT)
    with Downloads(store) as downloads:
        fetched = downloads.fetch(want(url, optional=True))
        assert fetched is not None
        damage(how)(fetched)
        assert downloads.load(fetched) == CONTENT
    assert server.statuses() == [200, 200]
    assert blobs(store)[0].read_bytes() == CONTENT


def test_load_raises_if_refetch_fails(server: Server, store: Store) -> None:
    with Downloads(store, policy=QUICK) as downloads:
        fetched = downloads.fetch(want(server.put("/a", CONTENT), optional=True))
        assert fetched is not None
        damage("altered")(fetched)
        server.script("/a", status(404))
        with pytest.raises(MissingFileError):
            downloads.load(fetched)
        # The mirror has a different file now.
        server.put("/a", extension(seed=1))
        with pytest.raises(DownloadError, match="SHA-256 must be "):
            downloads.load(fetched)


def test_load_of_file_from_other_object_raises_if_damaged(server: Server, store: Store) -> None:
    with Downloads(store) as downloads:
        fetched = downloads.fetch(want(server.put("/a", CONTENT)))
    assert fetched is not None
    with Downloads(store) as downloads:
        assert downloads.load(fetched) == CONTENT
        damage("truncated")(fetched)
        with pytest.raises(StoreError) as caught:
            downloads.load(fetched)
        assert (str(caught.value), caught.value.hint) == (
            f"a has changed in the store: {fetched.path}",
            "run again to fetch the file again; let no other program write to the store",
        )
        with pytest.raises(StoreError) as caught:
            downloads.load(fetched)
        assert (str(caught.value), caught.value.hint) == (
            "a cannot be read from the store: No such file or directory",
            "run again to fetch the file again",
        )


@pytest.mark.slow
def test_downloads_are_thread_safe(server: Server, store: Store) -> None:
    wanted = [want(server.put(f"/{number}", extension(seed=number))) for number in range(40)]
    with Downloads(store) as downloads, ThreadPoolExecutor(4) as several:
        every = list(several.map(downloads.fetch_all, [wanted] * 4))
    assert every[0] == every[1] == every[2] == every[3]
    assert len(blobs(store)) == 40
    assert server.most_at_once <= 8


def test_executor_runs_downloads(server: Server, store: Store) -> None:
    threads: set[str] = set()
    server.put("/a", CONTENT)

    def sleep(_seconds: float) -> None:
        threads.add(threading.current_thread().name)

    server.script("/a", status(500))
    with (
        ThreadPoolExecutor(1, thread_name_prefix="ours") as executor,
        Downloads(store, executor=executor, sleep=sleep) as downloads,
    ):
        assert downloads.fetch(want(f"{server.url}/a"))
    assert threads == {"ours_0"}


@pytest.mark.slow
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_large_file_is_streamed(server: Server, store: Store) -> None:
    piece = extension(1 << 20)
    size_bytes = 64 << 20

    def large(exchange: object) -> None:
        exchange.begin(200, {"Content-Length": str(size_bytes)})  # type: ignore[attr-defined]
        for _ in range(size_bytes >> 20):
            exchange.send_raw(piece)  # type: ignore[attr-defined]

    server.script("/large", large)
    with Downloads(store) as downloads:
        tracemalloc.start()
        try:
            fetched = downloads.fetch(want(f"{server.url}/large"))
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert fetched is not None
    assert fetched.size_bytes == size_bytes
    assert peak < 16 << 20


def test_offline_reports_all_missing_files(server: Server, store: Store) -> None:
    wanted = [want(server.put("/a", CONTENT)), want(f"{server.url}/b"), want(f"{server.url}/c")]
    with Downloads(store) as downloads:
        downloads.fetch(wanted[0])
    with Downloads(store, offline=True) as downloads, pytest.raises(CombinedError) as caught:
        downloads.fetch_all(wanted)
    assert [(type(error), str(error), error.hint) for error in caught.value.errors] == [
        (OfflineError,
         f"{name} is not available offline: {server.url}/{name}: not in the store",
         "run once without --offline")
        for name in "bc"
    ]  # fmt: skip
    assert files(store) == ["blobs", "urls"]
    assert len(server.asked) == 1
