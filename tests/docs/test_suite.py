from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests import selection
from tests.conftest import COLLECTED
from tests.processes import ROOT

# Prints how many tests have each mark, for all tests.
COUNT = """
import json, sys
import pytest
from tests import selection
class Counter:
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        self.counts = selection.count_marks(items)
counter = Counter()
status = pytest.main(["--collect-only", "-qq", "tests"], [counter])
print("counts", json.dumps(dict(counter.counts)))
sys.exit(status)
"""


def count_all(collected: Sequence[pytest.Item]) -> dict[str, int]:
    """Return how many tests have each mark, for all tests, even if only some were selected."""
    files = set((ROOT / "tests").rglob("test_*.py"))
    if {item.path for item in collected} == files:
        return dict(selection.count_marks(collected))
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.rpartition("counts ")[2]))


def test_number_of_tests_per_mark_is_checked_in(request: pytest.FixtureRequest) -> None:
    counts = count_all(request.config.stash[COLLECTED])
    if request.config.getoption("write_mark_counts"):
        selection.write_counts(counts)
    assert selection.read_counts() == counts, (
        "see the comment in tests/mark_counts.toml: a move must be meant"
    )


@pytest.mark.parametrize("text", ["8/8", "1", "1/", "a/8", "-1/8", "1/8/2"])
def test_invalid_slice_is_refused(text: str) -> None:
    with pytest.raises(pytest.UsageError, match="must be K/N"):
        selection.Slice.parse(text)


def test_each_test_is_in_one_slice(request: pytest.FixtureRequest) -> None:
    names = [item.nodeid for item in request.config.stash[COLLECTED]]
    slices = [selection.Slice.parse(f"{number}/8") for number in range(8)]
    for name in names:
        assert [part.holds(name) for part in slices].count(True) == 1


def test_longest_files_exist_and_come_first(request: pytest.FixtureRequest) -> None:
    for name in selection.LONGEST_FILES:
        assert (ROOT / name).is_file(), (
            f"change LONGEST_FILES in tests/selection.py: {name} is gone"
        )
    files = list(dict.fromkeys(item.nodeid.partition("::")[0] for item in request.session.items))
    longest = [name for name in selection.LONGEST_FILES if name in files]
    assert files[: len(longest)] == longest


def test_deselected_tests_are_counted_by_mark() -> None:
    assert selection.describe_left_out({"boot": 2, "nightly": 1}) == [
        "left out: 1 test marked nightly (run: nox -s nightly)",
        "left out: 2 tests marked boot (run: nox -s boot)",
    ]
    assert selection.describe_left_out({}) == []


@pytest.mark.parametrize(
    ("reason", "required", "root", "platform", "allowed"),
    [
        ("cpio is not installed", None, True, "linux", True),
        ("cpio is not installed", "programs", True, "linux", False),
        ("cpio is not installed", "1", True, "linux", False),
        ("no shared mirror at /x", "programs", True, "linux", True),
        ("no shared mirror at /x", "1", True, "linux", False),
        ("there is no ldconfig of bullseye for arm64", "1", True, "linux", True),
        ("devices need root", "1", False, "linux", True),
        ("devices need root", "1", True, "linux", False),
        ("Windows has no fifos", None, False, "win32", True),
        ("Windows has no fifos", None, True, "linux", False),
        ("not today", None, False, "win32", False),
    ],
)
def test_skip_is_allowed_if_the_list_allows_it(
    reason: str, required: str | None, root: bool, platform: str, allowed: bool
) -> None:
    here = selection.conditions(required=required, root=root, platform=platform)
    test = "tests/rootfs/test_ldconfig_releases.py::test_one[arm64]"
    found = [one.matches(test, reason, here) for one in selection.read_allowed_skips()]
    assert any(found) == allowed


def test_every_allowed_skip_names_a_condition() -> None:
    everywhere = selection.conditions(required=None, root=False, platform="win32", wine=True)
    assert everywhere == set(selection.CONDITIONS)
    for one in selection.read_allowed_skips():
        assert one.when in selection.CONDITIONS


def reasons() -> Iterator[tuple[str, str]]:
    """Yield each reason for a skip that is spelled out in a test, and the file of the test."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.Call):
                continue
            words = [word.value for word in node.keywords if word.arg == "reason"]
            if ast.unparse(node.func) in ("skip_or_fail", "pytest.skip"):
                words += node.args[:1]
            for word in words:
                if isinstance(word, ast.Constant) and isinstance(word.value, str):
                    yield word.value, path.relative_to(ROOT).as_posix()


@pytest.mark.slow
def test_each_reason_in_a_test_is_on_the_list() -> None:
    """A reason that only another system gives is checked here, too."""
    everywhere = selection.CONDITIONS
    listed = selection.read_allowed_skips()
    unlisted = [
        (reason, path)
        for reason, path in reasons()
        if not any(allowed.matches(f"{path}::test", reason, everywhere) for allowed in listed)
    ]
    assert unlisted == []


# A test that skips itself, run under the rules of tests/conftest.py.
SKIPPING = """
import pytest
from tests.conftest import *  # noqa: F403 (all hooks and fixtures)
"""


@pytest.mark.slow
def test_unlisted_skip_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(SKIPPING)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = fast\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_listed(): pytest.skip('cpio is not installed')\n"
        "def test_unlisted(): pytest.skip('not today')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PUREKERNEL_REQUIRE_ORACLES", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 failed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "which tests/allowed_skips.toml does not allow here: not today" in done.stdout


def test_workflow_and_ci_script_name_the_same_checkers() -> None:
    """The workflow installs packages of .ci/run only; Ubuntu's runners have the others."""
    listed = (ROOT / ".ci/common.sh").read_text().partition("packages=(")[2].partition(")")[0]
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    step = workflow.partition("--no-install-recommends\n")[2].partition("\n      - ")[0]
    assert step.split()
    assert set(step.split()) <= set(listed.split())


def test_every_test_file_is_collected(request: pytest.FixtureRequest) -> None:
    """By default, pytest ignores folders with certain names, "build" among them."""
    passed_over = request.config.getini("norecursedirs")
    for path in (ROOT / "tests").rglob("test_*.py"):
        for folder in path.relative_to(ROOT / "tests").parts[:-1]:
            assert folder not in passed_over
        assert (path.parent / "__init__.py").is_file()
