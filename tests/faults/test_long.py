"""Kill commands at each rename and fsync, fill the disk at each write, and fail long commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.checks import LINUX, check_every_fault
from tests.faults.scenarios import LONG_SCENARIOS, SCENARIOS
from tests.processes import purekernel

pytestmark = [pytest.mark.nightly, LINUX]

# Forks for each kill, so that all is imported once; a child ends at the call or right after it.
SCRIPT = """
import json, os, signal, sys
from tests.faults.scenarios import LONG_SCENARIOS, SCENARIOS, HostCalls, staged
with staged({**SCENARIOS, **LONG_SCENARIOS}[sys.argv[1]]) as stage:
    kills = []
    for number, call in enumerate(stage.calls):
        if call.function in ("replace", "rename", "fsync", "link"):
            kills += [number, number + 1]
    for number in sorted(set(kills) & set(range(len(stage.calls)))):
        stage.restore()
        if not (child := os.fork()):
            calls = HostCalls(stage.top)
            def end(call):
                if len(calls.calls) == number + 1:
                    os.kill(os.getpid(), signal.SIGKILL)
            calls.before = end
            stage.run(calls)
            os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([number, *stage.calls[number], status, stage.problems_of_kill()]))
"""


@pytest.mark.parametrize("name", [*SCENARIOS, *LONG_SCENARIOS])
def test_run_after_a_kill_at_each_rename_and_fsync_is_right(tmp_path: Path, name: str) -> None:
    done = purekernel(name, cwd=tmp_path, script=SCRIPT)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    # All is in the store, so nothing is renamed.
    assert lines or name == "fetch again"
    wrong = [line for line in lines if line[3:] != [-9, []]]
    assert not wrong, "\n".join(map(str, wrong[:30]))


@pytest.mark.parametrize("name", LONG_SCENARIOS)
def test_command_without_store_survives_the_failure_of_each_call(name: str) -> None:
    check_every_fault(name)


@pytest.mark.parametrize("name", [*SCENARIOS, *LONG_SCENARIOS])
def test_disk_that_is_full_from_any_call_on_loses_nothing(name: str) -> None:
    check_every_fault(name, lasting=True)
