"""Select tests by mark and slice, check skips against the checked-in list, and define fixtures."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from purekernel.errors import LibraryError
from tests import selection
from tests.oracles import require, skip_or_fail

# Machines that run tests stall now and then. No test here measures time.
settings.register_profile("thorough", deadline=None)
# Selections without the nightly tests, the README's among them, try fewer examples than 100.
settings.register_profile("not nightly", deadline=None, max_examples=50)
settings.register_profile("fast", deadline=None, max_examples=25)
settings.load_profile("thorough")

# All tests that were collected, before any was deselected.
COLLECTED = pytest.StashKey[list[pytest.Item]]()
# The number of deselected tests, by the mark that keeps them out of the fast selection.
LEFT_OUT = pytest.StashKey[Counter[str]]()

# A parameter of this many bytes is part of a test's name.
MAX_NAME_BYTES = 40


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slice", metavar="K/N", help="run only slice K (from 0) of N of the tests selected"
    )
    parser.addoption(
        "--write-mark-counts", action="store_true", help="write tests/mark_counts.toml anew"
    )


def pytest_configure(config: pytest.Config) -> None:
    # mutmut (tests/mutation.py) has this in a variable of its own, too. Child processes must not
    # see it, because they cannot report to mutmut.
    os.environ.pop("MUTANT_UNDER_TEST", None)
    config.stash[LEFT_OUT] = Counter()
    if config.option.markexpr == selection.FAST:
        settings.load_profile("fast")
    elif "not nightly" in config.option.markexpr:
        settings.load_profile("not nightly")
    # By default, pytest-xdist starts the files with the most tests first.
    config.option.loadscopereorder = False
    keep_bytecode(config)
    if selection.on_wine():
        socket.socket.listen = skip_server  # type: ignore[method-assign]


def skip_server(*_arguments: object) -> None:
    """Skip the test that starts a server: what passes or fails here may do otherwise on Windows."""
    pytest.skip("sockets under Wine are not those of Windows")


def keep_bytecode(config: pytest.Config) -> None:
    """Keep bytecode in pytest's cache if the environment forbids it beside the sources.

    Otherwise each worker compiles all tests, and each of the several hundred processes that tests
    start compiles all of purekernel.
    """
    if not os.environ.get("PYTHONDONTWRITEBYTECODE"):
        return
    if (cache := getattr(config, "cache", None)) is None:  # pytest -p no:cacheprovider
        return
    with suppress(OSError):
        folder = str(cache.mkdir("bytecode"))
        del os.environ["PYTHONDONTWRITEBYTECODE"]
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = folder
        sys.dont_write_bytecode = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the fast tests, order all, choose the slice, and skip the oracles' tests off Linux.

    On other systems, programs of the same names differ: macOS has the cpio of BSD.
    """
    selection.mark_fast(items)
    selection.put_longest_first(items)
    config.stash[COLLECTED] = list(items)
    if (text := config.getoption("slice")) is not None:
        chosen = selection.Slice.parse(text)
        items[:] = [item for item in items if chosen.holds(item.nodeid)]
    if sys.platform == "linux":
        return
    for item in items:
        if item.get_closest_marker("oracle") or item.get_closest_marker("boot"):
            item.add_marker(pytest.mark.skip(reason="the oracles are Linux's"))


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name long or binary values by their parameter.

    pytest names bytes by their content. That makes long names, and differs between workers for
    data with a time in it, such as that of gzip.compress(): pytest-xdist then stops.
    """
    del config
    if isinstance(val, bytes) and (len(val) > MAX_NAME_BYTES or b"\x1f\x8b" in val):
        return argname
    return None


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        item.config.stash[LEFT_OUT][selection.first_mark(item) or selection.FAST] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the counts of deselected tests to the controller: only workers collect tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash[LEFT_OUT])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take the counts of any worker: every worker collects all tests."""
    if left_out := getattr(node, "workeroutput", {}).get("left_out"):
        node.config.stash[LEFT_OUT] = Counter(left_out)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in selection.describe_left_out(config.stash[LEFT_OUT]):
        terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Skip a test that needs lz4 where it is missing: it is optional, see pyproject.toml."""
    try:
        return (yield)
    except LibraryError as error:
        if find_spec("lz4") is None and error.hint == "pip install 'purekernel[lz4]'":
            skip_or_fail("lz4 is not installed", program=True)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped for a reason that is not on the list."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        assert isinstance(report.longrepr, tuple)
        reason = report.longrepr[2].removeprefix("Skipped: ")
        here = selection.conditions(
            required=os.environ.get("PUREKERNEL_REQUIRE_ORACLES"),
            root=hasattr(os, "geteuid") and os.geteuid() == 0,
            wine=selection.on_wine(),
        )
        if not any(
            allowed.matches(item.nodeid, reason, here) for allowed in selection.read_allowed_skips()
        ):
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid} was skipped, which tests/allowed_skips.toml does not allow here: "
                f"{reason}"
            )
    return report


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use a temporary cache folder, so that the user's own caches do not change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUREKERNEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that any user may write to; only the owner can use pytest's own folders."""
    folder = Path(tempfile.mkdtemp(prefix="purekernel-test-"))
    folder.chmod(0o777)
    yield folder
    # Only root can delete what a test leaves in a folder without write permission.
    folder.chmod(0o700)
    for parent, names, _files in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Return a file system with room for 192 KiB."""
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
