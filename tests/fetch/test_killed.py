"""Test killed runs: the store stays valid, and the next run resumes the downloads."""

from __future__ import annotations

import random
import time

import pytest

from purekernel.fetch.store import Store
from tests.fetch.answers import slowly
from tests.fetch.children import Child
from tests.fetch.fetching import blobs, extension, md5, sha256
from tests.fetch.server import Server

CONTENTS = {f"/{number}.tcz": extension(60_000, number) for number in range(8)}


def sent_bytes(server: Server) -> int:
    return sum(asked.sent_bytes for asked in server.asked)


def assert_whole(store: Store) -> None:
    """Assert that every blob matches its SHA-256 digest."""
    for path in blobs(store):
        assert sha256(path.read_bytes()) == path.name


@pytest.mark.slow
def test_downloads_resume_after_killed_runs(server: Server, store: Store) -> None:
    urls = {path: server.put(path, content) for path, content in CONTENTS.items()}
    proven = [f"{url}#{md5(CONTENTS[path])}" for path, url in urls.items()]
    for path in CONTENTS:
        server.script(path, *[slowly(0.003)] * 99)
    chance = random.Random(4)
    killed = gone_on = 0
    while len(blobs(store)) < len(CONTENTS) - 2 and killed < 8:
        parts = {path: store.partial(url).size_bytes() for path, url in urls.items()}
        recorded = {path for path, url in urls.items() if store.partial(url).record()}
        before, asked = sent_bytes(server), len(server.asked)
        moment = before + chance.randrange(1, 90_000)
        child = Child(store.folder, proven)
        while sent_bytes(server) < moment and child.runs:
            time.sleep(0.001)
            assert_whole(store)
        killed += child.runs
        child.kill()
        server.wait_for_idleness()
        assert_whole(store)
        for one in server.asked[asked:]:
            wanted = parts[one.target] if one.target in recorded else 0
            assert one.headers.get("range") == (f"bytes={wanted}-" if wanted else None)
            gone_on += bool(wanted)
            parts[one.target] = 0
    assert killed >= 3
    assert gone_on >= 3
    assert Child(store.folder, proven).wait() == list(map(sha256, CONTENTS.values()))
    assert_whole(store)
    assert [path.name for path in blobs(store)] == sorted(map(sha256, CONTENTS.values()))
    # All partial files were deleted.
    assert list((store.folder / "v1" / "partials").iterdir()) == []
