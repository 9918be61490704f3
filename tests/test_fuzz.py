"""Test the fuzz targets on their seeds, corpora and past findings; no fuzzer is needed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType, FunctionType
from typing import Any

import pytest

import purekernel.formats
from fuzz import __main__ as command
from fuzz import target as targets
from fuzz.registry import TARGETS
from fuzz.replay import CORPORA, FINDINGS, inputs_of, replay
from fuzz.runner import ROOT, plant, with_bug
from fuzz.seeds import SEEDS, seeds_of
from fuzz.target import FindingError, Plant, attempt, given
from purekernel.errors import FormatError
from purekernel.input import Input

# What a public function of formats/ is called that reads bytes or text. What else takes an Input is
# a reader too.
READER = re.compile(r"(parse|load|read|open|iter|unpack|inflate)_?\w*")


def describe(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", str(function))
    return f"{function.__module__.removeprefix('purekernel.formats.')}.{name}"


def public_readers() -> dict[str, FunctionType]:
    """Return every public function of formats/ that reads, by its module and name."""
    readers = {}
    for module in pkgutil.walk_packages(purekernel.formats.__path__, "purekernel.formats."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if not inspect.isfunction(value) or value.__module__ != module.name:
                continue
            annotations = inspect.get_annotations(value)
            if name.startswith("_") or str(annotations.get("return")).endswith("Error"):
                continue  # the latter makes an error for a reader to raise
            if "Input" in map(str, annotations.values()) or READER.fullmatch(name):
                readers[describe(value)] = value
    return readers


@contextmanager
def recorded(calls: set[Any]) -> Iterator[None]:
    """Collect the code of every function that is called."""

    def record(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            calls.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(record)
    try:
        yield
    finally:
        sys.setprofile(before)


@contextmanager
def traced(files: set[str], lines: set[tuple[str, int]]) -> Iterator[None]:
    """Collect the lines of some files that are executed."""

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@contextmanager
def observed(accepted: list[Any]) -> Iterator[None]:
    """Collect the readers that accept their input."""
    targets.observers.append(accepted.append)
    try:
        yield
    finally:
        targets.observers.remove(accepted.append)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_corpus_and_past_findings_are_read_or_refused(name: str) -> None:
    assert replay(name) >= len(seeds_of(name)) > 0


@pytest.mark.slow
def test_every_public_reader_of_formats_is_called_by_a_target() -> None:
    calls: set[Any] = set()
    with recorded(calls):
        for name in TARGETS:
            replay(name)
    readers = public_readers()
    assert len(readers) > 60
    missing = {name for name, reader in readers.items() if reader.__code__ not in calls}
    assert not missing, "call them in a target of fuzz/, with a seed"


@pytest.mark.slow
def test_every_target_has_a_reader_that_accepts_a_seed() -> None:
    without = []
    for name, target in TARGETS.items():
        accepted: list[Any] = []
        with observed(accepted):
            for _what, data in inputs_of(name):
                target.run(data)
        if not accepted:
            without.append(name)
    # Every input of these is valid.
    assert without == ["kernel_symbols", "depmod_conf", "fetched"]


def test_seeds_are_the_same_bytes_each_time() -> None:
    for name, make in SEEDS.items():
        assert make() == seeds_of(name), name


def test_corpora_and_findings_belong_to_targets() -> None:
    for folder in (CORPORA, FINDINGS):
        names = {path.name for path in folder.iterdir() if path.is_dir()}
        assert names <= set(TARGETS)
    listed = (FINDINGS / "README.md").read_text(encoding="utf-8")
    for path in FINDINGS.glob("*/*"):
        assert f"`{path.relative_to(FINDINGS).as_posix()}`" in listed


def test_corpora_are_small() -> None:
    files = [path for path in CORPORA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.mutate])
def test_mutator_that_changes_nothing_keeps_an_input_valid(name: str) -> None:
    target = TARGETS[name]
    assert target.mutate is not None
    for what, seed in seeds_of(name).items():
        before: list[Any] = []
        with observed(before):
            target.run(seed)
        for number in range(8):
            after: list[Any] = []
            same = target.mutate(seed, bytes, Random(number))
            with observed(after):
                target.run(same)
            assert list(map(describe, after)) == list(map(describe, before)), (what, number)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.mutate])
def test_mutator_takes_any_bytes(name: str) -> None:
    mutate = TARGETS[name].mutate
    assert mutate is not None
    for data in (b"", b"\0", b"07070", bytes(40_000), b"ustar" * 200, b"!<arch>\n" + b"1" * 99):
        for number in range(20):
            assert isinstance(mutate(data, bytes, Random(number)), bytes)


@pytest.mark.parametrize("name", TARGETS)
def test_planted_bug_has_its_line(name: str) -> None:
    assert TARGETS[name].plants
    for where in TARGETS[name].plants:
        source = (ROOT / "purekernel" / where.path).read_text(encoding="utf-8")
        planted = with_bug(source, where)
        assert planted.replace('raise AssertionError("planted bug")', "").split() == source.split()
        compile(planted, where.path, "exec")


def test_page_lists_every_planted_bug() -> None:
    page = (ROOT / "docs" / "fuzzing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([\w/.]+)` \| [0-9.]+ \|$", page, re.MULTILINE)
    planted = [(name, where.path) for name in TARGETS for where in TARGETS[name].plants]
    assert sorted(rows) == sorted(planted)


@pytest.mark.slow
def test_no_seed_finds_a_planted_bug() -> None:
    """What is found must be found by fuzzing."""
    for name, target in TARGETS.items():
        lines: dict[str, int] = {}
        for where in target.plants:
            path = ROOT / "purekernel" / where.path
            source = path.read_text(encoding="utf-8").split("\n")
            found = [line.strip().startswith(where.before) for line in source]
            lines[str(path)] = found.index(True) + 1
        executed: set[tuple[str, int]] = set()
        with traced(set(lines), executed):
            for data in seeds_of(name).values():
                target.run(data)
        assert not executed & set(lines.items()), name


def test_bug_is_planted_in_a_copy(tmp_path: Path) -> None:
    where = Plant(path="formats/ar.py", before="offset = _next_offset(file, start + size)")
    plant(where, tmp_path)
    copy = (tmp_path / "purekernel" / where.path).read_text(encoding="utf-8")
    assert copy.count('raise AssertionError("planted bug")') == 1
    assert "planted bug" not in (ROOT / "purekernel" / where.path).read_text(encoding="utf-8")


def test_bug_before_a_missing_or_repeated_line_is_refused() -> None:
    with pytest.raises(ValueError, match=r"m\.py has 0 lines that begin with 'c'"):
        with_bug("a\nb\n", Plant(path="m.py", before="c"))
    with pytest.raises(ValueError, match=r"m\.py has 2 lines that begin with 'a'"):
        with_bug("a\n  a\n", Plant(path="m.py", before="a"))


# What a target counts as a finding


def test_refusal_is_no_finding() -> None:
    def refuse(file: Input) -> None:
        raise file.fail(0, "an archive", "something else")

    assert attempt(refuse, given(b"x")) is None


def test_exception_that_is_not_ours_is_a_finding() -> None:
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 // 0)


def test_error_of_several_lines_or_without_text_is_a_finding() -> None:
    for expected in ("one\ntwo", "one\rtwo"):
        with pytest.raises(FindingError, match="has line ends"):
            attempt(_raise, FormatError(source="x", expected=expected, got="y"))


def _raise(error: Exception) -> None:
    raise error


def test_bug_of_ours_behind_an_error_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def hide() -> None:
        try:
            Input(None, name="x").view  # type: ignore[arg-type]  # noqa: B018
        except TypeError as error:
            raise FormatError(source="x", expected="a file", got=str(error)) from None

    with pytest.raises(FindingError, match="hides TypeError"):
        attempt(hide)


def test_exception_of_a_library_behind_an_error_is_no_finding() -> None:
    def convert() -> None:
        try:
            re.compile(1)  # type: ignore[call-overload]
        except TypeError as error:
            raise FormatError(source="x", expected="a pattern", got=str(error)) from None

    assert attempt(convert) is None


# The command


def test_targets_are_listed_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TARGETS)
    assert all(len(line.split()) > 2 for line in lines)


def test_unknown_target_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["zip"])
    assert caught.value.code == 2
    assert "there is no target zip" in capsys.readouterr().err


def test_fuzzing_without_atheris_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    for mode in ([], ["--planted"]):
        assert command.main(["ar", *mode]) == 2
        assert "pip install -e '.[fuzz]'" in capsys.readouterr().err


def test_found_input_is_replayed_by_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "ar-crash-1"
    found.write_bytes(b"!<arch>\n")
    assert command.main(["--replay", "ar", "--input", str(found)]) == 0
    assert capsys.readouterr().out == "ar: 1 inputs are read or refused as they should be\n"


def test_seeds_are_written_to_files(tmp_path: Path) -> None:
    assert command.main(["--write-seeds", str(tmp_path), "ar"]) == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "ar").iterdir()}
    assert written == seeds_of("ar")


@pytest.mark.parametrize("text", ["8/8", "1", "a/b", "-1/2"])
def test_invalid_slice_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--list", f"--slice={text}"])
    assert "must be K/N" in capsys.readouterr().err


@pytest.mark.parametrize("total", [1, 3, 8])
def test_slices_contain_each_target_once(total: int, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(total):
        assert command.main(["--list", "--slice", f"{number}/{total}"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert sorted(names) == sorted(TARGETS)
