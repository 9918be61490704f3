"""Gathering beside wget and the native pipeline, from a web server on this machine.

Run with ``python -m benchmarks.gather``, as root (the native pipeline makes device nodes) and
with wget, cpio, genisoimage and p7zip-full installed. The shared mirror is looked for where
PUREKERNEL_SHARED says, by default in ``../shared/mirror``; Python's own web server serves it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.measure import CHECKOUT, Median, Run, run, take_turns

PROGRAMS = ("wget", "cpio", "gzip", "genisoimage", "7z")
TCZ = "tinycorelinux/4.x/x86/tcz"
ISO = "tinycorelinux/4.x/x86/release/Core-current.iso"
# From one continent to another and back.
PAUSE_SECONDS = 0.05
SIDES = ("", ".md5.txt", ".dep", ".info", ".list")

# On the mirror, and missing from it: what two extensions need.
SKIPPED = ["gvim-base.tcz", "wireless-KERNEL.tcz"]

# As build-bundle-file.sh does it: a process a file, one after the other, missing files passed
# over.
WGET = """
rm -rf wget && mkdir wget
for file in $(cat names); do
  for side in '' .md5.txt .dep .info .list; do
    wget -q -P wget {base}/{tcz}/$file$side || true
  done
done
wget -q -P wget {base}/{iso}
"""

# What the scripts run after that, without depmod and ldconfig, which neither side does here.
NATIVE = """
set -e
rm -rf native && mkdir native && cd native
7z x -y -ooriginal ../wget/Core-current.iso >/dev/null
mkdir root && cd root
zcat ../original/boot/core.gz | cpio -idm --quiet
mkdir -p tmp/tinycorelinux/4.x/x86/tcz && cp ../../wget/*.tcz* tmp/tinycorelinux/4.x/x86/tcz
find | cpio -o -H newc --quiet | gzip -9 > ../original/boot/core.gz
cd ..
genisoimage -quiet -l -J -R -no-emul-boot -boot-load-size 4 -boot-info-table \
  -b boot/isolinux/isolinux.bin -c boot/isolinux/boot.cat -o native.iso original
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=5, help="of each contestant [5]")
    runs = parser.parse_args().runs
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        sys.exit("the native pipeline makes device nodes: run this as root, or under fakeroot")
    shared = Path(os.environ.get("PUREKERNEL_SHARED", "../shared/mirror"))
    names = sorted(path.name for path in (shared / TCZ).glob("*.tcz"))
    if not names:
        sys.exit(f"no shared mirror at {shared}")
    shared = shared.absolute()
    with (
        tempfile.TemporaryDirectory() as name,
        serving(shared) as near,
        serving(shared, pause_seconds=PAUSE_SECONDS) as far,
    ):
        _compare(Path(name), shared, (near, far), names, runs)


@contextmanager
def serving(folder: Path, *, pause_seconds: float = 0.0) -> Iterator[str]:
    """Serve ``folder`` by a process of its own, each answer after a pause; give its address."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serve", folder, str(pause_seconds)],
        cwd=CHECKOUT, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        yield server.stdout.readline().decode().strip()
    finally:
        server.terminate()
        server.communicate()


def _compare(
    work: Path, shared: Path, servers: tuple[str, str], names: list[str], runs: int
) -> None:
    near, far = servers
    for folder, base in (("open", near), ("locked", near), ("far", far)):
        # Every extension is in the image's mirror, for all that stands beside it.
        text = (
            f'name = "all"\n[mirrors]\ntinycore = ["{base}/tinycorelinux"]\n'
            f"[extensions]\nmirror = {names}\nskip = {SKIPPED}\n"
        )
        (work / folder).mkdir()
        (work / folder / "purekernel.toml").write_text(text.replace("'", '"'), encoding="utf-8")
    (work / "names").write_text("\n".join(names), encoding="utf-8")
    store = work / "store"
    _ours(work, "locked", store, "lock")
    files = [
        path
        for name in names
        for side in SIDES
        if (path := shared / TCZ / f"{name}{side}").exists()
    ]
    size_bytes = sum(path.stat().st_size for path in (*files, shared / ISO))
    # What wget's runs leave behind is what the native pipeline starts from.
    contestants: list[tuple[str, Callable[[], Run]]] = [
        (COLD, partial(_cold, work, "open")),
        (WGETS, partial(run, _shell(WGET, near), cwd=work, log=work / "log")),
        (FAR, partial(_cold, work, "far")),
        (FAR_WGETS, partial(run, _shell(WGET, far), cwd=work, log=work / "log")),
        (WARM, partial(_ours, work, "open", store, "fetch")),
        (LOCKED, partial(_ours, work, "locked", store, "fetch")),
        (BUILD, partial(_ours, work, "locked", store, "build", "-o", str(work / "out"))),
        (PIPELINE, partial(run, _shell(NATIVE, near), cwd=work, log=work / "log")),
    ]
    medians = take_turns(contestants, runs=runs)
    print(
        f"{len(names)} extensions with {len(files) - len(names)} files beside them and the base "
        f"ISO, {size_bytes / 1e6:.1f} MB; {os.cpu_count()} processors, "
        f"Python {sys.version.split()[0]}; median of {runs}\n"
    )
    _print_table(medians)


COLD, WARM, LOCKED = "fetch, nothing stored", "fetch, stored, asked for newer", "fetch, locked"
BUILD = "build, locked"
FAR, FAR_WGETS = "fetch, nothing stored, 50 ms away", "wget, 50 ms away"
WGETS, PIPELINE = "wget, a process a file", "native pipeline, gzip -9"

# Beside whom each is held.
PEERS = {COLD: WGETS, FAR: FAR_WGETS, WARM: WGETS, LOCKED: WGETS, BUILD: PIPELINE}


def _ours(work: Path, folder: str, store: Path, *words: str) -> Run:
    command = [
        sys.executable, "-m", "purekernel", words[0], "--cache-dir", str(store), "-q", *words[1:],
    ]  # fmt: skip
    return run(command, cwd=work / folder, log=work / "log")


def _cold(work: Path, folder: str) -> Run:
    store = work / "cold"
    shutil.rmtree(store, ignore_errors=True)
    return _ours(work, folder, store, "fetch")


def _shell(script: str, base: str) -> list[str]:
    return ["bash", "-c", script.format(base=base, tcz=TCZ, iso=ISO)]


def _print_table(medians: dict[str, Median]) -> None:
    print("| what | seconds | CPU s | peak MB | time, ours/its peer's |")
    print("|---|---|---|---|---|")
    for name, median in medians.items():
        peer = PEERS.get(name)
        ratio = "" if peer is None else f"{median.seconds / medians[peer].seconds:.3f}"
        print(
            f"| {name} | {median.seconds:.2f} | {median.cpu_seconds:.2f} "
            f"| {median.peak_bytes / 1e6:.0f} | {ratio} |"
        )


if __name__ == "__main__":
    main()
