"""Test the lock of each URL: one download at a time across threads and processes."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from filelock import FileLock

from purekernel.errors import DownloadError
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.model import Stopped
from purekernel.fetch.store import Partial, Store, Turn, taking_turns
from tests.fetch.answers import slowly
from tests.fetch.children import Child
from tests.fetch.fetching import QUICK, blobs, extension, fetch, files, md5, sha256, want
from tests.fetch.server import Exchange, Server
from tests.ordinary import ordinary_user

CONTENT = extension(40_000)


def turn(path: Path, *, patience: float = 60, stopped: bool = False) -> Turn:
    event = threading.Event()
    if stopped:
        event.set()
    with taking_turns(path, patience_seconds=patience, progress=lambda: 0, stopped=event) as taken:
        return taken


def test_free_lock_is_acquired_and_released(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "x"
    for _ in range(2):
        assert turn(path) == Turn(ours=True)
    # The lock file stays. Deleting it while another process opens it would allow two holders.
    # Windows deletes no file that a process has open, so filelock deletes it there.
    assert path.exists() == (os.name != "nt")


def test_lock_is_released_after_exception(tmp_path: Path) -> None:
    def fail() -> None:
        with taking_turns(
            tmp_path / "x", patience_seconds=60, progress=int, stopped=threading.Event()
        ):
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
    assert turn(tmp_path / "x") == Turn(ours=True)


def test_wait_continues_while_holder_makes_progress(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "x", thread_local=False)
    lock.acquire()
    looks = 0

    def progress() -> int:
        nonlocal looks
        looks += 1
        if looks == 8:  # after more time than patience_seconds
            lock.release()
        return looks

    with taking_turns(
        tmp_path / "x", patience_seconds=0.1, progress=progress, stopped=threading.Event()
    ) as taken:
        assert taken == Turn(ours=True)


def test_wait_ends_if_holder_hangs(tmp_path: Path) -> None:
    with FileLock(tmp_path / "x"):
        assert turn(tmp_path / "x", patience=0.1) == Turn(ours=False)


def test_wait_raises_if_stopped(tmp_path: Path) -> None:
    with FileLock(tmp_path / "x"), pytest.raises(Stopped):
        turn(tmp_path / "x", stopped=True)


@pytest.mark.skipif(os.name == "nt", reason="rights are another matter on Windows")
def test_lock_that_cannot_be_created_is_not_waited_for(open_folder: Path) -> None:
    (open_folder / "file").write_bytes(b"")
    assert turn(open_folder / "file" / "x") == Turn(ours=False)
    open_folder.chmod(0o555)
    with ordinary_user():
        assert turn(open_folder / "locks" / "x") == Turn(ours=False)


def test_download_proceeds_if_lock_holder_hangs(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    path = store.lock_path(url)
    path.parent.mkdir(parents=True)
    policy = DownloadPolicy(connect_seconds=0.1, stall_seconds=0.2, first_pause_seconds=0)
    with FileLock(path):
        # The partial file of the lock holder is not changed.
        with store.partial(url).extend() as stream:
            stream.write(b"theirs")
        assert fetch(store, url, policy=policy) == CONTENT
        assert b"".join(store.partial(url).pieces()) == b"theirs"
    assert files(store) == ["blobs", "partials", "urls"]


class Watched(Store):
    """A store that sets an event when a download waits for the lock and polls the holder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_waited_at = threading.Event()

    def partial(self, url: str, *, private: bool = False) -> Partial:
        made = super().partial(url, private=private)
        look, looks = made.size_bytes, itertools.count()

        def looked_at() -> int:
            if next(looks):  # the first call is before the wait, all others during it
                self.is_waited_at.set()
            return look()

        made.size_bytes = looked_at  # type: ignore[method-assign]
        return made


def test_waiting_download_uses_file_of_lock_holder(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    watched = Watched(store.folder)

    def in_time(exchange: Exchange) -> None:
        watched.is_waited_at.wait()
        exchange.give()

    server.script("/a.tcz", in_time)
    other = threading.Thread(target=fetch, args=(store, url))
    other.start()
    while not server.asked:
        time.sleep(0.001)
    assert fetch(watched, url) == CONTENT
    other.join()
    # The waiting download sent no request.
    assert server.statuses() == [200]


def test_waiting_download_proceeds_if_lock_holder_failed(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)

    watched = Watched(store.folder)

    def late(exchange: Exchange) -> None:
        watched.is_waited_at.wait()
        exchange.say(404, b"")

    server.script("/a.tcz", late)
    found: list[bytes | None] = []

    def ask() -> None:
        found.append(fetch(store, url, optional=True))

    other = threading.Thread(target=ask)
    other.start()
    while not server.asked:
        time.sleep(0.001)
    assert fetch(watched, url, optional=True) == CONTENT
    other.join()
    assert found == [None]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.nightly)])
def test_concurrent_processes_share_one_store(processes: int, server: Server, store: Store) -> None:
    contents = {f"/{number}.tcz": extension(20_000, number) for number in range(12)}
    urls = [f"{server.put(path, content)}#{md5(content)}" for path, content in contents.items()]
    for path in contents:
        server.script(path, slowly(0.002))
    children = [Child(store.folder, urls) for _ in range(processes)]
    for child in children:
        assert child.wait() == [sha256(content) for content in contents.values()]
    # Each file was sent once. Later, its MD5 proved the stored file.
    assert Counter(one.target for one in server.asked) == dict.fromkeys(contents, 1)
    assert len(blobs(store)) == 12
    assert files(store) == ["blobs"] * 12 + ["urls"] * 12


def test_thread_waiting_for_lock_ends_on_close(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    path = store.lock_path(url)
    path.parent.mkdir(parents=True)
    with FileLock(path):
        downloads = Downloads(store, policy=QUICK)
        asked = threading.Event()
        failures: list[str] = []

        def ask() -> None:
            asked.set()
            with pytest.raises(DownloadError) as caught:
                downloads.fetch(want(url))
            failures.append(str(caught.value))

        thread = threading.Thread(target=ask)
        thread.start()
        asked.wait()
        downloads.close()
        thread.join()
    assert failures == ["the downloads were cancelled"]
    assert server.asked == []
