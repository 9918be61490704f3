"""Test that Debian packages in an image are loaded at boot, and that Core runs their postinst."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.cli import main
from tests.boot.machine import boot
from tests.debs import control, deb, entry, listed
from tests.shared import mirror

pytestmark = pytest.mark.boot

# The program is for Core's own shell: current Debian packages need a newer libc than Core 4 has.
POSTINST = b"""#!/bin/sh
set -e
echo "argument=$1 count=$#" > /tmp/postinst.ran
helper >> /tmp/postinst.ran
"""
HELPER = b"#!/bin/sh\necho helped\n"

BOOTSYNC = """#!/bin/sh
exec >/dev/ttyS0 2>&1
while [ ! -f /tmp/import.ran ] && [ "${n:-0}" -lt 60 ]; do n=$((${n:-0} + 1)); sleep 1; done
echo "=== begin"
cat /tmp/postinst.ran /tmp/import.ran
echo "onboot $(cat /tmp/builtin/onboot.lst | tr '\\n' ' ')"
for name in /usr/local/tce.installed/*; do echo "installed ${name##*/}"; done
mount | grep -c 'tcloop/\\(tool\\|helper\\)'
ls -ld /usr/bin/tool /usr/lib/libtool.so.1 | awk '{ print "listed", $1, $9 }'
readlink -f /usr/lib/libtool.so.1
cat /usr/share/tool/data
ls /usr/share/doc/tool 2>&1 | head -1
echo "=== end"
poweroff -f
"""


@pytest.mark.nightly
def test_package_is_loaded_at_boot_and_its_postinst_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = mirror() / "4.x/x86"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    scripts = tmp_path / "mirror/4.x/importscripts"
    scripts.mkdir(parents=True)
    (scripts / "tool.deb2tcz").write_bytes(b'echo "imported by $(id -un)" > /tmp/import.ran\n')
    folder = tmp_path / "mirror/4.x/x86/tcz"
    folder.mkdir(parents=True)
    lay_out_archive(tmp_path / "debian")
    overlay = tmp_path / "overlay/opt"
    overlay.mkdir(parents=True)
    (overlay / "bootsync.sh").write_text(BOOTSYNC)
    (overlay / "bootsync.sh").chmod(0o755)
    (tmp_path / "purekernel.toml").write_text(
        f"""\
[core]
iso = "{real / "release/Core-current.iso"}"
[mirrors]
tinycore = ["mirror"]
debian-packages = ["debian/Packages"]
[extensions]
builtin = ["tool.deb"]
[debian]
follow = true
[[overlay]]
path = "overlay"
[boot]
append = "console=ttyS0"
timeout = 1
"""
    )
    assert main(["build", "-q", "-o", "out"]) == 0
    (iso,) = Path("out").glob("*.iso")
    log = tmp_path / "serial.log"
    raw = boot("-cdrom", iso, log=log, until=b"=== end", memory_mb=512)
    heard = raw.decode("latin-1").replace("\r", "")
    said = heard.partition("=== begin\n")[2].partition("=== end")[0].splitlines()
    assert said[:3] == ["argument=configure count=1", "helped", "imported by root"], heard[-3000:]
    assert "onboot tool.tcz " in said
    assert {"installed tool", "installed helper"} <= set(said)
    assert "2" in said
    assert "/tmp/tcloop/tool/usr/lib/i386-linux-gnu/libtool.so.1" in said
    assert "data of the package" in said
    assert said[-1] == "ls: /usr/share/doc/tool: No such file or directory"


def lay_out_archive(top: Path) -> None:
    """Write an archive of two packages; one depends on the other."""
    top.mkdir()
    packages = {
        "tool": deb(
            control("tool", "1.0-1", "all", {"Depends": "libc6, helper (>= 2)"}),
            data=[
                entry("./usr/bin/tool", b"#!/bin/sh\n", mode=0o755),
                entry("./usr/share/tool/data", b"data of the package\n"),
                entry("./usr/share/doc/tool/README", b"nobody reads this\n"),
                entry("./usr/lib/i386-linux-gnu/libtool.so.1", b"\x7fELF"),
            ],
            scripts={"postinst": POSTINST},
            packed=".zst",
        ),
        "helper": deb(
            control("helper", "2.0-1", "i386"),
            data=[entry("./usr/bin/helper", HELPER, mode=0o755)],
        ),
    }
    texts = {
        "tool": control("tool", "1.0-1", "all", {"Depends": "libc6, helper (>= 2)"}),
        "helper": control("helper", "2.0-1", "i386"),
    }
    for name, content in packages.items():
        (top / f"{name}.deb").write_bytes(content)
    index = b"\n".join(
        listed(texts[name], content, f"{name}.deb") for name, content in packages.items()
    )
    (top / "Packages").write_bytes(index)
