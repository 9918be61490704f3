"""Let each call of a scenario fail, in each way, and collect what is wrong afterwards."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator, Sequence

import pytest

from tests.faults.host_calls import NEED_SPACE, Call, Fault
from tests.faults.scenarios import LONG_SCENARIOS, SCENARIOS, Stage, staged

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EINTR)


def faults_of(number: int, call: Call, *, lasting: bool) -> Iterator[Fault]:
    """Yield the faults that a call is given, one a run."""
    if lasting:
        if call.function in NEED_SPACE:
            yield Fault(number, errno.ENOSPC, lasts=True)
        return
    for error in ERRORS:
        yield Fault(number, error)
    if call.function in ("read", "write"):
        yield Fault(number, 0, half=True)
    if call.function == "write":
        yield Fault(number, errno.ENOSPC, half=True)


def _problems(stage: Stage, numbers: Sequence[int], *, lasting: bool) -> Iterator[str]:
    for number in numbers:
        call = stage.calls[number]
        for fault in faults_of(number, call, lasting=lasting):
            for problem in stage.problems(fault):
                yield f"{call.function} {call.path}, {fault}: {problem}"


def found_by_faults(
    name: str,
    *,
    functions: Sequence[str] = (),
    paths: Sequence[str] = (),
    lasting: bool = False,
) -> list[str]:
    """Return what is wrong after the faults of a scenario.

    Args:
        name: the name of the scenario.
        functions: the functions that fail; by default all.
        paths: the files whose calls fail; by default all.
        lasting: whether the disk is full from a call on, in place of one failure of each kind.
    """
    with staged({**SCENARIOS, **LONG_SCENARIOS}[name]) as stage:
        numbers = [
            number
            for number, call in enumerate(stage.calls)
            if (not functions or call.function in functions) and (not paths or call.path in paths)
        ]
        assert numbers
        return list(_problems(stage, numbers, lasting=lasting))


def check_every_fault(name: str, *, lasting: bool = False) -> None:
    """Let each call fail, and assert that nothing is wrong afterwards."""
    found = found_by_faults(name, lasting=lasting)
    assert not found, f"{len(found)} problems:\n" + "\n".join(found[:30])
