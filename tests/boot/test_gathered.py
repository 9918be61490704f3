"""Test that builds with extensions boot: each flavour of a bundle, and a remaster of plain Core."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from fixtures.gem import make_gem
from fixtures.gem_server import lay_out_server
from fixtures.project import (
    make_project,
    make_rubygems_tarball,
    make_vm_tools_tarball,
    write_tree,
)
from purekernel.cli import main
from purekernel.rootfs.inittab import add_getty
from tests.boot.machine import boot, talk
from tests.shared import mirror

pytestmark = pytest.mark.boot

VERSION = "0.9.0.1"

# Two dependencies of extensions: one is on the mirror, the other is missing.
SKIPPED = ("gvim-base.tcz", "wireless-KERNEL.tcz")
OTHER_KERNEL = "wireless-5.15.10-tinycore.tcz"

BOOTSYNC = """#!/bin/sh
exec >/dev/ttyS0 2>&1
echo "=== begin"
for name in /usr/local/tce.installed/*; do echo "installed ${name##*/}"; done
for name in /tmp/tcloop/*; do echo "mounted ${name##*/}"; done
echo "onboot $(cat /tmp/builtin/onboot.lst | tr '\\n' ' ')"
echo "console $(grep '^tty1' /etc/inittab)"
echo "shadow $(grep '^tc:' /etc/shadow | cut -c 1-7)"
echo "level $(tail -n 1 /tmp/mk_conf.yaml)"
echo "version $(tail -n 1 /tmp/mk-version.yaml)"
echo "gems $(ls /tmp/gem-mirror/gems | tr '\\n' ' ')"
echo "list $(tr '\\n' ',' < /tmp/gem-mirror/gems/gem.list)"
echo "mirror $(ls /tmp/tinycorelinux/4.x/x86/tcz | tr '\\n' ' ')"
for path in /usr/local/sbin/sfdisk /usr/local/bin/lscpu /usr/sbin/dmidecode /root/.gemrc \\
    /opt/rubygems-1.8.24.tgz /opt/bootsync.sh /usr/local/etc/ssh/sshd_config \\
    /etc/vmware-tools/tools.conf /usr/local/bin/rz_mk_init.rb \\
    /usr/local/lib/ruby/1.8/razor_microkernel/sample.rb /etc/init.d/dhcp.sh; do
  echo "listed $(ls -ldn $path)"
done
echo "=== end"
poweroff -f
"""


def extensions() -> list[str]:
    """Return all extensions of the shared mirror that Core 4.4 can load."""
    folder = mirror() / "4.x" / "x86" / "tcz"
    return [path.name for path in sorted(folder.glob("*.tcz")) if path.name != OTHER_KERNEL]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project with settings that name a folder for each download."""
    top = tmp_path_factory.mktemp("gathered")
    project = make_project(
        builtins=extensions(),
        mirrored=["htop.tcz", "# a comment", ""],
        gems=["sample_gem", "sample_tool  >= 1.2"],
        bootsync=BOOTSYNC,
        pack=gzip.compress,
    )
    write_tree(project, top / "project")
    gems = [
        make_gem("sample_gem", "1.0"),
        make_gem("sample_tool", "1.3", needs={"sample_lib": "~> 2.0"}),
        make_gem("sample_lib", "2.1"),
        make_gem("sample_lib", "3.0"),
    ]
    lay_out_server(top / "gems", gems, compact=False)
    (top / "rubygems-1.8.24.tgz").write_bytes(make_rubygems_tarball())
    (top / "mk-open-vm-tools.tar.gz").write_bytes(make_vm_tools_tarball())
    settings = {
        "TCL_MIRROR_URI": mirror() / "4.x" / "x86" / "tcz",
        "TCL_ISO_URL": mirror() / "4.x" / "x86" / "release" / "Core-current.iso",
        "RUBY_GEMS_URL": top / "rubygems-1.8.24.tgz",
        "OPEN_VM_TOOLS_URL": top / "mk-open-vm-tools.tar.gz",
        "GEM_SERVER_URI": top / "gems",
    }
    lines = [f"MK_BUNDLE_{name}={value.as_uri()}\n" for name, value in settings.items()]
    (top / "bundle.cfg").write_text("".join(lines))
    return top


def said(heard: bytes) -> list[str]:
    text = heard.decode("latin-1").replace("\r", "")
    return text.partition("=== begin\n")[2].partition("=== end")[0].splitlines()


def words(lines: list[str], first: str) -> list[str]:
    return [line.partition(" ")[2] for line in lines if line.startswith(first + " ")]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("flavour", "options"),
    [("dev", []), ("prod", ["--build-prod-image"]), ("debug", ["--build-debug-image"])],
)
def test_bundle_of_each_flavour_boots_with_all_its_extensions(
    flavour: str,
    options: list[str],
    workshop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(workshop / "project")
    monkeypatch.setenv("PUREKERNEL_CACHE", str(workshop / "cache"))
    skips = [word for name in SKIPPED for word in ("--skip", name)]
    command = ["bundle", "-c", str(workshop / "bundle.cfg"), "--iso-version", VERSION, "-q"]
    assert main([*command, *options, *skips, "-o", str(tmp_path)]) == 0
    bundle = tmp_path / f"razor-microkernel-bundle-{flavour}.tar.gz"
    # Production uses the slowest effort by default, which takes minutes. Other tests cover it.
    command = ["build", str(bundle), "-q", "-o", str(tmp_path), "--effort", "fast"]
    assert main([*command, "--boot-append", "console=ttyS0", "--boot-timeout", "1"]) == 0

    iso = tmp_path / f"rz_mk_{flavour}-image.{VERSION}.iso"
    heard = boot("-cdrom", iso, "-boot", "d", log=tmp_path / "serial", until=b"=== end")
    lines = said(heard)
    names = {name.removesuffix(".tcz") for name in extensions()}
    assert names <= set(words(lines, "installed"))
    assert set(words(lines, "mounted")) == names
    assert words(lines, "onboot")[0].split() == extensions()
    autologin = "-nl /sbin/autologin " if flavour == "debug" else ""
    assert words(lines, "console") == [f"tty1::respawn:/sbin/getty {autologin}38400 tty1"]
    # Core 4.4's C library supports SHA-512.
    (shadow,) = words(lines, "shadow")
    # Core 4.4's C library supports SHA-512.
    assert shadow.startswith("tc:*:" if flavour == "prod" else "tc:$6$")
    level = "DEBUG" if flavour == "debug" else "INFO"
    assert words(lines, "level") == [f"mk_log_level: {level}"]
    assert words(lines, "version") == [f"mk_version: {VERSION}"]
    assert words(lines, "gems")[0].split() == [
        "gem.list", "sample_gem-1.0.gem", "sample_lib-2.1.gem", "sample_tool-1.3.gem",
    ]  # fmt: skip
    assert words(lines, "list") == ["sample_gem,sample_tool  >= 1.2,"]
    sides = ("", ".dep", ".info", ".list", ".md5.txt")
    mirrored = [f"htop.tcz{side}" for side in sides]
    mirrored += [f"ncursesw.tcz{side}" for side in sides if side != ".dep"]
    assert words(lines, "mirror")[0].split() == mirrored
    listed = words(lines, "listed")
    owners = {tuple(line.split()[2:4]) for line in listed if line}
    assert owners == {("0", "0")}
    assert len([line for line in listed if line]) == (10 if flavour == "prod" else 11)


def test_tc_logs_in_with_the_password_from_standard_input(
    workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workshop / "project")
    monkeypatch.setenv("PUREKERNEL_CACHE", str(workshop / "cache"))
    monkeypatch.setattr("sys.stdin", io.StringIO("pa:ss wörd$1\n"))
    site = tmp_path / "site" / "etc"
    site.mkdir(parents=True)
    inittab = (workshop / "project" / "etc" / "inittab").read_bytes()
    (site / "inittab").write_bytes(add_getty(inittab, "ttyS0", 115_200))
    bootsync = tmp_path / "site" / "opt" / "bootsync.sh"
    bootsync.parent.mkdir()
    bootsync.write_text("#!/bin/sh\n")
    bootsync.chmod(0o755)
    lists = tmp_path / "builtin.lst"
    lists.write_text("nano\nbash\n")
    command = ["build", "-c", str(workshop / "bundle.cfg"), "--iso-version", VERSION, "-q"]
    command += ["-b", str(lists), "-t", "-", "--overlay", str(tmp_path / "site")]
    command += ["--boot-append", "console=ttyS0 loglevel=3 nodhcp", "--boot-timeout", "1"]
    assert main([*command, "-o", str(tmp_path)]) == 0
    iso = tmp_path / f"rz_mk_dev-image.{VERSION}.iso"
    with talk("-cdrom", iso, "-boot", "d") as machine:
        machine.expect(b"login: ")
        machine.send(b"tc")
        machine.expect(b"Password: ")
        machine.send("pa:ss wörd$1".encode())
        machine.expect(b"$ ")
        # The echo of the command does not contain the word "alltold"; its output does.
        machine.send(b"cd /usr/local/tce.installed; printf '%s\\n' *; echo all''told")
        told = machine.expect(b"alltold").decode("latin-1").replace("\r", "")
    assert told.splitlines()[1:-1] == [
        "bash", "bzip2-lib", "file", "liblzma", "nano", "ncursesw", "readline",
    ]  # fmt: skip


@pytest.mark.nightly
def test_remaster_of_plain_core_boots_with_its_extensions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    site = tmp_path / "site" / "opt"
    site.mkdir(parents=True)
    (site / "greeting").write_text("hello from the overlay\n")
    bootsync = site / "bootsync.sh"
    bootsync.write_text(
        "#!/bin/sh\nexec >/dev/ttyS0 2>&1\necho '=== begin'\n"
        'for name in /usr/local/tce.installed/*; do echo "installed ${name##*/}"; done\n'
        'echo "greeting $(cat /opt/greeting)"\n'
        'echo "razor $(ls /tmp/mk-version.yaml 2>/dev/null)"\n'
        "echo '=== end'\npoweroff -f\n"
    )
    bootsync.chmod(0o755)
    (tmp_path / "purekernel.toml").write_text(
        f"""
name = "my-core"
[mirrors]
tinycore = ['{mirror()}']
[extensions]
builtin = ["nano", "bash"]
[[overlay]]
path = "site"
[boot]
append = "console=ttyS0"
timeout = 1
"""
    )
    assert main(["lock", "-q"]) == 0
    assert main(["build", "-q"]) == 0
    assert main(["build", "-q", "--offline", "-o", "again"]) == 0
    made = (tmp_path / "my-core.iso").read_bytes()
    assert made == (tmp_path / "again" / "my-core.iso").read_bytes()
    heard = boot(
        "-cdrom", tmp_path / "my-core.iso", "-boot", "d", log=tmp_path / "serial", until=b"=== end"
    )
    lines = said(heard)
    needed = ["bash", "bzip2-lib", "file", "liblzma", "nano", "ncursesw", "readline"]
    assert words(lines, "installed") == needed
    assert words(lines, "greeting") == ["hello from the overlay"]
    assert words(lines, "razor") == [""]
