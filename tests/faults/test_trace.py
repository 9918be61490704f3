"""Test that the calls which are counted, and can fail, are all that a command makes."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.host_calls import BEGIN, END
from tests.faults.scenarios import SCENARIOS
from tests.oracles import require
from tests.processes import purekernel

pytestmark = [
    pytest.mark.faults,
    pytest.mark.oracle,
    pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's"),
]

SCRIPT = """
import json, sys
from collections import Counter
from tests.faults.host_calls import HostCalls
from tests.faults.scenarios import SCENARIOS, staged
with staged(SCENARIOS[sys.argv[1]]) as stage:
    stage.restore()
    calls = HostCalls(stage.top)
    assert stage.run(calls).status == 0
    counted = Counter(call.function for call in calls.calls)
    print(json.dumps([counted, calls.made_files, calls.listed_descriptors]))
"""

# The functions of Python that make each system call.
FUNCTIONS = {
    "open": ("open",),
    "read": ("read",),
    "write": ("write",),
    "close": ("close",),
    "fstat": ("fstat",),
    "stat": ("stat", "lstat"),
    "fsync": ("fsync",),
    "rename": ("rename", "replace"),
    "unlink": ("unlink", "remove"),
    "link": ("link",),
    "mkdir": ("mkdir",),
    "rmdir": ("rmdir",),
    "flock": ("flock",),
    "list": ("listdir", "scandir"),
    "readlink": ("readlink",),
    "chmod": ("chmod", "fchmod"),
    "utimensat": ("utime",),
    "ftruncate": ("ftruncate",),
    "dup": ("dup",),
    "getxattr": ("getxattr",),
}

# They ask about a descriptor, or are not for files.
NOT_COUNTED = ("lseek", "ioctl", "fcntl", "getdents64", "mmap", "poll", "access", "getcwd")

# What the C library passes when it opens a folder to list it.
_LISTING = "O_NONBLOCK|O_CLOEXEC|O_DIRECTORY"


# Other names of the same call.
_SAME = {
    "lstat": "stat",
    "fchmod": "chmod",
    "faccess": "access",
    "lgetxattr": "getxattr",
    "fgetxattr": "getxattr",
}


def traced(text: str) -> Counter[str]:
    """Count the system calls of the last run, by the names in FUNCTIONS."""
    *_earlier, last = text.rpartition(BEGIN)
    found: Counter[str] = Counter()
    for line in last.partition(END)[0].splitlines():
        if match := re.match(r"\d+ +(\w+)\(", line):
            kind = kind_of(match[1], line)
            found[kind] += 1
            if kind == "list" and "= -1 " not in line:
                found["listed"] += 1
    found["access"] -= 1  # of END
    return found


def kind_of(name: str, line: str) -> str:
    """Return the name in FUNCTIONS of a system call: ``open`` for ``openat``."""
    if name == "newfstatat":
        return "fstat" if re.search(r'\(\d+, "",', line) else "stat"
    if name.endswith(("at", "at2")) and name not in ("stat", "lstat", "fstat", "utimensat"):
        name = name.removesuffix("2").removesuffix("at")
    if name == "open" and _LISTING in line:
        return "list"
    return _SAME.get(name, name)


@pytest.mark.parametrize("name", SCENARIOS)
def test_counted_calls_equal_the_system_calls_of_strace(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "trace"
    prefix = [require("strace"), "-f", "-qq", "-o", str(trace), "-e", "trace=%file,%desc"]
    done = purekernel(name, cwd=tmp_path, script=SCRIPT, prefix=prefix)
    assert done.returncode == 0, done.stderr
    counted, made_files, listed_descriptors = json.loads(done.stdout)
    seen = traced(trace.read_text())
    seen["list"] += listed_descriptors
    listings = seen.pop("listed", 0) + listed_descriptors
    # CPython calls fstat for each file object, and the C library for each folder that it lists;
    # both go on without it. A listed folder is closed by the C library.
    seen["fstat"] -= made_files + listings
    seen["close"] -= listings
    for ignored in NOT_COUNTED:
        del seen[ignored]
    by_system_call = {
        kind: count
        for kind, functions in FUNCTIONS.items()
        if (count := sum(counted.pop(function, 0) for function in functions))
    }
    assert counted == {}
    assert {kind: count for kind, count in seen.items() if count} == by_system_call
    assert sum(by_system_call.values()) > 50
