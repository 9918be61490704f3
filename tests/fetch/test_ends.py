"""Test the end of downloads: close, exceptions and Ctrl-C leave nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time

import pytest

from purekernel.errors import (
    CombinedError,
    DownloadError,
)
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.model import Download, DownloadedFile
from purekernel.fetch.store import Store
from tests.fetch.answers import cut, silence, slowly, stall, status
from tests.fetch.children import Child
from tests.fetch.fetching import blobs, extension, files, want
from tests.fetch.server import Answer, Server

CONTENT = extension()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> object:
    """Assert that all download threads end with the test."""
    yield
    left = [thread for thread in threading.enumerate() if thread.name == "purekernel-download"]
    for thread in left:
        thread.join(20)
    assert not any(thread.is_alive() for thread in left)


def test_close_aborts_stuck_downloads(server: Server, store: Store) -> None:
    answers: list[Answer] = [silence, stall(5), cut(5), slowly(0.5)]
    wanted = []
    for number, answer in enumerate(answers * 3):
        server.put(f"/{number}", extension(50_000))
        server.script(f"/{number}", *[answer] * 99)
        wanted.append(want(f"{server.url}/{number}"))
    downloads = Downloads(store, policy=DownloadPolicy(attempts=99, most_pause_seconds=20))

    def close() -> None:
        while not server.asked:
            time.sleep(0.001)
        downloads.close()

    closing = threading.Thread(target=close)
    closing.start()
    with pytest.raises(DownloadError) as caught:
        downloads.fetch_all(wanted)
    closing.join()
    assert (str(caught.value), caught.value.hint) == ("the downloads were cancelled", "run again")
    assert blobs(store) == []


@pytest.mark.parametrize("raised", [KeyboardInterrupt, RuntimeError])
def test_exception_in_caller_aborts_downloads(
    raised: type[BaseException], server: Server, store: Store
) -> None:
    def report(_wanted: Download, _fetched: DownloadedFile | None) -> None:
        raise raised

    server.put("/a", CONTENT)
    server.script("/b", silence)
    downloads = Downloads(store, report=report)
    with pytest.raises(raised):
        downloads.fetch_all([want(f"{server.url}/{name}") for name in "bbba"])


def test_fetch_after_close_raises(server: Server, store: Store) -> None:
    wanted = want(server.put("/a", CONTENT))
    with Downloads(store) as downloads:
        downloads.fetch(wanted)
    for _ in range(2):
        with pytest.raises(DownloadError, match="the downloads were cancelled"):
            downloads.fetch(wanted)
    assert len(server.asked) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_close_leaves_no_open_files_or_connections(server: Server, store: Store) -> None:
    for number, answer in enumerate([cut(100), stall(0), status(500), status(404), status(403)]):
        server.put(f"/{number}", CONTENT)
        server.script(f"/{number}", answer)
    policy = DownloadPolicy(stall_seconds=0.1, first_pause_seconds=0)
    with Downloads(store, policy=policy) as downloads, pytest.raises(CombinedError):
        downloads.fetch_all([want(f"{server.url}/{number}") for number in range(5)])
    del downloads
    gc.collect()
    server.wait_for_idleness()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to whole consoles")
def test_ctrl_c_interrupts_waiting_download(server: Server, store: Store) -> None:
    urls = [server.put(f"/{number}", CONTENT) for number in range(5)]
    for number in range(5):
        server.script(f"/{number}", *[silence] * 9)
    child = Child(store.folder, urls)
    while len(server.asked) < 3:
        time.sleep(0.001)
    assert child.interrupt() == (-signal.SIGINT, "KeyboardInterrupt")
    assert files(store) == []


@pytest.mark.usefixtures("plain_surroundings")
def test_close_aborts_stalled_tls_handshake(store: Store, unanswering: int) -> None:
    downloads = Downloads(store, policy=DownloadPolicy(connect_seconds=60, stall_seconds=60))
    closing = threading.Timer(0.2, downloads.close)
    closing.start()
    with pytest.raises(DownloadError, match="the downloads were cancelled"):
        downloads.fetch(want(f"https://127.0.0.1:{unanswering}/a"))
    closing.join()
