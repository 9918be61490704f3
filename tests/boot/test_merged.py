"""Test that merged extensions are installed at boot like loaded ones, and others still load."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.formats.squashfs import parse_squashfs
from purekernel.input import Input
from purekernel.rootfs.extensions import merge_extension
from purekernel.tree import Directory, File, Metadata, Tree
from tests.boot.cores import build, core_root, put
from tests.boot.machine import boot
from tests.oracles import require, run

pytestmark = pytest.mark.boot

NOW = 1_500_000_000

# A module without dependencies that is not loaded at boot. The extension has it under another name,
# which Core's own list of modules lacks.
MODULE = b"lib/modules/3.0.3-tinycore/kernel/lib/ts_kmp.ko.gz"
OTHER_MODULE = b"usr/local/lib/modules/3.0.3-tinycore/kernel/lib/searching.ko.gz"

START = """#!/bin/sh
echo "{name} as $(id -u)" >> /var/log/order
touch /var/log/{name}
chown tc.staff /var/log/{name}
"""

# Runs as root after Core has started. Prints everything between the two marks.
BOOTSYNC = b"""#!/bin/sh
exec >/dev/ttyS0 2>&1
echo "=== begin"
sed 's/^/order /' /var/log/order
ls -ldn /var/log/mine /usr /usr/local/bin/mine /usr/local/tce.installed/* | sed 's/^/listed /'
grep tcloop /proc/mounts | sed 's/^/mounted /'
[ -e /tmp/setup.lst ] || echo "list done"
echo "host $(cat /etc/hostname)"
mine
built
modprobe searching && grep -q ^ts_kmp /proc/modules && echo "module loaded"
echo "=== end"
poweroff -f
"""


def make_extension(core: Tree) -> Tree:
    """Make an extension with a program, a non-executable start script, and a kernel module."""
    tree = Tree()
    tree.add(b"usr", Directory(metadata=Metadata(mode=0o700, uid=1001, gid=50)))
    put(tree, b"usr/local/bin/mine", b"#!/bin/sh\necho program mine\n")
    program = tree[b"usr/local/bin/mine"]
    assert isinstance(program, File)
    metadata = Metadata(mode=0o4755, uid=1001, gid=50)
    tree.replace(b"usr/local/bin/mine", File(metadata=metadata, content=program.content))
    put(tree, b"usr/local/tce.installed/mine", START.format(name="mine").encode())
    put(tree, b"etc/hostname", b"extension\n")
    tree.add_parents(OTHER_MODULE)
    tree.add(OTHER_MODULE, core[MODULE])
    return tree


def make_tcz(folder: Path, name: str) -> bytes:
    """Make an extension with a program and a start script, using mksquashfs."""
    for place, content in (
        (f"usr/local/bin/{name}", f"#!/bin/sh\necho program {name}, loaded\n"),
        (f"usr/local/tce.installed/{name}", START.format(name=name)),
    ):
        file = folder / name / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, newline="\n")
        file.chmod(0o755)
    made = folder / f"{name}.tcz"
    run(
        require("mksquashfs"), folder / name, made, "-b", "4096", "-all-root", "-no-xattrs",
        "-p", "usr/local/tce.installed m 775 0 50", "-noappend", "-quiet",
    )  # fmt: skip
    return made.read_bytes()


def make_root(folder: Path) -> Tree:
    root = core_root()
    root = merge_extension(root, make_extension(root), name="mine", mtime=NOW)
    built, other = make_tcz(folder, "built"), make_tcz(folder, "other")
    root = merge_extension(
        root, parse_squashfs(Input(other, name="other")), name="other", mtime=NOW
    )
    # An extension that is both merged and listed is not loaded again.
    put(root, b"tmp/builtin/onboot.lst", b"built.tcz\nother.tcz\n")
    put(root, b"tmp/builtin/optional/built.tcz", built)
    put(root, b"tmp/builtin/optional/other.tcz", other)
    put(root, b"opt/bootsync.sh", BOOTSYNC, mode=0o755)
    return root


@pytest.mark.nightly
def test_merged_extensions_are_installed_and_their_scripts_run(tmp_path: Path) -> None:
    kernel_line = "console=ttyS0 loglevel=3 nodhcp"
    arguments = build(make_root(tmp_path), tmp_path, kernel_line=kernel_line)
    heard = boot(*arguments, log=tmp_path / "serial", until=b"=== end")
    text = heard.decode("latin-1").replace("\r", "")
    said = text.partition("=== begin\n")[2].partition("=== end")[0].splitlines()

    # Each script ran once, as root; those of merged extensions ran first.
    assert [line for line in said if line.startswith("order ")] == [
        "order mine as 0",
        "order other as 0",
        "order built as 0",
    ]
    assert "list done" in said
    # Only the loaded one of three extensions is mounted; all three are marked.
    mounts = [line for line in said if line.startswith("mounted ")]
    assert [line.split()[2] for line in mounts] == ["/tmp/tcloop/built"]
    listed = {}
    for line in said:
        if line.startswith("listed "):
            words = line.partition(" -> ")[0].split()
            listed[words[-1]] = f"{words[1]} {words[3]}:{words[4]}"
    assert listed == {
        "/usr": "drwxr-xr-x 0:0",
        "/usr/local/bin/mine": "-rwsr-xr-x 1001:50",
        "/usr/local/tce.installed/built": "lrwxrwxrwx 1001:50",
        "/usr/local/tce.installed/mine": "-rwxr-xr-x 1001:50",
        "/usr/local/tce.installed/other": "-rwxr-xr-x 1001:50",
        "/var/log/mine": "-rw-r--r-- 1001:50",
    }
    # Core's own file is kept; both programs run; depmod has listed the module.
    assert "host box" in said
    assert "program mine" in said
    assert "program built, loaded" in said
    assert "module loaded" in said
