"""Compressing a core: our efforts beside gzip, advdef, pigz and zopfli, on the same archives.

Run with ``python -m benchmarks.compression``, as root and with what ``benchmarks.build`` needs, and
pigz. With ``--quick`` the slow ones are left out. The shared mirror is looked for where
PUREKERNEL_SHARED says, by default in ``../shared/mirror``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import CHECKOUT, Median, Run, run, take_turns
from benchmarks.plot import Panel, Point, draw
from purekernel.encode.encoders import Effort

WARM = ", warm"

PEERS = {
    "gzip -9": 'zcat "$1" | gzip -n9 > "$2"',
    "advdef -z3": 'cp "$1" "$2" && advdef -z3 -q "$2"',
    "advdef -z4": 'cp "$1" "$2" && advdef -z4 -q "$2"',
    "pigz -11": 'zcat "$1" | pigz -n11 > "$2"',
}
EFFORTS = tuple(effort.value for effort in Effort)
SLOW = ("pigz -11", "zopfli", "max", "max, warm", "max, raw modules")
BASE = "advdef -z4"
PLOT = CHECKOUT / "docs" / "compression.svg"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=1, help="of each contestant [1]")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--core", action="store_true", help="only Core's own core")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.svg", default=PLOT,
        help="where to draw what was measured, if it was all of it [docs/compression.svg]",
    )  # fmt: skip
    arguments = parser.parse_args()
    missing = [name for name in ("gzip", "advdef", "pigz") if shutil.which(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        # In a process of its own: what this one holds would count as that of those it starts.
        subprocess.run([sys.executable, "-m", "benchmarks.cores", work], cwd=CHECKOUT, check=True)
        titles = ["Core 4.4"] if arguments.core else ["Core 4.4", "36 MB tree"]
        panels = [_compare(work, title, arguments.runs, quick=arguments.quick) for title in titles]
    if not (arguments.quick or arguments.core):
        arguments.plot.write_text(
            draw(
                panels,
                x_title="time, of advdef -z4's",
                y_title="size, of advdef -z4's",
            )
        )


def _compare(work: Path, title: str, runs: int, *, quick: bool) -> Panel:
    sizes: dict[str, int] = {}
    source, changed = work / f"{title}.gz", work / f"{title} changed.gz"
    target = work / "target.gz"

    def contestant(name: str, command: list[str], cache: Path | None) -> Run:
        target.unlink(missing_ok=True)
        if cache is not None and not name.endswith(WARM):
            shutil.rmtree(cache, ignore_errors=True)
        done = run(command, cwd=CHECKOUT, log=work / "log")
        subprocess.run(["gzip", "-t", target], check=True)
        sizes[name] = target.stat().st_size
        return done

    contestants: list[tuple[str, Callable[[], Run]]] = []

    def enter(name: str, command: list[str], cache: Path | None = None) -> None:
        if not (quick and name in SLOW):
            contestants.append((name, partial(contestant, name, command, cache)))

    def ours(how: str, of: Path, *cache: Path) -> list[str]:
        module = [sys.executable, "-m", "benchmarks.compressing", how]
        return [*module, *map(str, (of, target, *cache))]

    for name, text in PEERS.items():
        enter(name, ["bash", "-c", text, "bash", str(source), str(target)])
    enter("zopfli", ours("zopfli", source))
    for name in EFFORTS:
        cache = work / f"cache {title} {name}"
        enter(name, ours(name, source, cache), cache)
        # With what the run before left, of which one file has changed since.
        enter(name + WARM, ours(name, changed, cache), cache)
    if title == "Core 4.4":
        enter("max, raw modules", ours("raw", source))
    medians = take_turns(contestants, runs=runs)
    _print_table(title, medians, sizes)
    base, base_bytes = medians[BASE], sizes[BASE]
    return Panel(
        title=title,
        points=tuple(
            Point(
                name=name,
                time=median.seconds / base.seconds,
                size=sizes[name] / base_bytes,
                is_ours=name.startswith(EFFORTS),
            )
            for name, median in medians.items()
        ),
    )


def _print_table(title: str, medians: dict[str, Median], sizes: dict[str, int]) -> None:
    base, base_bytes = medians[BASE], sizes[BASE]
    print(f"\n{title}\n")
    print("| how | bytes | seconds | CPU s | peak MB | size, of advdef -z4's | time, of its |")
    print("|---|---|---|---|---|---|---|")
    for name, median in medians.items():
        print(
            f"| {name} | {sizes[name]:,} | {median.seconds:.2f} | {median.cpu_seconds:.2f} "
            f"| {median.peak_bytes / 1e6:.0f} | {sizes[name] / base_bytes:.4f} "
            f"| {median.seconds / base.seconds:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
