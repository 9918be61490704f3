"""Fuzz, replay inputs, and find planted bugs: ``python -m fuzz --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fuzz.registry import TARGETS
from fuzz.replay import replay
from fuzz.runner import Outcome, find_planted, fuzz_all, write_seeds

_INSTALL = "atheris is not installed: run pip install -e '.[fuzz]' (Linux on x86-64 only)"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parse(arguments)
    names = _names(options)
    if options.list:
        for name in names:
            print(f"{name:16} {(TARGETS[name].run.__doc__ or '').partition(chr(10))[0]}")
        return 0
    if options.replay:
        return _replay(names, options.input)
    if options.write_seeds:
        for name in names:
            write_seeds(name, options.write_seeds / name)
        return 0
    try:
        import atheris  # noqa: F401, PLC0415  # only fuzzing needs it
    except ImportError:
        print(_INSTALL, file=sys.stderr)
        return 2
    if options.planted:
        return _planted(names, options)
    return _fuzz(names, options)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition(":")[0])
    parser.add_argument("target", nargs="*", help="the targets [all]")
    parser.add_argument("--seconds", type=float, default=60, help="for each target [60]")
    parser.add_argument("--jobs", type=int, default=2, help="targets to run at once [2]")
    parser.add_argument(
        "--slice",
        metavar="K/N",
        type=_slice,
        default=(0, 1),
        help="only each N-th target, from the K-th, counted from 0",
    )
    parser.add_argument(
        "--artifacts", type=Path, default=Path("fuzz-findings"),
        help="the folder for inputs that are found [fuzz-findings]",
    )  # fmt: skip
    parser.add_argument("--corpora", type=Path, help="the folder to keep useful inputs in")
    parser.add_argument("--input", type=Path, action="append", default=[], help="with --replay")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--list", action="store_true", help="print the targets")
    mode.add_argument(
        "--replay", action="store_true", help="run on seeds, corpora and past findings, or --input"
    )
    mode.add_argument("--planted", action="store_true", help="find a bug in a copy of each reader")
    mode.add_argument("--write-seeds", type=Path, metavar="FOLDER", help="write the seeds to files")
    options = parser.parse_args(arguments)
    for name in options.target:
        if name not in TARGETS:
            parser.error(f"there is no target {name}; python -m fuzz --list prints all")
    if options.input and not (options.replay and len(options.target) == 1):
        parser.error("--input is for --replay of one target")
    return options


def _slice(text: str) -> tuple[int, int]:
    number, _slash, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal() and int(number) < int(total)):
        raise argparse.ArgumentTypeError(f"must be K/N with K from 0 to N-1, got {text!r}")
    return int(number), int(total)


def _names(options: argparse.Namespace) -> list[str]:
    names = options.target or list(TARGETS)
    number, total = options.slice
    return names[number::total]


def _replay(names: list[str], inputs: list[Path]) -> int:
    if inputs:
        for path in inputs:
            TARGETS[names[0]].run(path.read_bytes())
        print(f"{names[0]}: {len(inputs)} inputs are read or refused as they should be")
        return 0
    count = sum(map(replay, names))
    print(f"{count} inputs of {len(names)} targets are read or refused as they should be")
    return 0


def _fuzz(names: list[str], options: argparse.Namespace) -> int:
    found: list[Outcome] = []
    for outcome in fuzz_all(
        names,
        seconds=options.seconds,
        jobs=options.jobs,
        artifacts=options.artifacts.resolve(),
        corpora=None if options.corpora is None else options.corpora.resolve(),
    ):
        print(outcome, flush=True)
        if outcome.finding is not None:
            found.append(outcome)
            print(_shown(outcome.log))
    for outcome in found:
        print(f"replay it: python -m fuzz --replay {outcome.name} --input {outcome.finding}")
    return 1 if found else 0


def _shown(log: bytes) -> str:
    """Return the end of a log, without the lines on progress."""
    lines = log.decode("utf-8", "replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith(("#", "INFO:", "WARNING:")))[
        -6000:
    ]


def _planted(names: list[str], options: argparse.Namespace) -> int:
    missed = 0
    for discovery in find_planted(names, seconds=options.seconds, jobs=options.jobs):
        print(discovery, flush=True)
        if not discovery.is_found:
            missed += 1
            print(_shown(discovery.outcome.log))
    print(f"{missed} planted bugs were not found" if missed else "every planted bug was found")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
