"""Run commands on a small folder of inputs, and check what they leave behind after a fault."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.project import make_project, make_rubygems_tarball, make_vm_tools_tarball
from fixtures.repository import make_repository
from purekernel.cli import main
from purekernel.encode.blocks import DEFLATERS
from purekernel.encode.encoders import Effort
from purekernel.formats.squashfs.codecs import GZIP, Codec
from purekernel.formats.squashfs.writer import build_squashfs
from purekernel.formats.tar import build_tar
from purekernel.host.staging import LOCK_NAME
from purekernel.records import frozen
from purekernel.tree import File, Metadata, Tree
from tests.executors import AtOnce
from tests.faults.host_calls import RANDOM, Call, Fault, HostCalls
from tests.workshop import ISO, core_iso, notes, two_lines

TINY = f"""\
name = "tiny"

[core]
iso = "../inputs/mirror/{ISO}"

[mirrors]
tinycore = ["../inputs/mirror"]

[extensions]
builtin = ["bash.tcz"]

[[overlay]]
path = "../inputs/site"

[downloads]
parallel = 1
"""

RAZOR = f"""\
[core]
iso = "../inputs/mirror/{ISO}"

[mirrors]
tinycore = ["../inputs/mirror"]

[razor]
project = "../inputs/project.tar.gz"
rubygems = "../inputs/rubygems.tgz"
open-vm-tools = "../inputs/vm-tools.tar.gz"

[downloads]
parallel = 1
"""

CACHE = ("--cache-dir", "cache")
SAMPLE = ("build", "--sample", "--iso-version", "1", *CACHE, "-o", "out")
ALL_KINDS = (*SAMPLE, "--effort", "fast", "--emit", "iso,core")
BUILD = ("build", "--recipe", "tiny.toml", *CACHE, "-o", "out", "--effort", "fast")
# A production image has no password, whose hash takes as long as all else.
BUNDLE = ("bundle", "-p", "--recipe", "razor.toml", *CACHE, "-o", "out", "--iso-version", "1")
FETCH = ("fetch", "--recipe", "tiny.toml", *CACHE)
LOCK = ("lock", "--recipe", "tiny.toml", *CACHE)
LOCK_FILE = "tiny.lock"


@frozen(kw_only=True)
class Scenario:
    """A command and the state in which it starts.

    Attributes:
        command: the command; it runs in the folder ``state``.
        before: the commands that run first, and make old outputs and caches.
        outputs: the files and folders of the result.
        changed: whether ``bash.tcz`` changes on the mirror after ``before``.
    """

    command: Sequence[str]
    before: Sequence[Sequence[str]] = ()
    outputs: Sequence[str] = ("out",)
    changed: bool = False


SCENARIOS = {
    "sample": Scenario(command=(*SAMPLE, "--effort", "balanced")),
    "sample replaces outputs": Scenario(
        command=ALL_KINDS, before=[(*ALL_KINDS, "--timestamp", "1")]
    ),
    "build by lock file": Scenario(
        command=BUILD,
        before=[LOCK, (*BUILD, "--timestamp", "1")],
        outputs=("out", LOCK_FILE),
        changed=True,
    ),
    "bundle replaces one": Scenario(command=BUNDLE, before=[(*BUNDLE, "--timestamp", "1")]),
    "fetch": Scenario(command=FETCH, outputs=()),
    "fetch again": Scenario(command=FETCH, before=[FETCH], outputs=()),
    "lock updates": Scenario(
        command=(*LOCK, "--update"), before=[LOCK], outputs=(LOCK_FILE,), changed=True
    ),
}

# These download everything once more, which "fetch" does too.
LONG_SCENARIOS = {
    "build": Scenario(command=BUILD),
    "bundle": Scenario(command=BUNDLE),
    "lock": Scenario(command=LOCK, outputs=(LOCK_FILE,)),
}

# Calls whose failure a command ignores on purpose: functions, the paths, and the reason.
IGNORED: Sequence[tuple[str, str, str]] = (
    ("", r"/state/cache(/encoded-v1.*)?", "the cache of encoded pieces only saves time"),
    ("open read close fstat", r"/state/cache/v1/(blobs|urls|md5)/.*", "fetched again"),
    ("utime", r"/state/cache/v1/blobs/.*", "the time of the last use only tells what to prune"),
    ("mkdir", r"/state/cache/v1/urls.*", "the entry of a URL only saves a request"),
    ("open write close replace stat", r"/state/cache/v1/tmp/#", "the same: it is written here"),
    ("unlink listdir", r"/state/cache/v1/(tmp|partials).*", "a later run deletes what stays"),
    ("unlink", r".*\.purekernel\.#\.part", "a later run deletes what stays"),
    ("open flock scandir close", r"out|\.", "the folder's lock is for deleting what stays"),
    (
        "open read close",
        r"out/[^./][^/]*|tiny\.lock",
        "only the summary tells it",
    ),
    (
        "flock stat lstat close unlink",
        r"out/\.purekernel\.lock",
        "builds that end at the same time may lose checksums; a later run deletes what stays",
    ),
    ("rmdir", "out", "it is empty if no output was written, and may stay"),
    ("stat", r".*/inputs/mirror/4.x/x86/tcz", "only the words for a missing file depend on it"),
    ("getxattr", ".*", "only a note depends on it"),
    ("fstat", ".*", "Python's open asks for the size of blocks, and does without"),
)


def is_ignored(call: Call) -> bool:
    """Return whether the command may succeed although this call fails."""
    return any(
        (not functions or call.function in functions.split()) and re.fullmatch(paths, call.path)
        for functions, paths, _reason in IGNORED
    )


# In 2001.
LONG_AGO = 10**9

Files = Mapping[str, bytes]


@frozen(kw_only=True)
class Result:
    """What a run returned, printed and left."""

    status: int
    stdout: str
    stderr: str
    files: Files


class Stage:
    """The folder of a scenario.

    Attributes:
        scenario: the scenario.
        old: the files of ``state`` before the command.
        new: those after it, without a fault.
        calls: the calls of the command without a fault.
    """

    def __init__(self, top: Path, scenario: Scenario) -> None:
        self.scenario = scenario
        self.top = top
        self._state = top / "state"
        self._right: set[bytes] = set()
        _write_inputs(top / "inputs")
        self._state.mkdir()
        (self._state / "tiny.toml").write_text(TINY)
        (self._state / "razor.toml").write_text(RAZOR)
        os.chdir(self._state)
        for command in scenario.before:
            result = self.run(HostCalls(top), command)
            assert result.status == 0, f"{command}: {result.stderr}"
        if scenario.changed:
            _write_mirror(top / "inputs", "a newer bash")
        self.old = self.files()
        self._start = shutil.copytree(self._state, top / "start", copy_function=shutil.copy2)
        # The first run imports what it needs; the second one is as all that follow.
        for _attempt in range(2):
            self.restore()
            counted = HostCalls(top)
            self.result = self.run(counted)
        self.calls = counted.calls
        assert self.result.status == 0, self.result.stderr
        self.new = self.result.files

    def restore(self) -> None:
        """Make the state that of the beginning."""
        for path in self._state.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        shutil.copytree(self._start, self._state, dirs_exist_ok=True)

    def run(self, calls: HostCalls, command: Sequence[str] | None = None) -> Result:
        """Run the command, with stdout and stderr in files that count as others do."""
        paths = [self.top / "stdout", self.top / "stderr"]
        with calls.counted():
            streams = [open(path, "w", encoding="utf-8") for path in paths]  # noqa: PTH123, SIM115
            calls.restart()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "stdout", streams[0])
                patch.setattr(sys, "stderr", streams[1])
                status = main(command or self.scenario.command)
            calls.stop()
            for stream in streams:
                stream.close()
        stdout, stderr = (path.read_text(encoding="utf-8") for path in paths)
        return Result(status=status, stdout=stdout, stderr=stderr, files=self.files())

    def files(self) -> Files:
        """Return the content of all files of the state."""
        return {
            RANDOM.sub("#", path.relative_to(self._state).as_posix()): path.read_bytes()
            for path in sorted(self._state.rglob("*"))
            if path.is_file()
        }

    def outputs(self, files: Files) -> Files:
        """Return those that are the result of the command, and all beside them."""
        return {name: data for name, data in files.items() if not name.startswith("cache/")}

    def problems(self, fault: Fault) -> list[str]:
        """Run the command with a fault, and again without; return what is wrong."""
        self.restore()
        calls = HostCalls(self.top, fault)
        found: list[str] = []
        opened = _descriptors()
        try:
            result = self.run(calls)
        except BaseException as error:  # noqa: BLE001  # a traceback is what must not be
            return [f"raised {error!r}"]
        if len(calls.calls) <= fault.number:
            return [f"the call was not reached: {calls.calls[-3:]} {result.status} {result.stderr}"]
        if _stay_open(opened):
            found.append("a file is still open")
        found += self._problems(fault, calls, result)
        digest = _digest(result.files)
        if digest not in self._right and not found:
            wrong = list(self._problems_of_next(self._run_later()))
            found += wrong
            if not wrong:
                self._right.add(digest)
        return found

    def problems_of_kill(self) -> list[str]:
        """Check the state after a kill, run the command again, and return what is wrong."""
        found = []
        left = self.outputs(self.files())
        old, new = self.outputs(self.old), self.outputs(self.new)
        for name, data in left.items():
            # Several outputs are renamed one after the other, so some may be new and others old.
            if not is_temporary(name) and data not in (old.get(name), new.get(name)):
                found.append(f"{name} is neither the old nor the new one")
        if missing := old.keys() - left.keys():
            found.append(f"missing: {sorted(missing)}")
        return [*found, *self._problems_of_next(self._run_later())]

    def _run_later(self) -> Result:
        """Run the command two days later, when temporary files of killed runs are deleted."""
        for path in self._state.rglob(".purekernel.*"):
            os.utime(path, (LONG_AGO, LONG_AGO))
        return self.run(HostCalls(self.top))

    def _problems(self, fault: Fault, calls: HostCalls, result: Result) -> Iterator[str]:
        made = [call.function for call in calls.calls[: fault.number + 1]]
        if made != [call.function for call in self.calls[: fault.number + 1]]:
            yield "the calls before the fault differ from those without one"
        call = calls.calls[fault.number]
        outputs = self.outputs(result.files)
        if call.function == "unlink":  # a file that cannot be deleted stays
            outputs = without_temporary(outputs)
        if outputs not in (self.outputs(self.old), self.outputs(self.new)):
            yield f"the outputs are neither the old nor the new ones: {sorted(outputs)}"
        if result.status == 0:
            # Python's buffers read and write again after EINTR.
            was_repeated = fault.errno == errno.EINTR and call.function in ("read", "write")
            if fault.errno and not was_repeated and not is_ignored(call):
                yield "ignored without a reason"
            if _blobs(result.files) != _blobs(self.new):
                yield "status 0, and other files in the store"
            if outputs != self.outputs(self.new):
                yield "status 0, and other outputs"
            if notes(result.stderr) != notes(self.result.stderr):
                yield f"other notes: {notes(result.stderr)}"
        else:
            yield from _problems_of_error(result)

    def _problems_of_next(self, result: Result) -> Iterator[str]:
        if result.status != 0:
            yield f"next run: status {result.status}: {result.stderr}"
        elif self.outputs(result.files) != self.outputs(self.new):
            yield "next run: other outputs"
        elif _blobs(result.files) != _blobs(self.new):
            yield "next run: other files in the store"


def _problems_of_error(result: Result) -> Iterator[str]:
    """Yield what is wrong with a run that failed."""
    if result.status not in (1, 3):
        yield f"status {result.status}"
    if "Traceback" in result.stderr or "internal error" in result.stderr:
        yield result.stderr
    elif not two_lines(result.stderr):
        yield "no error printed"
    if "the system reports" in result.stderr:
        yield f"the error does not say what failed: {result.stderr}"


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a temporary file beside an output."""
    return Path(name).name in (".purekernel.#.part", LOCK_NAME)


def without_temporary(files: Files) -> Files:
    return {name: data for name, data in files.items() if not is_temporary(name)}


def _stay_open(before: set[str]) -> bool:
    """Return whether files stay open; threads whose downloads are aborted close theirs soon."""
    deadline = time.monotonic() + 5
    while _descriptors() - before:
        if time.monotonic() > deadline:
            return True
        time.sleep(0.01)
    return False


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def _blobs(files: Files) -> Files:
    return {name: data for name, data in files.items() if name.startswith("cache/v1/blobs/")}


def _digest(files: Files) -> bytes:
    digest = hashlib.sha256()
    for name, data in files.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.digest()


@contextmanager
def staged(scenario: Scenario) -> Iterator[Stage]:
    """Yield the folder of a scenario, in memory where the system has such a file system."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as top, pytest.MonkeyPatch.context() as patch:
        patch.chdir(top)
        patch.setenv("LANGUAGE", "C")  # click looks for translations otherwise
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        yield Stage(Path(top), scenario)


def _write_inputs(folder: Path) -> None:
    """Write what the commands read: a mirror, a project, an overlay."""
    _write_mirror(folder, "bash")
    (folder / "vm-tools.tar.gz").write_bytes(make_vm_tools_tarball())
    (folder / "rubygems.tgz").write_bytes(make_rubygems_tarball())
    project = make_project(builtins=["bash.tcz"], mirrored=[], gems=[], cut=())
    (folder / "project.tar.gz").write_bytes(gzip(build_tar(project)))
    (folder / "site/etc").mkdir(parents=True)
    (folder / "site/etc/motd").write_text("hello\n")
    (folder / "site/etc/link").symlink_to("motd")


def _write_mirror(folder: Path, words: str) -> None:
    tree = Tree()
    program = File(metadata=Metadata(mode=0o755), content=words.encode())
    tree.add_parents(b"usr/local/bin/bash")
    tree.add(b"usr/local/bin/bash", program)
    extension = build_squashfs(
        tree, codec=Codec(compression=GZIP, pack=DEFLATERS[Effort.FAST]), executor=AtOnce()
    )
    made = make_repository({"bash.tcz": []}, contents={"bash.tcz": extension}, indexes=False)
    # Fewer files make fewer calls of the same kinds.
    files = {path: data for path, data in made.items() if not path.endswith((".info", ".list"))}
    for path, content in {**files, ISO: core_iso()}.items():
        place = folder / "mirror" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
