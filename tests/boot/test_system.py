"""Test that Tiny Core reads what [system], [groups], authorized keys and the serial port write."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel import Context, Effort, Outputs, build, load_recipe
from purekernel.input import DEFAULT_LIMITS
from tests.boot.cores import core_4_4
from tests.boot.machine import Machine, talk
from tests.shared import modern

pytestmark = pytest.mark.boot

KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f anna@example"
)
RECIPE = f"""\
name = "served"
[core]
iso = "base.iso"
[[overlay]]
path = "site"
[accounts.root]
password = "root of the test"
[accounts.tc]
password = "tc of the test"
groups = ["backup"]
authorized-keys = ["{KEY}"]
[groups.backup]
gid = 1234
[system]
hostname = "web-1"
timezone = "ABC-5:30DEF,M1.1.0,M12.5.0/3"
motd = '''It's "quoted" $(reboot) \\ `here`.'''
services = ["marker"]
address = "10.0.2.77/24"
gateway = "10.0.2.2"
nameservers = ["10.0.2.3"]
[[remove]]
paths = ["etc/pcmcia"]
[[file]]
path = "usr/local/bin/written"
text = "#!/bin/sh\\necho written"
mode = "0755"
[[edit]]
paths = ["etc/issue"]
append = "# edited"
[[edit]]
paths = ["etc/profile"]
find = "umask 022"
replace = "umask 027"
[[link]]
path = "usr/bin/linked"
target = "/usr/local/bin/written"
[boot]
serial = "ttyS0,115200"
timeout = 1
"""

# The service sees the network, and a time zone although it is not started by a login shell.
SERVICE = """\
#!/bin/sh
echo "started $1 $(ifconfig eth0 | grep -o '10.0.2.77') $(date +%Z)" > /tmp/marker
"""

LOOK = r"""#!/bin/sh
owner() { ls -lAd "$1" | awk '{print $1, $3, $4}'; }
here=$(date +%Z)
unset TZ
cat <<END
<<
name=$(hostname)
file=$(cat /etc/hostname)
hosts=$(grep ^127.0.0.1 /etc/hosts)
groups=$(id -Gn)
folder=$(owner ~/.ssh)
keys=$(owner ~/.ssh/authorized_keys)
key=$(cat ~/.ssh/authorized_keys)
address=$(ifconfig eth0 | grep "inet addr" | tr -s " ")
gateway=$(route -n | awk '$1 == "0.0.0.0" {print $2}')
servers=$(cat /etc/resolv.conf)
dhcp=$(pidof udhcpc || echo none)
reached=$(sudo ping -c 1 10.0.2.2 | grep -c "1 packets received")
service=$(cut -d" " -f1-3 /tmp/marker)
zones=$here $(date +%Z) $(cut -d" " -f4 /tmp/marker)
terminal=$(tty)
removed=$(ls -d /etc/pcmcia 2>/dev/null || echo gone)
linked=$(linked)
edited=$(grep -c "^# edited" /etc/issue) $(umask)
consoles=$(grep -o "console=.*" /proc/cmdline)
>>
END
"""


def build_image(iso: bytes, folder: Path, recipe: str) -> None:
    """Write the files of the image of ``recipe`` into ``folder``."""
    (folder / "base.iso").write_bytes(iso)
    (folder / "purekernel.toml").write_text(recipe)
    for path, script in (("etc/init.d/marker", SERVICE), ("bin/look", LOOK)):
        file = folder / "site" / "usr" / "local" / path
        file.parent.mkdir(parents=True)
        file.write_text(script)
        file.chmod(0o755)
    context = Context(limits=DEFAULT_LIMITS, cache_dir=folder / "cache")
    build(
        load_recipe(folder),
        context,
        Outputs(folder=folder, kinds=("iso", "core"), effort=Effort.FAST, nested=False),
    )


def log_in(machine: Machine, user: str, password: str) -> bytes:
    machine.send(user.encode())
    machine.expect(b"Password: ")
    machine.send(password.encode())
    return machine.expect(b"Login incorrect", b"$ ")


def look(machine: Machine) -> dict[str, str]:
    """Return what the script LOOK prints."""
    machine.send(b"look")
    machine.expect(b"<<")
    lines = machine.expect(b">>").decode().removesuffix(">>").splitlines()
    return dict(line.strip().split("=", 1) for line in lines if "=" in line)


# What is the same in all releases.
EXPECTED = {
    "name": "web-1",
    "file": "web-1",
    "groups": "staff backup",
    "folder": "drwx------ tc staff",
    "keys": "-rw------- tc staff",
    "key": KEY,
    "gateway": "10.0.2.2",
    "servers": "nameserver 10.0.2.3",
    "dhcp": "none",
    "reached": "1",
    "service": "started start 10.0.2.77",
    "terminal": "/dev/ttyS0",
    "removed": "gone",
    "linked": "written",
    "edited": "1 0027",
}
MOTD = b"""It's "quoted" $(reboot) \\ `here`.\r\n"""
ADDRESS = "inet addr:10.0.2.77 Bcast:10.0.2.255 Mask:255.255.255.0"


def check(found: dict[str, str]) -> None:
    assert {name: found.get(name) for name in EXPECTED} == EXPECTED
    assert "web-1" in found["hosts"].split()
    assert ADDRESS in found["address"]
    # The same zone in a login shell, in a program without TZ, and in a service.
    assert found["zones"] in ("ABC ABC ABC", "DEF DEF DEF")


def test_core_4_4_has_the_system_of_the_recipe(tmp_path: Path) -> None:
    build_image(core_4_4(), tmp_path, RECIPE)
    with talk("-cdrom", tmp_path / "served.iso", "-boot", "d") as machine:
        started = machine.expect(b"web-1 login: ")
        assert b"Booting" in started
        shown = log_in(machine, "tc", "tc of the test")
        assert MOTD in shown
        found = look(machine)
        check(found)
        assert found["consoles"].startswith("console=tty0 console=ttyS0,115200 ")
        machine.send(b"exit")
        machine.expect(b"web-1 login: ")
        # Root can log in on the terminals of etc/securetty only.
        # Core's root/.profile then logs in as tc.
        assert log_in(machine, "root", "root of the test").endswith(b"$ ")


@pytest.mark.nightly
def test_core_17_for_x86_64_has_the_system_of_the_recipe_and_logs_in_by_itself(
    tmp_path: Path,
) -> None:
    # The kernel of CorePure64 6.4.1 has no driver for a network card; this one has virtio's.
    iso = (modern() / "TinyCorePure64-look.iso").read_bytes()
    build_image(iso, tmp_path, "drop-boot = true\n" + RECIPE + "autologin = true\n")
    kernel, core = tmp_path / "vmlinuz", tmp_path / "core.gz"
    words = "loglevel=3 noswap no_timer_check console=tty0 console=ttyS0,115200"
    with talk(
        *("-kernel", kernel, "-initrd", core, "-append", words),
        *("-cpu", "max", "-nic", "user,model=virtio-net-pci"),
        memory_mb=768,
        processor="x86_64",
    ) as machine:
        shown = machine.expect(b"$ ")
        assert b"login: " not in shown
        assert MOTD in shown
        check(look(machine))
        machine.send(b"exit")
        machine.expect(b"web-1 login: ")
        # Core's root/.profile then logs in as tc.
        assert log_in(machine, "root", "root of the test").endswith(b"$ ")
