from __future__ import annotations

from ipaddress import IPv4Interface

import pytest
from attrs import evolve

from purekernel.errors import CombinedError, ConflictError
from purekernel.rootfs.boot_scripts import (
    Service,
    StaticAddress,
    limit_dhcp,
    set_static_address,
    start_services,
)
from purekernel.tree import Metadata, Tree, put_file
from tests.oracles import require, run
from tests.rootfs.test_system import BOOTLOCAL, BOOTSYNC, NOW, make_tree, pack_extension, text

# The lines of Core's script that matter.
DHCP = b"""#!/bin/sh
# only to wait for slow network cards
. /etc/init.d/tc-functions

NETDEVICES="$(awk -F: '/eth.:|tr.:/{print $1}' /proc/net/dev 2>/dev/null)"
for DEVICE in $NETDEVICES; do
  /sbin/udhcpc -b -i $DEVICE
done
"""
STATIC = StaticAddress(
    address=IPv4Interface("10.0.2.50/24"),
    interface="eth0",
    gateway="10.0.2.2",
    nameservers=("10.0.2.3", "10.0.2.4"),
)
SCRIPT = "etc/init.d/static-address.sh"


def network_tree() -> Tree:
    return make_tree(**{"etc__init.d__dhcp_sh": DHCP, "etc__resolv.conf": b""})


def test_static_address_runs_first_in_both_scripts() -> None:
    changed = set_static_address(network_tree(), STATIC, mtime=NOW)
    bootsync = BOOTSYNC.replace(b"/usr/bin", b"/etc/init.d/static-address.sh\n/usr/bin")
    assert changed.read("opt/bootsync.sh") == bootsync
    dhcp = DHCP.replace(b". /etc", b"exec /etc/init.d/static-address.sh\n. /etc")
    assert changed.read("etc/init.d/dhcp.sh") == dhcp
    assert text(changed, "etc/resolv.conf") == "nameserver 10.0.2.3\nnameserver 10.0.2.4\n"
    script = text(changed, SCRIPT)
    assert "INTERFACE=eth0\n" in script
    assert "10.0.2.50 netmask 255.255.255.0 broadcast 10.0.2.255 up\n" in script
    assert 'add default gw 10.0.2.2 dev "$INTERFACE" 2>/dev/null\n' in script
    assert changed[SCRIPT.encode()].metadata.mode == 0o755
    assert set_static_address(changed, STATIC, mtime=NOW + 1) == changed


def test_point_to_point_address_has_no_broadcast_and_needs_no_gateway() -> None:
    static = evolve(STATIC, address=IPv4Interface("10.0.0.1/31"), gateway=None, nameservers=())
    changed = set_static_address(network_tree(), static, mtime=NOW)
    assert "10.0.0.1 netmask 255.255.255.254 up\n" in text(changed, SCRIPT)
    assert "route" not in text(changed, SCRIPT)
    assert text(changed, "etc/resolv.conf") == ""


def test_tree_without_scripts_gets_a_bootsync_that_sets_the_address() -> None:
    changed = set_static_address(Tree(), STATIC, mtime=NOW)
    assert text(changed, "opt/bootsync.sh") == "#!/bin/sh\n/etc/init.d/static-address.sh\n"
    assert changed[b"opt/bootsync.sh"].metadata == Metadata(mode=0o775, gid=50, mtime=NOW)
    assert b"etc/init.d/dhcp.sh" not in changed


def test_dhcp_that_is_no_script_is_an_error() -> None:
    with pytest.raises(ConflictError, match=r"dhcp\.sh' must be a script"):
        set_static_address(make_tree(**{"etc__init.d__dhcp_sh": b"\x7fELF"}), STATIC, mtime=NOW)


@pytest.mark.oracle
def test_shells_accept_the_script() -> None:
    script = set_static_address(Tree(), STATIC, mtime=NOW).read(SCRIPT)
    run(require("busybox"), "ash", "-n", stdin=script)


def test_dhcp_is_limited_to_one_interface() -> None:
    changed = limit_dhcp(network_tree(), "eth1", mtime=NOW)
    lines = text(changed, "etc/init.d/dhcp.sh").splitlines()
    assert [line for line in lines if "NETDEVICES" in line] == [
        "NETDEVICES=eth1", "for DEVICE in $NETDEVICES; do",
    ]  # fmt: skip
    assert limit_dhcp(changed, "eth1", mtime=NOW) == changed


def test_other_dhcp_script_cannot_be_limited() -> None:
    with pytest.raises(ConflictError, match="begins with NETDEVICES=, got 0"):
        limit_dhcp(make_tree(), "eth1", mtime=NOW)


# Services


def start(tree: Tree, *names: str, notes: list[str] | None = None) -> Tree:
    services = [Service(name=name, place=f"line {at}") for at, name in enumerate(names, start=1)]
    note = (lambda _text: None) if notes is None else notes.append
    return start_services(tree, services, mtime=NOW, note=note)


def with_scripts(tree: Tree, *paths: str, mode: int = 0o755) -> Tree:
    for path in paths:
        put_file(tree, path.encode(), b"#!/bin/sh\n", metadata=Metadata(mode=mode))
    return tree


def test_services_start_in_order_from_their_folders() -> None:
    tree = with_scripts(
        make_tree(),
        "usr/local/etc/init.d/sshd", "etc/init.d/services/crond", "etc/init.d/mine",
    )  # fmt: skip
    notes: list[str] = []
    changed = start(tree, "crond", "sshd", "mine", notes=notes)
    assert changed.read("opt/bootlocal.sh") == BOOTLOCAL + (
        b"/etc/init.d/services/crond start\n/usr/local/etc/init.d/sshd start\n"
        b"/etc/init.d/mine start\n"
    )
    assert changed.read("opt/bootsync.sh") == BOOTSYNC
    assert not notes
    assert start(changed, "sshd", "crond", "mine") == changed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("#!/bin/sh\necho x", "#!/bin/sh\necho x\nCOMMAND\n"),
        ("#!/bin/sh\necho x\nexit 0\n\n", "#!/bin/sh\necho x\nCOMMAND\nexit 0\n\n"),
        ("#!/bin/sh\nexec /opt/kiosk\n", "#!/bin/sh\nCOMMAND\nexec /opt/kiosk\n"),
        ("#!/bin/sh\nCOMMAND &  # mine\n", "#!/bin/sh\nCOMMAND &  # mine\n"),
        ("#!/bin/sh\n#COMMAND\n", "#!/bin/sh\n#COMMAND\nCOMMAND\n"),
    ],
)
def test_commands_of_the_script_stay(before: str, after: str) -> None:
    command = "/usr/local/etc/init.d/sshd start"
    tree = make_tree(opt__bootlocal_sh=before.replace("COMMAND", command).encode())
    changed = start(with_scripts(tree, "usr/local/etc/init.d/sshd"), "sshd")
    assert text(changed, "opt/bootlocal.sh") == after.replace("COMMAND", command)


def test_bootsync_starts_services_if_it_does_not_start_bootlocal() -> None:
    tree = with_scripts(make_tree(opt__bootsync_sh=b"#!/bin/sh\n#/opt/bootlocal.sh\n"),
                        "usr/local/etc/init.d/sshd")  # fmt: skip
    changed = start(tree, "sshd")
    assert changed.read("opt/bootlocal.sh") == BOOTLOCAL
    assert text(changed, "opt/bootsync.sh").endswith("\n/usr/local/etc/init.d/sshd start\n")


def test_script_that_is_not_executable_becomes_so() -> None:
    tree = with_scripts(make_tree(), "usr/local/etc/init.d/sshd")
    put_file(tree, b"opt/bootlocal.sh", BOOTLOCAL, metadata=Metadata(mode=0o644))
    assert start(tree, "sshd")[b"opt/bootlocal.sh"].metadata.mode == 0o755


def test_service_of_a_builtin_extension_needs_no_note() -> None:
    extension = with_scripts(Tree(), "usr/local/etc/init.d/dropbear")
    tree = make_tree()
    path = b"tmp/builtin/optional/dropbear.tcz"
    put_file(tree, path, pack_extension(extension), metadata=Metadata(mode=0o644))
    notes: list[str] = []
    changed = start(tree, "dropbear", "dropbaer", notes=notes)
    assert text(changed, "opt/bootlocal.sh").endswith(
        "\n/usr/local/etc/init.d/dropbear start\n/usr/local/etc/init.d/dropbaer start\n"
    )
    (note,) = notes
    assert note == (
        "line 2: service 'dropbaer' is neither in the image nor in a builtin extension (did you "
        "mean 'dropbear'?); 'usr/local/etc/init.d/dropbaer' starts it if an extension that is "
        "loaded at boot has that file"
    )


def test_all_scripts_that_are_not_executable_are_reported() -> None:
    tree = with_scripts(make_tree(), "etc/init.d/a", "etc/init.d/services/b", mode=0o644)
    with pytest.raises(CombinedError) as caught:
        start(tree, "a", "b")
    assert [str(error) for error in caught.value.errors] == [
        "line 1: service 'a': 'etc/init.d/a' is not executable",
        "line 2: service 'b': 'etc/init.d/services/b' is not executable",
    ]
