from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.errors import PurekernelError, RecipeError, UsageError
from purekernel.recipe.conflicts import change_faults
from purekernel.recipe.model import Recipe
from purekernel.recipe.read import parse_recipe
from purekernel.recipe.system import find_system_faults, parse_serial
from tests.formats.test_public_key import LINE, PRIVATE


def parse(text: str, listed: bytes = b"") -> Recipe:
    return parse_recipe(
        text.encode(), source="p.toml", folder=Path(), read=lambda _path: listed
    )  # fmt: skip


def faults(text: str) -> list[str]:
    return list(map(str, find_system_faults(parse(text))))


def refusals(text: str) -> list[str]:
    with pytest.raises(PurekernelError) as caught:
        parse(text)
    errors = getattr(caught.value, "errors", (caught.value,))
    return [str(error) for error in errors]


NETWORK = 'address = "10.0.0.5/24"\n'


@pytest.mark.parametrize(
    ("values", "place", "message"),
    [
        (
            'address = "10.0.0.0/24"',
            "2, address",
            "10.0.0.0 is the network of 10.0.0.0/24",
        ),
        (
            'address = "10.0.0.255/24"',
            "2, address",
            "10.0.0.255 is the broadcast address of 10.0.0.0/24",
        ),
        (
            'address = "127.0.0.1/8"',
            "2, address",
            "127.0.0.1 is not the address of a machine",
        ),
        (
            NETWORK + 'gateway = "10.0.1.1"',
            "3, gateway",
            "the gateway 10.0.1.1 is not in the network of the address, 10.0.0.0/24",
        ),
        (
            NETWORK + 'gateway = "10.0.0.5"',
            "3, gateway",
            "the gateway 10.0.0.5 is the address itself",
        ),
        (
            NETWORK + 'gateway = "10.0.0.255"',
            "3, gateway",
            "the gateway 10.0.0.255 is no machine of 10.0.0.0/24",
        ),
        (
            NETWORK + 'nameservers = ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]',
            "3, nameservers",
            "there can be at most 3 name servers, got 4",
        ),
        (
            'interface = "eth0"',
            "2, interface",
            "'interface' needs 'address'",
        ),
        (
            'gateway = "10.0.0.1"',
            "2, gateway",
            "'gateway' needs 'address'",
        ),
        (
            'address = "dhcp"\ngateway = "10.0.0.1"',
            "3, gateway",
            "'gateway' needs a static address, and DHCP sets its own",
        ),
        (
            'timezone = "CET-1CEST,M3"',
            "2, timezone",
            "not a rule of a time zone: 'CET-1CEST,M3'",
        ),
    ],
)
def test_contradiction_is_reported_with_its_line(values: str, place: str, message: str) -> None:
    assert faults(f"[system]\n{values}\n") == [f"p.toml, line {place} under [system]: {message}"]


@pytest.mark.parametrize(
    "values",
    [
        NETWORK + 'gateway = "10.0.0.1"\nnameservers = ["1.1.1.1"]\ninterface = "eth1"',
        'address = "10.0.0.0/31"\ngateway = "10.0.0.1"',
        'address = "dhcp"\ninterface = "eth1"',
        'timezone = "Europe/Vienna"',
        'timezone = "UTC"',
        'hostname = "a.example"\nmotd = """\na "$(reboot)" \\\\\n"""',
    ],
)
def test_valid_values_have_no_faults(values: str) -> None:
    assert faults(f"[system]\n{values}\n") == []


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("hostname", ["a b", "-x", "x-", "a" * 64, "a..b", "10.0.0.1", "$(reboot)", "a\\nb", ""]),
        ("timezone", ["$(reboot)", "CET 1", "", "a\\nb"]),
        ("motd", ["\\u0000", "\\u001b[1m", "\\r"]),
        ("address", ["10.0.0.1/33", "10.0.0.1", "10.0.0.256/8", "$(reboot)", "::1/64"]),
        ("gateway", ["10.0.0", "$(reboot)"]),
        ("interface", ["$(reboot)", "a" * 16, "eth0 up"]),
    ],
)
def test_wrong_form_of_a_value_is_refused(key: str, values: list[str]) -> None:
    for value in values:
        (message,) = refusals(f'[system]\n{key} = "{value}"\n')
        assert message.startswith(f"p.toml, line 2: '{key}' must be ")


def test_all_wrong_names_are_refused_at_once() -> None:
    text = """\
[accounts.tc]
groups = ["$(reboot)"]
[groups."a b"]
[groups.ok]
members = ["a b"]
[system]
services = ["a/b", "../x"]
nameservers = ["ns.example"]
[boot]
serial = "ttyS9,abc"
"""
    assert [message.split(" must be ")[0] for message in refusals(text)] == [
        "p.toml, line 2: item 1 of 'groups'",
        "p.toml, line 3: 'a b' in [groups]",
        "p.toml, line 5: item 1 of 'members'",
        "p.toml, line 7: item 1 of 'services'",
        "p.toml, line 7: item 2 of 'services'",
        "p.toml, line 8: item 1 of 'nameservers'",
        "p.toml, line 10: 'serial'",
    ]


# Serial ports


@pytest.mark.parametrize(
    ("text", "tty", "baud"),
    [("ttyS0", "ttyS0", 115_200), ("ttyS1,9600", "ttyS1", 9600), ("hvc0,57600n8", "hvc0", 57_600)],
)
def test_serial_port_has_a_name_and_a_speed(text: str, tty: str, baud: int) -> None:
    line = parse_serial(text)
    assert (line.tty, line.baud) == (tty, baud)
    assert line.consoles == ("console=tty0", f"console={tty},{baud}")


@pytest.mark.parametrize("text", ["ttyS9,abc", "tty1", "ttyS0,", "ttyS0,115201", "../ttyS0", ""])
def test_text_that_is_no_serial_port_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_serial(text)


def test_consoles_that_contradict_the_serial_port_are_reported() -> None:
    text = '[boot]\nserial = "ttyS0,9600"\nappend = "quiet %s"\n'
    for word in ("console=tty0", "console=ttyS0,9600"):
        assert faults(text % word) == []
    for word in ("console=ttyS0", "console=ttyS0,115200", "console=ttyS1,9600"):
        (message,) = faults(text % word)
        assert message == (
            f"p.toml, line 3, append under [boot]: {word} among the kernel parameters "
            "contradicts the serial port, which sets console=tty0 and console=ttyS0,9600"
        )
    (message,) = faults('[boot]\nserial = "ttyS0,1234"\nappend = "console=ttyS1"\n')
    assert message.startswith("p.toml, line 2, serial under [boot]: the speed of ttyS0 must be")


# Authorized keys


def test_keys_are_read_from_recipe_and_file() -> None:
    text = (
        f"[accounts.tc]\nauthorized-keys-list = 'a.pub'\nauthorized-keys = ['{LINE}', 'no-pty "
        f"{LINE}']\n"
    )
    recipe = parse(text, f"# {LINE}\r\n\n  no-pty {LINE} # ours\r\n".encode())
    assert [key.name for key in recipe.accounts[0].authorized_keys] == [
        f"no-pty {LINE} # ours", LINE, f"no-pty {LINE}",
    ]  # fmt: skip
    assert list(find_system_faults(recipe)) == []
    assert LINE not in repr(recipe)


def test_private_key_is_refused_once_and_not_shown() -> None:
    with pytest.raises(RecipeError) as caught:
        parse("[accounts.tc]\nauthorized-keys-list = 'id'\n", PRIVATE.encode())
    assert str(caught.value) == (
        "id, line 1: this is a private key, which must never be in an image"
    )
    assert faults(f'[accounts.tc]\nauthorized-keys = ["""{PRIVATE}"""]\n') == [
        (
            "p.toml, line 2, authorized-keys under [accounts.tc]: this is a private key, which "
            "must never be in an image"
        )
    ]


def test_each_line_that_is_no_key_is_reported() -> None:
    with pytest.raises(PurekernelError) as caught:
        parse("[accounts.tc]\nauthorized-keys-list = 'a.pub'\n", b"ssh-foo\n" + LINE.encode()[:40])
    assert str(caught.value) == (
        "a.pub, line 1: the line must be a public key of OpenSSH, and is not; "
        "a.pub, line 2: the ssh-ed25519 key is damaged or cut off"
    )


# Contradictions with tables that change files


@pytest.mark.parametrize(
    ("values", "place", "path"),
    [
        ('hostname = "a"', "2, hostname", "etc/hostname"),
        ('motd = "a"', "2, motd", "etc/motd"),
        ('timezone = "UTC"', "2, timezone", "etc/localtime"),
        (NETWORK + 'nameservers = ["1.1.1.1"]', "3, nameservers", "etc/resolv.conf"),
        (NETWORK, "2, address", "etc/init.d/static-address.sh"),
    ],
)
def test_file_that_a_setting_writes_cannot_be_written_or_removed(
    values: str, place: str, path: str
) -> None:
    system = f"[system]\n{values}\n"
    (written,) = change_faults(parse(f"{system}[[file]]\npath = '/{path}'\ntext = ''\n"))
    assert f"{path}' is made twice: p.toml, line {place} under [system]" in str(written)
    removed = change_faults(parse(f"{system}[[remove]]\npaths = ['{path}']\n"))
    assert [str(fault).partition("]: ")[2] for fault in removed] == [
        f"'{path}' is removed, and set by another key: p.toml, line {place} under [system]"
    ]
