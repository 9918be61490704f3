"""Change single places of modules, run the fast tests on each change, and print the kill rate.

A change that makes no test fail shows a gap in the tests, or is equivalent to the original. Run
``python -m tests.mutation MODULE...``, or ``--since COMMIT`` for the modules that changed since
then. It needs mutmut (``pip install -e '.[mutation]'``) and a system with fork().

Commands that tests run as child processes do not see a change, so a rate is a lower bound.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from tests.processes import ROOT

# These tests look at the source of the package, or start mutmut's copy of it as another program.
_LEFT_OUT = (
    "tests/test_imports.py",
    "tests/test_records.py",
    "tests/test_main.py",
    "tests/docs",
    "tests/encode/cluster",
)

# The kinds of results that mutmut counts. A change that makes a test hang, or the process crash,
# is found too.
_KILLED = ("killed", "timeout", "segfault", "suspicious")

# The number of surviving changes to print.
SHOWN = 40


def changed_since(commit: str) -> list[str]:
    """Return the modules of the package that differ between a commit and HEAD."""
    done = subprocess.run(
        ["git", "diff", "--name-only", "--diff-filter=d", commit, "HEAD", "--", "purekernel"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [name for name in done.stdout.splitlines() if name.endswith(".py")]


def chosen(modules: Sequence[str], most: int | None) -> list[str]:
    """Return at most ``most`` of the modules: others for each commit, so that all have their turn.

    Each changed place runs many tests, so a night is enough for a few modules.
    """
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ranked = sorted(modules, key=lambda name: sha256((done.stdout + name).encode()).digest())
    return sorted(ranked[:most])


def tests_beside(modules: Sequence[str]) -> list[str]:
    """Return the folders of tests for the packages of the modules, or all tests."""
    folders = {"/".join(["tests", *name.split("/")[1:2]]) for name in modules}
    return sorted(folders) if all((ROOT / folder).is_dir() for folder in folders) else ["tests"]


def copy_project(folder: Path) -> None:
    """Copy all files that git knows into ``folder``."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, done.stdout.split(b"\0")):
        source, target = ROOT / os.fsdecode(name), folder / os.fsdecode(name)
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def configure(folder: Path, modules: Sequence[str], tests: Sequence[str]) -> None:
    """Write mutmut's settings into the copy's ``pyproject.toml``."""
    others = sorted(
        path.name for path in folder.iterdir() if path.name not in {"purekernel", "tests", ".git"}
    )
    arguments = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "fast"]
    arguments += [f"--deselect={name}" for name in _LEFT_OUT]
    settings = {
        "source_paths": ["purekernel"],
        "only_mutate": list(modules),
        "also_copy": others,
        "pytest_add_cli_args": arguments,
        "pytest_add_cli_args_test_selection": list(tests),
    }
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as stream:
        stream.write("\n[tool.mutmut]\n")
        for key, value in settings.items():
            stream.write(f"{key} = {json.dumps(value)}\n")


def run(folder: Path, *, minutes: float, log: Path) -> bool:
    """Run mutmut in the copy; return whether it tried all changes in time.

    Raises:
        SystemExit: a test fails without a change, or mutmut itself does.
    """
    with log.open("wb") as output, subprocess.Popen(
        [sys.executable, "-m", "mutmut", "run", "--max-children", "2"],
        cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        env={"PUREKERNEL_SHARED": str(ROOT.parent / "shared" / "mirror"), **os.environ},
    ) as process:  # fmt: skip
        try:
            status = process.wait(timeout=minutes * 60)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            return False
    if status:
        text = log.read_text(encoding="utf-8", errors="replace")
        sys.exit(f"{text[-4000:]}\nmutmut ended with status {status}")
    return True


def report(folder: Path, *, complete: bool) -> None:
    """Print the surviving changes and the kill rate."""
    mutmut = [sys.executable, "-m", "mutmut"]
    subprocess.run([*mutmut, "export-cicd-stats"], cwd=folder, capture_output=True, check=True)
    counts = json.loads((folder / "mutants" / "mutmut-cicd-stats.json").read_bytes())
    done = subprocess.run(
        [*mutmut, "results"], cwd=folder, capture_output=True, text=True, check=True
    )
    survivors = [
        line.split(":")[0].strip() for line in done.stdout.splitlines() if "survived" in line
    ]
    for name in survivors[:SHOWN]:
        shown = subprocess.run(
            [*mutmut, "show", name], cwd=folder, capture_output=True, text=True, check=False
        )
        sys.stdout.write(f"survived: {name}\n")
        sys.stdout.writelines(
            f"  {line}\n"
            for line in shown.stdout.splitlines()
            if line.startswith(("+", "-")) and not line.startswith(("+++", "---"))
        )
    if len(survivors) > SHOWN:
        sys.stdout.write(f"and {len(survivors) - SHOWN} more survived\n")
    killed = sum(counts[kind] for kind in _KILLED)
    executed = killed + counts["survived"]
    tried = executed + counts["no_tests"]
    rate = f"{100 * killed / executed:.1f} %" if executed else "none"
    sys.stdout.write(
        f"mutation: {tried} changes tried of {counts['total']}"
        f"{'' if complete else ' (out of time)'}, {killed} killed, {counts['survived']} survived, "
        f"{counts['no_tests']} without a test: kill rate {rate} of those with one\n"
    )


def main() -> None:
    """Mutate the modules that the arguments name, or those that changed since a commit."""
    parser = ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument(
        "modules", metavar="MODULE", nargs="*", help="such as purekernel/similar.py"
    )
    parser.add_argument("--since", metavar="COMMIT", help="mutate the modules that changed since")
    parser.add_argument(
        "--most", metavar="N", type=int, help="mutate N of them, with the tests of their packages"
    )
    parser.add_argument("--tests", metavar="PATH", action="append", help="run only these tests")
    parser.add_argument("--minutes", type=float, default=20, help="the most time to take")
    options = parser.parse_args()
    modules = [*options.modules, *(changed_since(options.since) if options.since else ())]
    tests = options.tests or ["tests"]
    if options.most is not None:
        modules = chosen(modules, options.most)
        tests = options.tests or tests_beside(modules)
    if not modules:
        sys.stdout.write("mutation: no module has changed\n")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "purekernel"
        copy_project(folder)
        sys.stdout.write(f"mutation: {', '.join(modules)}, tested by {', '.join(tests)}\n")
        configure(folder, modules, tests)
        complete = run(folder, minutes=options.minutes, log=Path(name) / "log")
        report(folder, complete=complete)


if __name__ == "__main__":
    main()
