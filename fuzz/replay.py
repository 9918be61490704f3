"""Run targets on checked-in inputs, without atheris."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fuzz.registry import TARGETS
from fuzz.seeds import seeds_of

FOLDER = Path(__file__).parent
CORPORA = FOLDER / "corpora"
FINDINGS = FOLDER / "findings"


def inputs_of(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the seeds, the corpus and the past findings of a target, each with what it is."""
    for what, data in seeds_of(name).items():
        yield f"seed {what}", data
    for folder in (CORPORA, FINDINGS):
        for path in sorted((folder / name).glob("*")):
            yield path.relative_to(FOLDER).as_posix(), path.read_bytes()


def replay(name: str) -> int:
    """Run a target on all of its inputs; return their number.

    An exception gets a note that names the input.
    """
    count = 0
    for what, data in inputs_of(name):
        try:
            TARGETS[name].run(data)
        except Exception as error:
            error.add_note(f"target {name}, {what}")
            raise
        count += 1
    return count
