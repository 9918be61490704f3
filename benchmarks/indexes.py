"""depmod and ldconfig beside the real ones, on Debian's kernels and libraries and on Core.

Run with ``python -m benchmarks.indexes``, with kmod, libc-bin and busybox installed, on the
release of Debian that ``.ci/debian-roots`` was run on. PUREKERNEL_DEBIAN names the folder that it
filled. The shared mirror is looked for where PUREKERNEL_SHARED says, by default in
``../shared/mirror``. What the real ones write and what we do is the same, or this fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from attrs import define, evolve, field

from benchmarks.measure import CHECKOUT, Median, Run, run, take_turns
from purekernel.records import frozen

PROGRAMS = ("depmod", "ldconfig", "busybox")
ROOTS = ("linux-amd64", "linux-i386", "amd64")
ISO = "tinycorelinux/4.x/x86/release/Core-current.iso"

CACHE = "etc/ld.so.cache"


@frozen(kw_only=True)
class Task:
    """Something to index.

    Attributes:
        name: for the table.
        root: what is to be indexed, which stays as it is.
        real: the peer's command, up to the root.
        tool: ours, up to the root.
        behind: what both have behind it.
        function: what :mod:`benchmarks.indexing` is told behind the root.
        folder: where in the root what is made goes.
        made: its names.
        in_order: whether lines must come in the peer's order. busybox's come in that of the
            file system, which a tree has not.
    """

    name: str
    root: Path
    real: tuple[str, ...]
    tool: tuple[str, ...]
    behind: tuple[str, ...] = ()
    function: tuple[str, ...] = ()
    folder: str
    made: str
    in_order: bool = True


@define
class Contest:
    """One task, done by the peer, by our program, and by our function on a tree in memory."""

    task: Task
    work: Path
    tree_bytes: int = 0
    compared: int = 0
    _log: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._log = self.work / "log"

    @property
    def contestants(self) -> list[tuple[str, Callable[[], Run]]]:
        """Return who takes turns; what the peer made is what the others are compared with."""
        name = self.task.name
        return [
            (f"{name}: {self.task.real[0]}", self._real),
            (f"{name}: purekernel tool", self._tool),
            (f"{name}: function alone", self._function),
        ]

    def _real(self) -> Run:
        done = self._command(self.task.real, self._copy("real"))
        self.compared = len(self._made(self._place("real")))
        return done

    def _tool(self) -> Run:
        command = (sys.executable, "-m", "purekernel", "tool", *self.task.tool)
        done = self._command(command, self._copy("tool"))
        self._compare(self._place("tool"))
        return done

    def _function(self) -> Run:
        output = self.work / "function"
        shutil.rmtree(output, ignore_errors=True)
        what = self.task.tool[0]
        done = run(
            [
                sys.executable, "-m", "benchmarks.indexing", what, str(self.task.root),
                *self.task.function, str(output),
            ],
            cwd=CHECKOUT, log=self._log,
        )  # fmt: skip
        took = json.loads(self._log.read_text())
        self.tree_bytes = took["tree_bytes"]
        self._compare(output)
        return evolve(done, seconds=took["seconds"], cpu_seconds=took["cpu_seconds"])

    def _command(self, words: tuple[str, ...], root: Path) -> Run:
        return run([*words, str(root), *self.task.behind], cwd=CHECKOUT, log=self._log)

    def _copy(self, name: str) -> Path:
        """Return a copy of the root, made anew."""
        root = self.work / name
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.task.root, root, symlinks=True, copy_function=_link)
        return root

    def _place(self, name: str) -> Path:
        return self.work / name / self.task.folder

    def _made(self, folder: Path) -> list[Path]:
        kept = {path.name for path in (self.task.root / self.task.folder).glob(self.task.made)}
        return [path for path in sorted(folder.glob(self.task.made)) if path.name not in kept]

    def _compare(self, folder: Path) -> None:
        real, ours = self._made(self._place("real")), self._made(folder)
        different = {path.name for path in real} ^ {path.name for path in ours}
        for one, other in zip(real, ours, strict=False):
            if not different and self._content(one) != self._content(other):
                different.add(one.name)
        if different or not real:
            sys.exit(f"{self.task.name}: not the same: {', '.join(sorted(different))}")

    def _content(self, path: Path) -> bytes | list[bytes]:
        content = path.read_bytes()
        return content if self.task.in_order else sorted(content.splitlines())


def _link(old: str, new: str) -> None:
    """Make a hard link, or a copy where that would be on another file system."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=5, help="of each contestant [5]")
    runs = parser.parse_args().runs
    # They are root's, and may be missing from the path of others.
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    debian = os.environ.get("PUREKERNEL_DEBIAN")
    if not debian:
        sys.exit("PUREKERNEL_DEBIAN names no folder; .ci/debian-roots makes one")
    for name in ROOTS:
        if not (Path(debian) / name).is_dir():
            sys.exit(f"there is no {Path(debian) / name}; .ci/debian-roots makes it")
    iso = Path(os.environ.get("PUREKERNEL_SHARED", "../shared/mirror")) / ISO
    if not iso.is_file():
        sys.exit(f"no shared mirror: there is no {iso}")
    with tempfile.TemporaryDirectory() as name:
        _compare(Path(name), Path(debian).absolute(), iso.absolute(), runs)


def _compare(work: Path, debian: Path, iso: Path, runs: int) -> None:
    core = work / "core"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.indexing", "modules", iso, core],
        cwd=CHECKOUT, check=True,
    )  # fmt: skip
    tasks = [
        _kmod("amd64 modules", debian / "linux-amd64"),
        _kmod("686 modules", debian / "linux-i386"),
        _busybox("Core 4.4's modules", core),
        Task(
            name="amd64 libraries",
            root=debian / "amd64",
            # The cache of what files are that it keeps for the next run is not read.
            real=("ldconfig", "-i", "-r"),
            tool=("ldconfig", "-r"),
            folder="etc",
            made="ld.so.cache",
        ),
    ]
    contests = []
    medians: dict[str, Median] = {}
    for number, task in enumerate(tasks):
        contest = Contest(task, work / str(number))
        contest.work.mkdir()
        medians |= take_turns(contest.contestants, runs=runs)
        contests.append(contest)
    print(
        f"{os.cpu_count()} processors, Python {sys.version.split()[0]}; median of {runs}; "
        f"{sum(contest.compared for contest in contests)} files, each the same as its peer's\n"
    )
    _print_table(contests, medians)


def _kmod(name: str, root: Path) -> Task:
    (release,) = (path.name for path in (root / "lib/modules").iterdir())
    return Task(
        name=name,
        root=root,
        real=("depmod", "-b"),
        tool=("depmod", "-b"),
        behind=(release,),
        function=(release, "kmod"),
        folder=f"lib/modules/{release}",
        made="modules.*",
    )


def _busybox(name: str, root: Path) -> Task:
    task = _kmod(name, root)
    return evolve(
        task,
        real=("busybox", "depmod", "-b"),
        tool=("depmod", "--dialect", "busybox:1.35", "-b"),
        function=(task.behind[0], "busybox"),
        in_order=False,
    )


def _print_table(contests: list[Contest], medians: dict[str, Median]) -> None:
    print("| what | seconds | CPU s | peak MB | of it beyond the tree | time, ours/its peer's |")
    print("|---|---|---|---|---|---|")
    for contest in contests:
        labels = [label for label, _contestant in contest.contestants]
        peer = medians[labels[0]]
        for label in labels:
            median = medians[label]
            beyond = median.peak_bytes - contest.tree_bytes
            ratio = "" if median is peer else f"{median.seconds / peer.seconds:.2f}"
            # Our program reads what it needs, which is less than the tree.
            more = f"{beyond / 1e6:.0f}" if label == labels[-1] else ""
            print(
                f"| {label} | {median.seconds:.3f} | {median.cpu_seconds:.3f} "
                f"| {median.peak_bytes / 1e6:.0f} | {more} | {ratio} |"
            )


if __name__ == "__main__":
    main()
