from __future__ import annotations

from pathlib import Path

import pytest

from tests import windows_results

RESULTS = """
<testsuites><testsuite>
<testcase name="a"/><testcase name="b"><system-out>x</system-out></testcase>
<testcase name="c"><skipped message="no shared mirror at Z:\\x\\mirror"/></testcase>
<testcase name="d"><skipped message="Windows has no fifos"/></testcase>
<testcase name="e"><failure message="no"/></testcase><testcase name="f"><error/></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "listed.toml"
    path.write_text("# The comment.\npassed = 0\n\n[skipped]\n")
    monkeypatch.setattr(windows_results, "RESULTS", path)
    (tmp_path / "results.xml").write_text(RESULTS)
    return path


def test_written_list_equals_the_results(listed: Path, tmp_path: Path) -> None:
    results = str(tmp_path / "results.xml")
    assert windows_results.main([results]) == 1
    assert windows_results.main([results, "--write"]) == 0
    assert listed.read_text() == (
        '# The comment.\npassed = 2\n\n[skipped]\n"Windows has no fifos" = 1\n'
        '"no shared mirror at ..." = 1\n'
    )
    assert windows_results.main([results]) == 0


@pytest.mark.parametrize(
    ("passed", "skips", "difference"),
    [
        (2, 1, None),
        (3, 1, None),
        (1, 1, "1 tests passed, at least 2 expected"),
        (2, 0, None),
        (2, 2, "2 tests were skipped, at most 1 expected: Windows has no fifos"),
    ],
)
def test_fewer_passes_and_more_skips_are_differences(
    passed: int, skips: int, difference: str | None
) -> None:
    reason = "Windows has no fifos"
    skipped = {reason: skips} if skips else {}
    found = windows_results.compare(passed, skipped, 2, {reason: 1})
    assert found == ([] if difference is None else [difference])


def test_reason_that_is_not_listed_is_a_difference() -> None:
    found = windows_results.compare(2, {"not today": 1}, 2, {})
    assert found == ["1 tests were skipped, at most 0 expected: not today"]
