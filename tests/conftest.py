"""Hold CI to its word: where oracles are required, no test may be skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.oracles import require, skip_or_fail

# Machines that run tests stall now and then; nothing here is about time.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


# Values of PUREKERNEL_REQUIRE_ORACLES under which a test may be skipped.
ALLOWING = (None, "", "programs")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave the caches of whoever runs the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUREKERNEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the oracles' tests to Linux, fixtures and all.

    Elsewhere programs of these names are other programs: macOS has a cpio of BSD's.
    """
    if sys.platform == "linux":
        return
    for item in items:
        if item.get_closest_marker("oracle") or item.get_closest_marker("boot"):
            item.add_marker(pytest.mark.skip(reason="the oracles are Linux's"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("PUREKERNEL_REQUIRE_ORACLES") not in ALLOWING:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} must run here, and was skipped: {report.longrepr}"
    return report


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may write to; pytest's own are for their maker alone."""
    folder = Path(tempfile.mkdtemp(prefix="purekernel-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 192 KiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        skip_or_fail("only root can mount a file system")
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = [require("mount"), "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        skip_or_fail(f"this root cannot mount a file system: {done.stderr.strip()}")
    yield folder
    subprocess.run([require("umount"), str(folder)], check=True)
