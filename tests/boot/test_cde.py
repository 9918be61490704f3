"""Test that extensions on the disc load at boot or on demand, from the disc or from memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel import Context, Effort, Outputs, build, load_recipe
from purekernel.plan.conversion import pack_extension
from purekernel.repos.tinycore import Extension
from purekernel.tree import Buffer, Tree
from tests.boot.cores import put
from tests.boot.machine import boot, talk
from tests.boot.media import from_cd
from tests.shared import core_iso, modern

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


def make_iso(folder: Path, recipe: str) -> Path:
    """Build the ISO of ``recipe`` with the extensions and the script above."""
    mirror = folder / "tcz"
    mirror.mkdir()
    for name in ("helper", "seen", "held", "later"):
        (mirror / f"{name}.tcz").write_bytes(make_extension(name))
    (mirror / "seen.tcz.dep").write_text("helper.tcz\n", newline="\n")
    script = folder / "site" / "opt" / "bootsync.sh"
    script.parent.mkdir(parents=True)
    script.write_text(BOOTSYNC, newline="\n")
    script.chmod(0o755)
    (folder / "purekernel.toml").write_text(recipe)
    outputs = Outputs(folder=folder / "out", effort=Effort.FAST)
    image = build(load_recipe(folder), Context(cache_dir=folder / "cache"), outputs)
    return image.files[0].path


def lines(heard: bytes) -> list[str]:
    text = heard.decode("latin-1").replace("\r", "")
    return text.partition("=== begin\n")[2].partition("=== end")[0].splitlines()


@pytest.mark.nightly
def test_disc_of_a_64_bit_base_loads_its_own_extensions_and_those_of_the_recipe(
    tmp_path: Path,
) -> None:
    base = modern() / "TinyCorePure64-look.iso"
    recipe = "drop-boot = true\n" + RECIPE.format(iso=base).replace("console=ttyS0 ", "")
    iso = make_iso(tmp_path, recipe)
    with talk(*from_cd(iso), memory_mb=768, processor="x86_64") as machine:
        machine.expect(b"=== begin")
        machine.expect(b"=== end")
        said = lines(machine.heard)
    for name in ("helper", "seen", "held", "later"):
        assert f"program {name}" in said
        assert (f"first {name}" in said) == (name != "later")
    assert "first dosfstools" in said  # of the base


@pytest.mark.nightly
def test_extensions_on_the_disc_are_loaded_as_the_recipe_says(tmp_path: Path) -> None:
    iso = make_iso(tmp_path, RECIPE.format(iso=core_iso()))
    heard = boot(*from_cd(iso), log=tmp_path / "serial", until=b"=== end")
    said = lines(heard)
    for name in ("helper", "seen", "held", "later"):
        assert f"program {name}" in said
    # What is copied is in memory; what is mounted needs the disc.
    assert [line for line in said if line.startswith("link ")] == ["link helper", "link seen"]
    assert mounted(said, "first") == ["/tmp/tcloop/helper", "/tmp/tcloop/seen"]
    assert mounted(said, "then") == [*mounted(said, "first"), "/tmp/tcloop/later"]
