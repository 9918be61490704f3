"""Fuzz targets for a time, several at once; each is a process of :mod:`fuzz.engine`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.registry import TARGETS
from fuzz.replay import CORPORA, FINDINGS
from fuzz.seeds import seeds_of
from fuzz.target import Plant
from purekernel.records import frozen

ROOT = Path(__file__).parents[1]

# One input may take this long. The slowest seed takes 50 ms, but a machine may be loaded.
INPUT_SECONDS = 30
MEMORY_MB = 2048
# For the import of instrumented modules, which comes before the time starts to count.
START_SECONDS = 300

# What libFuzzer prints at the end, and what the engine prints about an input that raises.
_COUNT = re.compile(rb"stat::number_of_executed_units: (\d+)")
_FOUND = re.compile(rb"found by input (\d+) after (\S+) s")
BUG = "planted bug"


@frozen(kw_only=True)
class Outcome:
    """What became of one run of a target.

    Attributes:
        name: the target.
        inputs: how many inputs it was run on.
        seconds: for how long, without the time to start.
        finding: the file with the input that was found; ``None`` without a finding.
        log: what atheris printed.
    """

    name: str
    inputs: int
    seconds: float
    finding: Path | None
    log: bytes

    def __str__(self) -> str:
        rate = self.inputs / self.seconds if self.seconds else 0
        text = f"{self.name}: {self.inputs} inputs in {self.seconds:.0f} s, {rate:.0f}/s"
        return text if self.finding is None else f"{text}: FOUND {self.finding}"


def fuzz(
    name: str,
    *,
    seconds: float,
    artifacts: Path,
    corpus: Path | None = None,
    known: Sequence[Path] = (CORPORA, FINDINGS),
    package: Path = ROOT,
) -> Outcome:
    """Run a target until it finds something, or until its time is over.

    Args:
        name: the target.
        seconds: how long.
        artifacts: the folder for an input that is found.
        corpus: a folder for inputs that reach code which the others do not; ``None`` to forget
            them.
        known: the folders of checked-in inputs to start from, beside the seeds.
        package: the folder whose ``purekernel`` is fuzzed.

    Raises:
        RuntimeError: atheris did not run.
    """
    artifacts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="purekernel-fuzz-") as folder:
        work = Path(folder)
        folders = [corpus or work / "corpus", work / "seeds", *(path / name for path in known)]
        write_seeds(name, folders[1])
        for each in folders[:2]:
            each.mkdir(parents=True, exist_ok=True)
        prefix = artifacts / f"{name}-"
        earlier = set(artifacts.glob(f"{name}-*"))
        command = [
            sys.executable, "-m", "fuzz.engine", TARGETS[name].run.__module__, name,
            *(str(each) for each in folders if each.is_dir()),
            f"-max_total_time={max(1, round(seconds))}", f"-timeout={INPUT_SECONDS}",
            f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={prefix}", "-print_final_stats=1",
        ]  # fmt: skip
        path = os.pathsep.join(str(each) for each in dict.fromkeys((package, ROOT)))
        try:
            done = subprocess.run(
                command,
                cwd=package,
                # A library in Rust is a thousand times slower with backtraces.
                env={**os.environ, "PYTHONPATH": path, "RUST_BACKTRACE": "0"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds + START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{name}: atheris did not end: {error.stdout!r:.4000}") from None
    finding = next(iter(sorted(set(artifacts.glob(f"{name}-*")) - earlier)), None)
    if done.returncode and finding is None:
        text = done.stdout.decode("utf-8", "replace")
        raise RuntimeError(f"{name}: atheris ended with {done.returncode}:\n{text[-4000:]}")
    found = _FOUND.search(done.stdout)
    count = found or _COUNT.search(done.stdout)
    return Outcome(
        name=name,
        inputs=int(count[1]) if count else 0,
        seconds=float(found[2]) if found else seconds,
        finding=finding,
        log=done.stdout,
    )


def write_seeds(name: str, folder: Path) -> None:
    """Write the seeds of a target to files."""
    folder.mkdir(parents=True, exist_ok=True)
    for what, data in seeds_of(name).items():
        (folder / what).write_bytes(data)


def fuzz_all(
    names: Sequence[str], *, seconds: float, jobs: int, artifacts: Path, corpora: Path | None = None
) -> Iterator[Outcome]:
    """Run targets, several at once; yield what became of each."""

    def run(name: str) -> Outcome:
        corpus = None if corpora is None else corpora / name
        return fuzz(name, seconds=seconds, artifacts=artifacts, corpus=corpus)

    with ThreadPoolExecutor(jobs) as executor:
        yield from executor.map(run, names)


# Planted bugs


@frozen(kw_only=True)
class Discovery:
    """Whether a planted bug was found.

    Attributes:
        name: the target.
        plant: where the bug was.
        outcome: the run of the target.
    """

    name: str
    plant: Plant
    outcome: Outcome

    @property
    def is_found(self) -> bool:
        """Whether the run found this bug, not another."""
        return self.outcome.finding is not None and BUG.encode() in self.outcome.log

    def __str__(self) -> str:
        what = f"{self.name}: {self.plant.path}, before {self.plant.before!r}"
        if self.is_found:
            inputs, seconds = self.outcome.inputs, self.outcome.seconds
            return f"{what}: found in {seconds:.1f} s by input {inputs}"
        return f"{what}: NOT found in {self.outcome.seconds:.0f} s"


def plant(where: Plant, folder: Path) -> None:
    """Copy the package to ``folder``, with a bug in it.

    Raises:
        ValueError: the line is not in the module, or several times.
    """
    copy = folder / "purekernel"
    shutil.copytree(ROOT / "purekernel", copy, ignore=shutil.ignore_patterns("__pycache__"))
    module = copy / where.path
    module.write_text(with_bug(module.read_text(encoding="utf-8"), where), encoding="utf-8")


def with_bug(source: str, where: Plant) -> str:
    """Return a module with an assertion before a line that always fails.

    Raises:
        ValueError: the line is not in the module, or several times.
    """
    lines = source.split("\n")
    at = [number for number, line in enumerate(lines) if line.strip().startswith(where.before)]
    if len(at) != 1:
        found = f"{where.path} has {len(at)} lines that begin with {where.before!r}"
        raise ValueError(f"{found}: plant the bug before another line")
    indent = lines[at[0]][: -len(lines[at[0]].lstrip())]
    lines.insert(at[0], f'{indent}raise AssertionError("{BUG}")')
    return "\n".join(lines)


def find_planted(names: Iterable[str], *, seconds: float, jobs: int) -> Iterator[Discovery]:
    """Plant each bug of some targets in a copy of the package, and let the target find it."""

    def search(pair: tuple[str, Plant]) -> Discovery:
        name, where = pair
        with tempfile.TemporaryDirectory(prefix="purekernel-planted-") as text:
            folder = Path(text)
            plant(where, folder)
            found = folder / "found"
            outcome = fuzz(name, seconds=seconds, artifacts=found, known=(), package=folder)
        return Discovery(name=name, plant=where, outcome=outcome)

    pairs = [(name, where) for name in names for where in TARGETS[name].plants]
    with ThreadPoolExecutor(jobs) as executor:
        yield from executor.map(search, pairs)
