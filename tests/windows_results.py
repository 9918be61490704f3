"""Compare the results of the tests on Windows with those that are checked in.

``python -m tests.windows_results RESULTS.xml`` reads what ``pytest --junitxml`` wrote, and prints
how many tests passed, and how many were skipped for which reason. It fails if fewer passed than
listed, or if more were skipped for a reason. With ``--write`` it writes the list anew.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

RESULTS = Path(__file__).with_name("windows_results.toml")


def read_results(path: Path) -> tuple[int, Counter[str]]:
    """Return the number of tests that passed, and of those that were skipped for each reason."""
    passed = 0
    skipped = Counter[str]()
    for case in ET.parse(path).iter("testcase"):
        outcomes = {child.tag: child for child in case}
        if "skipped" in outcomes:
            skipped[_without_place(outcomes["skipped"].get("message", ""))] += 1
        elif not outcomes.keys() & {"failure", "error"}:
            passed += 1
    return passed, skipped


def _without_place(reason: str) -> str:
    """Return a reason without the path at its end, which differs between machines."""
    return re.sub(r" (at|in) [^ ]*[/\\\\].*", r" \1 ...", reason)


def compare(
    passed: int, skipped: Mapping[str, int], least_passed: int, allowed: Mapping[str, int]
) -> list[str]:
    """Return a line for each number that is worse than on the list."""
    lines = []
    if passed < least_passed:
        lines.append(f"{passed} tests passed, at least {least_passed} expected")
    for reason, count in sorted(skipped.items()):
        if count > (most := allowed.get(reason, 0)):
            lines.append(f"{count} tests were skipped, at most {most} expected: {reason}")
    return lines


def write(passed: int, skipped: Mapping[str, int]) -> None:
    """Write the list, and keep the comment at its top."""
    comment = RESULTS.read_text(encoding="utf-8").partition("passed =")[0]
    reasons = "".join(f"{json.dumps(reason)} = {skipped[reason]}\n" for reason in sorted(skipped))
    RESULTS.write_text(f"{comment}passed = {passed}\n\n[skipped]\n{reasons}", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    path, *options = arguments
    passed, skipped = read_results(Path(path))
    sys.stdout.write(f"Windows: {passed} passed, {skipped.total()} skipped:\n")
    for reason, count in sorted(skipped.items()):
        sys.stdout.write(f"  {count:4} {reason}\n")
    if options == ["--write"]:
        write(passed, skipped)
    listed = tomllib.loads(RESULTS.read_text(encoding="utf-8"))
    differences = compare(passed, skipped, listed["passed"], listed["skipped"])
    for line in differences:
        sys.stderr.write(f"{RESULTS.name}: {line}\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
