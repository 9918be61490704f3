"""The whole of ``purekernel build`` beside the native pipeline, on the same bundle.

Run with ``python -m benchmarks.build``, as root (the native pipeline makes device nodes) and
with cpio, genisoimage, advancecomp, busybox and p7zip-full installed. The shared mirror is looked
for where PUREKERNEL_SHARED says, by default in ``../shared/mirror``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import CHECKOUT, Median, Run, run, take_turns

VERSION = "0.9.0.1"
PROGRAMS = ("tar", "cpio", "gzip", "advdef", "busybox", "ldconfig", "genisoimage", "7z")

# What build_initial_directories.sh and rebuild_iso.sh run.
NATIVE = """
set -e
rm -rf native && mkdir native && cd native
tar xzf ../bundle.tar.gz
7z x -y -ooriginal Core-current.iso >/dev/null
mkdir root && cd root
zcat ../original/boot/core.gz | cpio -idm --quiet
for file in mk-open-vm-tools razor-microkernel-overlay mcollective-setup-files ssh-setup-files; do
  if [ -r ../dependencies/$file.tar.gz ]; then tar xzf ../dependencies/$file.tar.gz; fi
done
printf -- '---\\nmk_version: %s\\n' {version} > tmp/mk-version.yaml
for release in $(ls lib/modules); do
  rm -f lib/modules/$release/kernel.tclocal
  ln -s ../../../usr/local/lib/modules/$release/kernel lib/modules/$release/kernel.tclocal
  busybox depmod -a -b "$PWD" $release
done
ldconfig -r "$PWD"
find | cpio -o -H newc --quiet | gzip -9 > ../core.gz
cd ..
{advdef}
mkdir newiso && cp -rp original/boot newiso && cp COPYING LICENSE newiso
sed -i 's/timeout 300/timeout 100/' newiso/boot/isolinux/isolinux.cfg
cp core.gz newiso/boot/core.gz
genisoimage -quiet -l -J -R -no-emul-boot -boot-load-size 4 -boot-info-table \
  -b boot/isolinux/isolinux.bin -c boot/isolinux/boot.cat -V 'Razor MK' -o native.iso newiso
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=3, help="of each contestant [3]")
    runs = parser.parse_args().runs
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        sys.exit("the native pipeline makes device nodes: run this as root, or under fakeroot")
    with tempfile.TemporaryDirectory() as name:
        _compare(Path(name), runs)


def _compare(work: Path, runs: int) -> None:
    # In a process of its own: a child's peak, as Linux counts it, is never under its parent's.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bundle", work / "bundle.tar.gz"],
        cwd=CHECKOUT, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    extensions_bytes = int(done.stdout)
    ours = [
        sys.executable, "-m", "purekernel", "build", "bundle.tar.gz",
        "--iso-version", VERSION, "--output-dir", "ours", "--quiet",
    ]  # fmt: skip
    plain = ["bash", "-c", NATIVE.format(version=VERSION, advdef="")]
    advdef = ["bash", "-c", NATIVE.format(version=VERSION, advdef="advdef -z4 -q core.gz")]
    sizes: dict[str, tuple[int, int]] = {}

    def contestant(name: str, command: list[str], iso: Path, core: Path | None) -> Run:
        done = run(command, cwd=work, log=work / "log")
        sizes[name] = (iso.stat().st_size, core.stat().st_size if core else 0)
        return done

    native_iso, native_core = work / "native" / "native.iso", work / "native" / "core.gz"
    our_iso = work / "ours" / f"rz_mk_dev-image.{VERSION}.iso"
    medians = take_turns(
        [
            ("purekernel", partial(contestant, "purekernel", ours, our_iso, None)),
            (
                "native, gzip -9",
                partial(contestant, "native, gzip -9", plain, native_iso, native_core),
            ),
            (
                "native, advdef -z4",
                partial(contestant, "native, advdef -z4", advdef, native_iso, native_core),
            ),
        ],
        runs=runs,
    )
    print(
        f"bundle: {(work / 'bundle.tar.gz').stat().st_size / 1e6:.1f} MB, with "
        f"{extensions_bytes / 1e6:.1f} MB of extensions over Core 4.4; "
        f"{os.cpu_count()} processors, Python {sys.version.split()[0]}; median of {runs}"
    )
    _print_table(medians, sizes)


def _print_table(medians: dict[str, Median], sizes: dict[str, tuple[int, int]]) -> None:
    base = medians["purekernel"]
    iso = sizes["purekernel"][0]
    print()
    print("| how | seconds | CPU s | peak MB | ISO bytes | time, ours/its | memory | size |")
    print("|---|---|---|---|---|---|---|---|")
    for name, median in medians.items():
        print(
            f"| {name} | {median.seconds:.2f} | {median.cpu_seconds:.2f} "
            f"| {median.peak_bytes / 1e6:.0f} | {sizes[name][0]:,} "
            f"| {base.seconds / median.seconds:.3f} "
            f"| {base.peak_bytes / median.peak_bytes:.2f} | {iso / sizes[name][0]:.4f} |"
        )


if __name__ == "__main__":
    main()
