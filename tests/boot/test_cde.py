"""Test that extensions on the disc load at boot or on demand, from the disc or from memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel import Context, Effort, Outputs, build, load_recipe
from purekernel.plan.conversion import pack_extension
from purekernel.repos.tinycore import Extension
from purekernel.tree import Buffer, Tree
from tests.boot.cores import put
from tests.boot.machine import boot
from tests.boot.media import from_cd
from tests.shared import core_iso

pytestmark = pytest.mark.boot

RECIPE = """
[core]
iso = "{iso}"

[mirrors]
extensions = ["tcz"]

[extensions]
cde = ["seen.tcz", "held.tcz", "later.tcz"]
ondemand = ["later.tcz"]
copy2fs = ["held.tcz"]

[boot]
append = "console=ttyS0 nodhcp"
timeout = 1

[[overlay]]
path = "site"
"""

# Runs as root after Core has loaded the extensions.
BOOTSYNC = """#!/bin/sh
exec >/dev/ttyS0 2>&1
echo "=== begin"
show() {
  ls /usr/local/tce.installed | sed "s/^/$1 /"
  grep tcloop /proc/mounts | sed "s/^/$1 mounted /"
}
show first
for name in helper seen held; do
  [ -L /usr/local/bin/$name ] && echo "link $name"
  $name
done
su tc -c /mnt/sr0/cde/ondemand/later
show then
echo "=== end"
poweroff -f
"""


def make_extension(name: str) -> Buffer:
    tree = Tree()
    program = f"#!/bin/sh\necho program {name}\n".encode()
    put(tree, f"usr/local/bin/{name}".encode(), program, mode=0o755)
    return pack_extension(Extension(name=f"{name}.tcz", file=tree)).file


def mounted(said: list[str], when: str) -> list[str]:
    start = f"{when} mounted "
    return [line.split()[3] for line in said if line.startswith(start)]


def test_extensions_on_the_disc_are_loaded_as_the_recipe_says(tmp_path: Path) -> None:
    folder = tmp_path / "tcz"
    folder.mkdir()
    for name in ("helper", "seen", "held", "later"):
        (folder / f"{name}.tcz").write_bytes(make_extension(name))
    (folder / "seen.tcz.dep").write_text("helper.tcz\n", newline="\n")
    script = tmp_path / "site" / "opt" / "bootsync.sh"
    script.parent.mkdir(parents=True)
    script.write_text(BOOTSYNC, newline="\n")
    script.chmod(0o755)
    (tmp_path / "purekernel.toml").write_text(RECIPE.format(iso=core_iso()))
    outputs = Outputs(folder=tmp_path / "out", effort=Effort.FAST)
    image = build(load_recipe(tmp_path), Context(cache_dir=tmp_path / "cache"), outputs)

    heard = boot(*from_cd(image.files[0].path), log=tmp_path / "serial", until=b"=== end")
    text = heard.decode("latin-1").replace("\r", "")
    said = text.partition("=== begin\n")[2].partition("=== end")[0].splitlines()
    for name in ("helper", "seen", "held", "later"):
        assert f"program {name}" in said
    # What is copied is in memory; what is mounted needs the disc.
    assert [line for line in said if line.startswith("link ")] == ["link helper", "link seen"]
    assert mounted(said, "first") == ["/tmp/tcloop/helper", "/tmp/tcloop/seen"]
    assert mounted(said, "then") == [*mounted(said, "first"), "/tmp/tcloop/later"]
