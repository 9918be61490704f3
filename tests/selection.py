"""Choose tests by mark and by slice, count them, and report which were left out."""

from __future__ import annotations

import ctypes
import re
import sys
import tomllib
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from purekernel.records import frozen

FOLDER = Path(__file__).parent

COUNTS = FOLDER / "mark_counts.toml"
ALLOWED_SKIPS = FOLDER / "allowed_skips.toml"

# The marks that keep a test out of the fast selection, and the command that runs the tests with
# each mark. For a test with several of these marks, the first one counts.
RUN_BY = {
    "nightly": "nox -s nightly",
    "boot": "nox -s boot",
    "faults": 'python -m pytest -m "faults and not nightly"',
    "oracle": "nox -s oracles",
    "cluster": 'python -m pytest -m "cluster and not nightly"',
    "slow": 'python -m pytest -m "slow and not nightly"',
}

# Every test without any of these marks.
FAST = "fast"

# The files that take 10 s of CPU time or more, the longest first. Workers get whole files, in this
# order: a long file that starts last would leave the other workers idle.
LONGEST_FILES = (
    "tests/boot/test_modules.py",
    "tests/boot/test_ways.py",
    "tests/boot/test_gathered.py",
    "tests/faults/test_long.py",
    "tests/boot/test_efi.py",
    "tests/boot/test_squashfs.py",
    "tests/faults/test_build_faults.py",
    "tests/faults/test_gather_faults.py",
    "tests/boot/test_compressions.py",
    "tests/boot/test_bases.py",
    "tests/boot/test_hybrid.py",
    "tests/boot/test_packages.py",
    "tests/encode/cluster/test_dask.py",
    "tests/docs/test_readme.py",
    "tests/plan/test_fetch_plan_confinement.py",
    "tests/recipe/test_validation.py",
    "tests/remaster/test_core.py",
    "tests/formats/test_squashfs_writer.py",
    "tests/cli/test_build.py",
    "tests/encode/cluster/test_same_bytes.py",
    "tests/remaster/test_confinement.py",
    "tests/cli/test_cache_faults.py",
    "tests/formats/test_squashfs.py",
    "tests/rootfs/test_depmod_judged.py",
    "tests/remaster/test_unpacking.py",
    "tests/rootfs/test_depmod_amd64.py",
    "tests/plan/test_lock.py",
    "tests/fetch/test_turns.py",
    "tests/cli/test_terminal.py",
    "tests/cli/test_squashfs.py",
    "tests/encode/test_joining.py",
    "tests/cli/test_bundle.py",
    "tests/remaster/test_originals.py",
)


def put_longest_first(items: list[pytest.Item]) -> None:
    """Sort the tests of LONGEST_FILES before all others."""
    places = {name: number for number, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


def mark_fast(items: Iterable[pytest.Item]) -> None:
    """Mark each test that no other mark keeps out of the fast selection."""
    for item in items:
        if first_mark(item) is None:
            item.add_marker(FAST)


def first_mark(item: pytest.Item) -> str | None:
    """Return the mark that keeps a test out of the fast selection, or ``None``."""
    return next((name for name in RUN_BY if item.get_closest_marker(name)), None)


def count_marks(items: Iterable[pytest.Item]) -> Counter[str]:
    """Return how many tests have each mark; a test with two marks counts twice."""
    return Counter(
        name for item in items for name in RUN_BY if item.get_closest_marker(name) is not None
    )


def read_counts() -> dict[str, int]:
    """Return the checked-in number of tests for each mark."""
    return dict(tomllib.loads(COUNTS.read_text(encoding="utf-8"))["tests"])


def write_counts(counts: Mapping[str, int]) -> None:
    """Write the number of tests for each mark, and keep the comment at the top of the file."""
    comment = COUNTS.read_text(encoding="utf-8").partition("[tests]\n")[0]
    lines = "".join(f"{name} = {counts[name]}\n" for name in RUN_BY)
    COUNTS.write_text(f"{comment}[tests]\n{lines}", encoding="utf-8")


def describe_left_out(left_out: Mapping[str, int]) -> list[str]:
    """Return a line for each mark whose tests were left out."""
    lines = []
    for name in (*RUN_BY, FAST):
        if number := left_out.get(name, 0):
            how = f" (run: {RUN_BY[name]})" if name in RUN_BY else ""
            lines.append(
                f"left out: {number} {'test' if number == 1 else 'tests'} marked {name}{how}"
            )
    return lines


@frozen
class Slice:
    """One of several parts of the tests, about equal in size and the same on every machine.

    Attributes:
        number: number of the slice, from 0.
        total: number of slices.
    """

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Slice:
        """Read ``K/N``.

        Raises:
            pytest.UsageError: the text does not have this form.
        """
        number, _, total = text.partition("/")
        if not (number.isdecimal() and total.isdecimal() and int(number) < int(total)):
            raise pytest.UsageError(f"--slice must be K/N with K from 0 to N-1, got {text!r}")
        return cls(int(number), int(total))

    def holds(self, test: str) -> bool:
        """Return whether a test belongs to this slice. New tests do not move it to another."""
        return zlib.crc32(test.encode()) % self.total == self.number


def on_wine() -> bool:
    """Return whether Wine runs this Python: it has a function that Windows lacks."""
    if sys.platform != "win32":
        return False
    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


# The conditions under which a skip is allowed; see the comment in allowed_skips.toml.
CONDITIONS = ("always", "not required", "no data", "not root", "not linux", "windows", "wine")


@frozen(kw_only=True)
class AllowedSkip:
    """An acceptable reason to skip tests.

    Attributes:
        reason: the reason that the test gives, with ``*`` for any text.
        when: one of CONDITIONS.
        tests: the tests that may give it, with ``*`` for any text.
    """

    reason: str
    when: str
    tests: str = "*"

    def matches(self, test: str, reason: str, conditions: Iterable[str]) -> bool:
        """Return whether this entry allows ``test`` to be skipped for ``reason``."""
        return (
            self.when in conditions and _matches(self.tests, test) and _matches(self.reason, reason)
        )


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text, re.DOTALL) is not None


def read_allowed_skips() -> list[AllowedSkip]:
    """Return the checked-in list of allowed skips."""
    entries = tomllib.loads(ALLOWED_SKIPS.read_text(encoding="utf-8"))["skip"]
    return [AllowedSkip(**entry) for entry in entries]


def conditions(
    *, required: str | None, root: bool, platform: str = sys.platform, wine: bool = False
) -> set[str]:
    """Return the conditions that hold, given PUREKERNEL_REQUIRE_ORACLES, user and platform."""
    found = {"always"}
    if not required:
        found.add("not required")
    if not required or required == "programs":
        found.add("no data")
    if not root:
        found.add("not root")
    if platform != "linux":
        found.add("not linux")
    if platform == "win32":
        found.add("windows")
    if wine:
        found.add("wine")
    return found
