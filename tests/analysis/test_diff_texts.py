"""Test the unified diff of texts, beside patch and diff."""

from __future__ import annotations

from pathlib import Path
from subprocess import run as run_process

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.analysis.diff.unified import (
    MOST_EDITS,
    Hunks,
    compare_texts,
    find_edits,
)
from tests.oracles import require, run

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\r\n", b"\n"]), max_size=12)
TEXTS = st.tuples(LINES, st.sampled_from([b"", b"end"])).map(
    lambda parts: b"".join(parts[0]) + parts[1]
)


def _split(text: bytes) -> list[bytes]:
    parts = text.split(b"\n")
    return [each + b"\n" for each in parts[:-1]] + [parts[-1]] * bool(parts[-1])


@given(TEXTS, TEXTS)
def test_edits_make_the_new_text_of_the_old(old: bytes, new: bytes) -> None:
    olds, news = _split(old), _split(new)
    made: list[bytes] = []
    position = 0
    for start, end, new_start, new_end in find_edits(olds, news):
        made += olds[position:start] + news[new_start:new_end]
        position = end
    assert made + olds[position:] == news


def test_equal_texts_have_no_hunks() -> None:
    assert compare_texts(b"a\n", b"a\n") == Hunks(lines=(), removed=0, added=0)


def test_changes_far_apart_are_hunks_of_their_own() -> None:
    old = b"".join(b"%d\n" % number for number in range(30))
    new = old.replace(b"\n3\n", b"\nx\n").replace(b"\n20\n", b"\n")
    hunks = compare_texts(old, new)
    assert [line for line in hunks.lines if line.startswith(b"@@")] == [
        b"@@ -1,7 +1,7 @@",
        b"@@ -18,7 +18,6 @@",
    ]
    assert (hunks.removed, hunks.added) == (2, 1)


def test_missing_newline_at_the_end_is_shown() -> None:
    assert compare_texts(b"a\nb", b"a\nb\n").lines == (
        b"@@ -1,2 +1,2 @@", b" a", b"-b", b"\\ No newline at end of file", b"+b",
    )  # fmt: skip


def test_text_of_nothing_is_added_after_line_0() -> None:
    assert compare_texts(b"", b"a\n").lines == (b"@@ -0,0 +1 @@", b"+a")


def test_texts_with_too_many_edits_are_one_block() -> None:
    old = [b"o%d\n" % number for number in range(MOST_EDITS)]
    new = [b"n%d\n" % number for number in range(MOST_EDITS)]
    assert find_edits([b"s\n", *old, b"e\n"], [b"s\n", *new, b"e\n"]) == [
        (1, MOST_EDITS + 1, 1, MOST_EDITS + 1)
    ]


@pytest.mark.slow
def test_long_repeating_texts_are_compared_in_bounded_steps() -> None:
    old = [b"x", *[b"a", b"b"] * 100_000, b"y"]
    new = [b"z", *[b"b", b"a"] * 90_000, b"w"]
    assert find_edits(old, new) == [(0, len(old), 0, len(new))]


@pytest.mark.oracle
@pytest.mark.slow
def test_patch_makes_the_new_text_and_diff_changes_as_many_lines(tmp_path: Path) -> None:
    patch, diff = require("patch"), require("diff")
    pairs = [
        (b"a\nb\nc\na\nb\nb\na\n", b"c\nb\na\nb\na\nc"),
        (b"".join(b"%d\n" % (number % 7) for number in range(90)),
         b"".join(b"%d\n" % (number % 5) for number in range(80))),
        (b"", b"new\ntext\n"),
        (b"no newline", b"no newline\nand more"),
    ]  # fmt: skip
    old_path, new_path = tmp_path / "old", tmp_path / "new"
    for old, new in pairs:
        old_path.write_bytes(old)
        new_path.write_bytes(new)
        hunks = compare_texts(old, new)
        text = b"\n".join((b"--- old", b"+++ new", *hunks.lines, b""))
        made = tmp_path / "made"
        run(patch, "-s", "-o", made, old_path, stdin=text)
        assert made.read_bytes() == new
        plain = run_process(
            [diff, "--minimal", old_path, new_path], capture_output=True, check=False
        )
        lines = [line[:2] for line in plain.stdout.split(b"\n")]
        assert lines.count(b"< ") == hunks.removed
        assert lines.count(b"> ") == hunks.added
