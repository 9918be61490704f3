"""Test that disk images boot by BIOS, and load the extensions on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel import Context, Effort, Emit, Outputs, build, load_recipe
from tests.boot.machine import boot, talk
from tests.boot.test_cde import lines, make_extension, mounted
from tests.shared import core_iso, modern

pytestmark = pytest.mark.boot

CORE = """
[core]
iso = "{iso}"
"""

FILES = """
[core]
version = "6.4.1"
arch = "x86_64"
kernel = "{kernel}"
initrd = ["{root}"]
"""

REST = """
[mirrors]
extensions = ["tcz"]

[extensions]
tce = ["seen.tcz", "held.tcz"]
copy2fs = ["held.tcz"]

[boot]
append = "console=ttyS0 nodhcp"

[disk]
format = "{format}"
table = "{table}"

[[overlay]]
path = "site"
"""

# Runs as root after Core has loaded the extensions.
BOOTSYNC = """#!/bin/sh
exec >/dev/ttyS0 2>&1
echo "=== begin"
ls /usr/local/tce.installed | sed "s/^/loaded /"
grep tcloop /proc/mounts | sed "s/^/first mounted /"
echo "folder $(readlink /etc/sysconfig/tcedir)"
touch /etc/sysconfig/tcedir/optional/new && echo writable
cat /proc/cmdline
echo "=== end"
poweroff -f
"""


def make_disk(folder: Path, recipe: str) -> Path:
    mirror = folder / "tcz"
    mirror.mkdir()
    for name in ("helper", "seen", "held"):
        (mirror / f"{name}.tcz").write_bytes(make_extension(name))
    (mirror / "seen.tcz.dep").write_text("helper.tcz\n", newline="\n")
    script = folder / "site" / "opt" / "bootsync.sh"
    script.parent.mkdir(parents=True)
    script.write_text(BOOTSYNC, newline="\n")
    script.chmod(0o755)
    (folder / "purekernel.toml").write_text(recipe)
    outputs = Outputs(folder=folder / "out", kinds=[Emit.DISK], effort=Effort.FAST)
    image = build(load_recipe(folder), Context(cache_dir=folder / "cache"), outputs)
    return image.files[0].path


def as_disk(path: Path, form: str) -> list[str]:
    return ["-drive", f"if=ide,format={form},file={path}"]


@pytest.mark.parametrize(
    ("form", "table"),
    [
        ("raw", "mbr"),
        pytest.param("qcow2", "mbr", marks=pytest.mark.nightly),
    ],
)
def test_disk_of_core_boots_and_loads_its_extensions(form: str, table: str, tmp_path: Path) -> None:
    recipe = CORE.format(iso=core_iso()) + REST.format(format=form, table=table)
    disk = make_disk(tmp_path, recipe)
    heard = boot(*as_disk(disk, form), log=tmp_path / "serial", until=b"=== end")
    said = lines(heard)
    assert {"loaded helper", "loaded seen", "loaded held"} <= set(said)
    assert mounted(said, "first") == ["/tmp/tcloop/helper", "/tmp/tcloop/seen"]
    assert "folder /mnt/sda1/tce" in said
    assert "writable" in said


@pytest.mark.nightly
@pytest.mark.parametrize("table", ["mbr", "gpt"])
def test_disk_of_a_64_bit_pair_boots_and_keeps_its_folder_for_extensions(
    table: str, tmp_path: Path
) -> None:
    folder = modern() / "roots" / "6.4.1"
    files = FILES.format(kernel=folder / "vmlinuz64", root=folder / "rootfs64.gz")
    # Its modules, with those for loop devices, are not there.
    rest = REST.replace("nodhcp", "nodhcp nozswap").replace('tce = ["seen.tcz", "held.tcz"]', "")
    rest = rest.replace('copy2fs = ["held.tcz"]', "")
    disk = make_disk(tmp_path, files + rest.format(format="raw", table=table))
    with talk(*as_disk(disk, "raw"), memory_mb=512, processor="x86_64") as machine:
        machine.expect(b"=== begin")
        machine.expect(b"=== end")
        said = lines(machine.heard)
    assert "folder /mnt/sda1/tce" in said
    assert "writable" in said
