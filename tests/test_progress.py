"""Test the progress that is reported while files are fetched and segments are encoded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fixtures.core import make_core_tree
from purekernel.encode.disk_cache import EncodedCache
from purekernel.encode.encoders import Effort
from purekernel.errors import MissingFileError
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.store import Store
from purekernel.progress import Progress, Silent, Task
from purekernel.remaster.core import pack_core, recompress_nested
from tests.executors import AtOnce
from tests.fetch.answers import chunks, cut
from tests.fetch.conftest import plain_surroundings, server, store
from tests.fetch.fetching import QUICK, extension, sha256, want
from tests.fetch.server import Server
from tests.recorder import Recorder

__all__ = ["plain_surroundings", "server", "store"]

CONTENTS = [extension(200_000, seed) for seed in range(3)]


def test_silent_ignores_all_reports() -> None:
    progress: Progress = Silent()
    with progress.step("fetching"), progress.task("bytes", total=3) as task:
        received: Task = task
        received.advance()
        received.advance(-2)
        received.set_total(None)


def test_fetching_counts_files_and_bytes(server: Server, store: Store) -> None:
    progress = Recorder()
    requests = [
        want(server.put(f"/{number}.tcz", content)) for number, content in enumerate(CONTENTS)
    ]
    with Downloads(store, progress=progress) as downloads:
        downloads.fetch_all(requests)
    files, received = progress.of("files"), progress.of("bytes")
    assert (files.done, files.total, files.is_ended) == (3, 3, True)
    assert (received.done, received.total, received.is_ended) == (600_000, 600_000, True)
    assert received.totals[0] is None


def test_files_in_the_store_do_not_count_as_bytes_to_fetch(server: Server, store: Store) -> None:
    urls = [server.put(f"/{number}.tcz", content) for number, content in enumerate(CONTENTS)]
    requests = [
        want(url, size_bytes=200_000, sha256=sha256(content))
        for url, content in zip(urls, CONTENTS, strict=True)
    ]
    with Downloads(store) as downloads:
        downloads.fetch_all(requests[:2])
    progress = Recorder()
    with Downloads(store, progress=progress) as downloads:
        downloads.fetch_all(requests)
    assert (progress.of("files").done, progress.of("files").total) == (3, 3)
    assert (progress.of("bytes").done, progress.of("bytes").total) == (200_000, 200_000)


def test_bytes_of_restarted_download_count_once(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENTS[0])
    server.script("/a.tcz", cut(150_000))
    progress = Recorder()
    with Downloads(store, policy=QUICK, progress=progress) as downloads:
        downloads.fetch(want(url))
    assert (progress.of("bytes").done, progress.of("bytes").total) == (200_000, 200_000)


def test_total_is_unknown_while_any_size_is_unknown(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENTS[0])
    server.script("/a.tcz", chunks([CONTENTS[0]]))
    progress = Recorder()
    with Downloads(store, progress=progress) as downloads:
        downloads.fetch(want(url))
    assert progress.of("bytes").totals == [None, 200_000]


def test_tasks_end_when_a_file_is_missing(server: Server, store: Store) -> None:
    progress = Recorder()
    with Downloads(store, progress=progress) as downloads, pytest.raises(MissingFileError):
        downloads.fetch(want(f"{server.url}/missing.tcz"))
    assert [task.is_ended for task in progress.tasks] == [True, True]
    assert progress.of("files").done == 1
    assert progress.of("bytes").done == 0


@pytest.mark.parametrize("effort", [Effort.BALANCED, Effort.FAST])
def test_encoding_counts_segments_with_and_without_cache(effort: Effort, tmp_path: Path) -> None:
    tree = make_core_tree()
    cache = EncodedCache(tmp_path)
    expected = pack_core(tree, effort=effort, executor=AtOnce())
    with ThreadPoolExecutor(2) as executor:
        for _build in range(2):
            progress = Recorder()
            core = pack_core(tree, effort=effort, executor=executor, cache=cache, progress=progress)
            assert core == expected
            segments = progress.of("segments")
            assert segments.done == segments.total
            assert segments.done > 0
    cache.close()


def test_recompressing_counts_files() -> None:
    progress = Recorder()
    recompress_nested(
        make_core_tree(), effort=Effort.BALANCED, executor=AtOnce(), progress=progress
    )
    files = progress.of("files")
    assert files.done == files.total
    assert files.done > 0
