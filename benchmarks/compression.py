"""Compressing a core: our efforts beside gzip, advdef, pigz and zopfli, on the same archives.

Run with ``python -m benchmarks.compression``, as root and with what ``benchmarks.build`` needs, and
pigz. With ``--quick`` the slow ones are left out. The shared mirror is looked for where
PUREKERNEL_SHARED says, by default in ``../shared/mirror``.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import CHECKOUT, Median, Run, run, take_turns
from purekernel import Emit, make_image, write_image
from purekernel.build.encoding import Encoding, Modules
from purekernel.deflate.efforts import Effort
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.formats.iso import parse_iso
from purekernel.tree import File, Metadata, put_file

CORE_ISO = "tinycorelinux/4.x/x86/release/Core-current.iso"

PLAIN = Encoding(effort=Effort.FAST, modules=Modules.KEEP, nested=False)

PEERS = {
    "gzip -9": "zcat {source} | gzip -n9 > {target}",
    "advdef -z3": "cp {source} {target} && advdef -z3 -q {target}",
    "advdef -z4": "cp {source} {target} && advdef -z4 -q {target}",
    "pigz -11": "zcat {source} | pigz -n11 > {target}",
}
SLOW = ("pigz -11", "zopfli", "max", "max, warm", "raw")
BASE = "advdef -z4"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=1, help="of each contestant [1]")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--core", action="store_true", help="only Core's own core")
    arguments = parser.parse_args()
    missing = [name for name in ("gzip", "advdef", "pigz") if shutil.which(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        _core(work / "core.gz")
        _compare(work, "Core 4.4", work / "core.gz", arguments.runs, quick=arguments.quick)
        if not (arguments.quick or arguments.core):
            _fat_core(work)
            _compare(work, "36 MB tree", work / "fat.gz", arguments.runs, quick=False)


def _core(path: Path) -> None:
    """Write Core's own core.gz."""
    iso = Path(os.environ.get("PUREKERNEL_SHARED", "../shared/mirror")) / CORE_ISO
    core = parse_iso(iso.read_bytes(), source=iso.name).tree[b"boot/core.gz"]
    assert isinstance(core, File)
    path.write_bytes(core.content)


def _fat_core(work: Path) -> None:
    """Write the core of a bundle with 25 MB of extensions."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.bundle", work / "bundle.tar.gz"],
        cwd=CHECKOUT, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    image = make_image(work / "bundle.tar.gz", iso_version="1", encoding=PLAIN)
    write_image(image, work, emit=[Emit.CORE])
    (work / "fat.gz").write_bytes(
        gzip.compress(build_cpio(parse_cpio(image.core, source="core.gz")), mtime=0)
    )


def _compare(work: Path, title: str, source: Path, runs: int, *, quick: bool) -> None:
    sizes: dict[str, int] = {}

    def contestant(name: str, command: list[str], target: Path) -> Run:
        target.unlink(missing_ok=True)
        done = run(command, cwd=CHECKOUT, log=work / "log")
        subprocess.run(["gzip", "-t", target], check=True)
        sizes[name] = target.stat().st_size
        return done

    def ours(how: str, *, of: Path = source, cache: Path | None = None) -> list[str]:
        more = [] if cache is None else [str(cache)]
        return [
            sys.executable, "-m", "benchmarks.compressing", how, str(of), str(target), *more
        ]  # fmt: skip

    target = work / "target.gz"
    changed = _with_a_file_changed(source)
    commands = {
        name: ["bash", "-c", text.format(source=source, target=target)]
        for name, text in PEERS.items()
    }
    commands |= {name: ours(name) for name in ("zopfli", "fast", "balanced")}
    caches = {name: work / f"cache {title} {name}" for name in ("balanced", "max")}
    for name, cache in caches.items():
        if name == "max" and quick:
            continue
        # What a build before left, of which one file has changed since.
        run(ours(name, cache=cache), cwd=CHECKOUT, log=work / "log")
        commands[f"{name}, warm"] = ours(name, of=changed, cache=cache)
    commands |= {name: ours(name) for name in ("max", "raw")}
    chosen = {
        name: command
        for name, command in commands.items()
        if not (quick and name in SLOW) and not (name == "raw" and title != "Core 4.4")
    }
    medians = take_turns(
        [(name, partial(contestant, name, command, target)) for name, command in chosen.items()],
        runs=runs,
    )
    _print_table(title, medians, sizes)


def _with_a_file_changed(source: Path) -> Path:
    """Write ``source`` again with one small file more, and return where."""
    tree = parse_cpio(source.read_bytes(), source=source.name)
    put_file(tree, b"etc/changed", b"by an overlay\n" * 20, metadata=Metadata(mode=0o644))
    changed = source.with_name(f"changed-{source.name}")
    changed.write_bytes(gzip.compress(build_cpio(tree), mtime=0))
    return changed


def _print_table(title: str, medians: dict[str, Median], sizes: dict[str, int]) -> None:
    base, base_bytes = medians[BASE], sizes[BASE]
    print(f"\n{title}\n")
    print("| how | bytes | seconds | CPU s | peak MB | size, of advdef -z4's | time, of its |")
    print("|---|---|---|---|---|---|---|")
    for name, median in medians.items():
        print(
            f"| {name} | {sizes[name]:,} | {median.seconds:.2f} | {median.cpu_seconds:.2f} "
            f"| {median.peak_bytes / 1e6:.0f} | {sizes[name] / base_bytes:.4f} "
            f"| {median.seconds / base.seconds:.3f} |"
        )


if __name__ == "__main__":
    main()
