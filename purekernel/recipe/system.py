"""Describe what a recipe says about the running system: [system], [groups], serial ports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING

from attrs import field

from purekernel.errors import PurekernelError, UsageError, inside
from purekernel.formats.public_key import parse_authorized_key
from purekernel.formats.timezone import ZONE_NAME, parse_timezone
from purekernel.recipe.keys import Placed, key
from purekernel.recipe.kinds import ID, Array, Text, once
from purekernel.records import frozen
from purekernel.rootfs.inittab import BAUDS

if TYPE_CHECKING:
    from purekernel.recipe.keys import Named
    from purekernel.recipe.model import Recipe

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"

DHCP = "dhcp"

# What glibc reads of etc/resolv.conf (MAXNS).
MAX_NAMESERVERS = 3

DEFAULT_INTERFACE = "eth0"
DEFAULT_BAUD = 115_200

# Linux: HOST_NAME_MAX. A part between dots has at most 63 characters (RFC 1123).
HOSTNAME = Text(
    pattern=r"^(?![0-9.]+$)[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
    r"(\.[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?)*$",
    max_length=64,
    words="letters, digits and -, beginning and ending with a letter or digit, at most 63 "
    "(64 with dots)",
)
TIMEZONE = Text(
    pattern=r"^[A-Za-z<][0-9A-Za-z+,./:<>_-]*$",
    max_length=100,
    words='a rule such as "CET-1CEST,M3.5.0,M10.5.0/3", or a name such as "Europe/Vienna"',
)
MOTD = Text(
    pattern=r"^[^\u0000-\u0008\u000b-\u001f\u007f]*$",
    max_length=4096,
    words="text of at most 4096 characters, without control characters",
)
SERVICE = Text(
    pattern="^[0-9A-Za-z_][0-9A-Za-z._+-]{0,63}$",
    words="letters, digits and . _ + -, beginning with a letter or digit, at most 64",
)
ADDRESS = Text(
    pattern=rf"^(dhcp|{_IPV4}/(3[0-2]|[12]?[0-9]))$",
    words='an IPv4 address with its prefix, such as "192.168.1.10/24", or "dhcp"',
)
IPV4 = Text(pattern=f"^{_IPV4}$", words='an IPv4 address, such as "192.168.1.1"')
INTERFACE = Text(
    pattern="^[A-Za-z][0-9A-Za-z_-]{0,14}$", words='a network interface, such as "eth0"'
)
SERIAL = Text(
    pattern=r"^(ttyS|ttyUSB|ttyACM|ttyAMA|hvc)[0-9]{1,3}(,[0-9]{3,7}(n8)?)?$",
    words='a serial port and its speed, such as "ttyS0,115200"',
)
AUTHORIZED_KEY = Text(
    # More than one line is refused later, with other words for a private key.
    pattern=r"^[^\u0000-\u0008\u000b-\u001f\u007f]+$",
    max_length=16384,
    words="the line of a public key, as ssh-keygen writes it to a file that ends in .pub",
    # A user may put a private key there.
    secret=True,
)
LOGIN_NAME = Text(
    pattern=r"^[a-z_][a-z0-9_-]{0,31}(?!\n)$",
    words="a login name: at most 32 lower-case letters, digits, _ and -, beginning with a letter "
    "or _",
)
GROUP_NAME = Text(
    pattern=r"^[a-z_][a-z0-9_-]{0,31}(?!\n)$",
    words="the name of a group: at most 32 lower-case letters, digits, _ and -, beginning with a "
    "letter or _",
)


@frozen(kw_only=True)
class SystemChoice(Placed):
    """What the running system is to be: its name, time zone, network and services."""

    hostname: str | None = field(
        default=None,
        metadata=key(
            "Host name",
            "Name of the machine. host=NAME on the kernel's command line comes before it.",
            HOSTNAME,
            "web1",
        ),
    )
    timezone: str | None = field(
        default=None,
        metadata=key(
            "Time zone",
            "Time zone: a rule in the syntax of TZ, or a name of the time zone database. For a "
            "name, the image or a builtin extension must have the database, such as tzdata.tcz. "
            "tz=RULE on the kernel's command line comes before it.",
            TIMEZONE,
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "Europe/Vienna",
        ),
    )
    motd: str | None = field(
        default=None,
        metadata=key("Message", "Text to show after each login.", MOTD, "Welcome to web1."),
    )
    services: tuple[Named, ...] = field(
        default=(),
        metadata=key(
            "Services",
            "Services to start at boot, in this order: names of scripts in /usr/local/etc/init.d, "
            "/etc/init.d/services or /etc/init.d, which may come from an extension.",
            Array(item=SERVICE, convert=once),
            ["dropbear", "crond"],
            named=True,
        ),
    )
    address: str | None = field(
        default=None,
        metadata=key(
            "Address",
            'A static IPv4 address with its prefix, in place of DHCP on all interfaces; or "dhcp". '
            "If not given, as in the base: Core asks for an address on each Ethernet interface.",
            ADDRESS,
            "192.168.1.10/24",
            "dhcp",
        ),
    )
    gateway: str | None = field(
        default=None,
        metadata=key("Gateway", "Default gateway of a static address.", IPV4, "192.168.1.1"),
    )
    nameservers: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Name servers",
            "DNS servers of a static address, at most three.",
            Array(item=IPV4, convert=once),
            ["192.168.1.1"],
        ),
    )
    interface: str | None = field(
        default=None,
        metadata=key(
            "Interface",
            "Interface of the static address, by default eth0; with DHCP, the only one that asks "
            "for an address.",
            INTERFACE,
            "eth0",
        ),
    )

    @property
    def static(self) -> IPv4Interface | None:
        """The static address; ``None`` for DHCP, or if the base decides."""
        return None if self.address in (None, DHCP) else IPv4Interface(self.address or "")


@frozen(kw_only=True)
class Group(Placed):
    """A group of the image, changed or added.

    Attributes:
        name: the name of the group.
    """

    name: str
    gid: int | None = field(
        default=None,
        metadata=key(
            "Group id",
            "Group id of an added group. If not given, the first free one from 1000 on.",
            ID,
            1100,
        ),
    )
    members: tuple[Named, ...] = field(
        default=(),
        metadata=key(
            "Members",
            "Users to add to the group.",
            Array(
                item=LOGIN_NAME,
                convert=once,
            ),
            ["tc"],
            named=True,
        ),
    )


@frozen(kw_only=True)
class SerialLine:
    """A serial port of the image.

    Attributes:
        tty: its device in /dev, such as ``ttyS0``.
        baud: its speed, in bits per second.
    """

    tty: str
    baud: int

    @property
    def consoles(self) -> tuple[str, str]:
        """The words for the kernel's command line. The last one becomes /dev/console."""
        return "console=tty0", f"console={self.tty},{self.baud}"


def parse_serial(text: str) -> SerialLine:
    """Return the serial port that ``text`` names.

    Raises:
        UsageError: it is not a serial port, or serial ports do not have that speed.
    """
    if not SERIAL.accepts(text):
        raise UsageError(
            f"the serial port must be {SERIAL.words}, got {text!r}", hint='write "ttyS0,115200"'
        )
    tty, _comma, speed = text.partition(",")
    baud = int(speed.removesuffix("n8")) if speed else DEFAULT_BAUD
    if baud not in BAUDS:
        raise UsageError(
            f"the speed of {tty} must be one that serial ports have, got {baud} baud",
            hint=f"give one of {', '.join(map(str, BAUDS))}",
        )
    return SerialLine(tty=tty, baud=baud)


def find_system_faults(recipe: Recipe) -> Iterator[PurekernelError]:
    """Yield an error for each value that is wrong in any image, or contradicts another."""
    yield from serial_faults(recipe)
    system = recipe.system
    if system.timezone is not None and ZONE_NAME.fullmatch(system.timezone) is None:
        try:
            with inside(system.place("timezone")):
                parse_timezone(system.timezone)
        except PurekernelError as error:
            yield error
    for attribute, message, hint in _network_faults(system):
        yield UsageError(message, hint=hint).within(system.place(attribute))
    for account in recipe.accounts:
        for public_key in account.authorized_keys:
            try:
                with inside(public_key.place or account.place("authorized_keys")):
                    parse_authorized_key(public_key.name)
            except PurekernelError as error:
                yield error


def find_settings(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield words for each setting of the system that the recipe gives, and its place."""
    if recipe.system != SystemChoice():
        yield "the settings of [system]", recipe.system.place()
    for group in recipe.groups:
        yield "groups", group.place()
    for account in recipe.accounts:
        if account.groups:
            yield "groups", account.place("groups")
        if account.authorized_keys:
            yield "authorized keys", account.place("authorized_keys")
    if recipe.boot.serial is not None:
        yield "the lines of a serial login", recipe.boot.place("serial")


def written_files(system: SystemChoice) -> Iterator[tuple[bytes, str]]:
    """Yield each path in the image that the settings write as a whole, and where they are given."""
    for attribute, paths in (
        ("hostname", (b"etc/hostname",)),
        ("motd", (b"etc/motd",)),
        ("timezone", (b"etc/sysconfig/timezone", b"etc/localtime")),
        ("nameservers", (b"etc/resolv.conf",)),
    ):
        if getattr(system, attribute):
            yield from ((path, system.place(attribute)) for path in paths)
    if system.static is not None:
        yield b"etc/init.d/static-address.sh", system.place("address")


def serial_faults(recipe: Recipe) -> Iterator[PurekernelError]:
    """Yield an error for each fault in the serial port under [boot]."""
    boot = recipe.boot
    if boot.serial is None:
        return
    try:
        with inside(boot.place("serial")):
            line = parse_serial(boot.serial)
    except PurekernelError as error:
        yield error
        return
    for word in re.split("[ \t]+", boot.append or ""):
        if word.startswith("console=") and word not in line.consoles:
            yield UsageError(
                f"{word} among the kernel parameters contradicts the serial port, which sets "
                f"{' and '.join(line.consoles)}",
                hint=f"remove {word}, or the serial port",
            ).within(boot.place("append"))


def _network_faults(system: SystemChoice) -> Iterator[tuple[str, str, str]]:
    """Yield the attribute, a message and a hint for each contradiction about the network."""
    given = {name: getattr(system, name) for name in ("gateway", "nameservers", "interface")}
    if system.address is None or system.static is None:
        needed = ("gateway", "nameservers", *(() if system.address else ("interface",)))
        for name in needed:
            if given[name]:
                yield (
                    name,
                    f"'{name}' needs "
                    + (
                        "a static address, and DHCP sets its own" if system.address else "'address'"
                    ),
                    f"give an address in [system], or remove {name}",
                )
        return
    own, network = system.static, system.static.network
    ends = (network.network_address, network.broadcast_address)
    if own.ip.is_multicast or own.ip.is_loopback or own.ip.is_unspecified or own.ip.is_reserved:
        yield "address", f"{own.ip} is not the address of a machine", "give another address"
    elif network.prefixlen < 31 and own.ip in ends:
        kind = "network" if own.ip == ends[0] else "broadcast address"
        yield "address", f"{own.ip} is the {kind} of {network}", "give another address"
    if system.gateway is not None:
        gateway = IPv4Address(system.gateway)
        if gateway not in network:
            yield (
                "gateway",
                f"the gateway {gateway} is not in the network of the address, {network}",
                "correct the gateway, or the prefix of the address",
            )
        elif gateway == own.ip or (network.prefixlen < 31 and gateway in ends):
            what = "the address itself" if gateway == own.ip else f"no machine of {network}"
            yield "gateway", f"the gateway {gateway} is {what}", "give the router's address"
    if len(system.nameservers) > MAX_NAMESERVERS:
        yield (
            "nameservers",
            f"there can be at most {MAX_NAMESERVERS} name servers, got {len(system.nameservers)}",
            "remove some: the C library ignores the rest",
        )
