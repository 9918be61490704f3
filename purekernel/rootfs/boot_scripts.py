"""Set a static address and start services, in the scripts that Tiny Core runs at boot.

``etc/init.d/tc-config`` starts ``etc/init.d/dhcp.sh`` in the background unless the kernel's command
line has ``nodhcp``, then runs ``opt/bootsync.sh`` and waits for it. That one starts
``opt/bootlocal.sh`` in the background. All extensions are loaded by then.

Source: these scripts of Tiny Core 4.4, 6.4.1, 10.1, 16.0 and 17.0, which are the same but for an
option of udhcpc.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from ipaddress import IPv4Interface
from shlex import quote

from attrs import field

from purekernel.errors import ConflictError, PurekernelError, inside, raise_all
from purekernel.input import DEFAULT_LIMITS, Limits, Report, ignore_note
from purekernel.records import frozen
from purekernel.rootfs.system import (
    BOOTSYNC,
    OPT_SCRIPT,
    builtin_trees,
    file_content,
    write_file,
)
from purekernel.similar import find_similar
from purekernel.tree import File, Metadata, Tree, display, look_up
from purekernel.tree.path import join

RESOLV_CONF = b"etc/resolv.conf"
DHCP_SCRIPT = b"etc/init.d/dhcp.sh"
STATIC_SCRIPT = b"etc/init.d/static-address.sh"
BOOTLOCAL = b"opt/bootlocal.sh"

# The folders of start scripts: those of extensions, those of Core, and those of an overlay.
SERVICE_FOLDERS = (b"usr/local/etc/init.d", b"etc/init.d/services", b"etc/init.d")

SCRIPT = Metadata(mode=0o755)
_SHEBANG = b"#!/bin/sh\n"
_EXECUTABLE = 0o111

_INTERFACES = re.compile(rb"^NETDEVICES=.*$", re.MULTILINE)
# What follows such a line does not run.
_LEAVES = re.compile(rb"(?:exit|exec)(?:[ \t;].*)?")
_STARTS_BOOTLOCAL = re.compile(rb"^[^#\n]*bootlocal\.sh", re.MULTILINE)

_STATIC = """\
#!/bin/sh
# purekernel wrote this script: it sets the static address of the recipe.
# /opt/bootsync.sh runs it, and /etc/init.d/dhcp.sh does in place of DHCP.
INTERFACE={interface}

# As in dhcp.sh: wait until all devices have registered.
/sbin/udevadm settle --timeout=5
TRIES=0
while [ ! -e "/sys/class/net/$INTERFACE" ] && [ "$TRIES" -lt 10 ]; do
  sleep 1
  TRIES=$((TRIES + 1))
done
/sbin/ifconfig "$INTERFACE" {address} netmask {netmask}{broadcast} up
"""
_ROUTE = """\
# The route exists if this script has run before.
/sbin/route add default gw {gateway} dev "$INTERFACE" 2>/dev/null
"""


@frozen(kw_only=True)
class StaticAddress:
    """A static address.

    Attributes:
        address: the address with its network.
        interface: the network interface, such as ``eth0``.
        gateway: address of the default gateway; ``None`` for none.
        nameservers: addresses of DNS servers.
    """

    address: IPv4Interface
    interface: str
    gateway: str | None = None
    nameservers: tuple[str, ...] = ()


@frozen(kw_only=True)
class Service:
    """A service to start at boot.

    Attributes:
        name: name of its start script.
        place: where the recipe names it, for messages.
    """

    name: str
    place: str = field(default="", eq=False)


def set_static_address(tree: Tree, static: StaticAddress, *, mtime: int) -> Tree:
    """Return ``tree`` with a static address in place of DHCP.

    Raises:
        ConflictError: ``etc/init.d/dhcp.sh`` is not a script.
    """
    changed = tree.copy()
    network = static.address.network
    has_broadcast = network.prefixlen < 31
    text = _STATIC.format(
        interface=quote(static.interface),
        address=static.address.ip,
        netmask=network.netmask,
        broadcast=f" broadcast {network.broadcast_address}" if has_broadcast else "",
    )
    if static.gateway is not None:
        text += _ROUTE.format(gateway=quote(static.gateway))
    write_file(changed, STATIC_SCRIPT, text.encode() + b"exit 0\n", mtime=mtime, metadata=SCRIPT)
    dhcp = file_content(changed, DHCP_SCRIPT)
    if dhcp is not None:
        if not dhcp.startswith(b"#!"):
            raise ConflictError(
                f"{display(DHCP_SCRIPT)} must be a script, so that a static address can replace it",
                hint="remove the file from the overlay, or the address from [system]",
            )
        hook = b"exec /" + STATIC_SCRIPT
        write_file(changed, DHCP_SCRIPT, _insert(dhcp, hook), mtime=mtime, metadata=SCRIPT)
    # Services, which start after it, may need the network.
    bootsync = _insert(file_content(changed, BOOTSYNC) or _SHEBANG, b"/" + STATIC_SCRIPT)
    write_file(changed, BOOTSYNC, bootsync, mtime=mtime, metadata=OPT_SCRIPT)
    if static.nameservers:
        lines = "".join(f"nameserver {server}\n" for server in static.nameservers)
        write_file(changed, RESOLV_CONF, lines.encode(), mtime=mtime)
    return changed


def limit_dhcp(tree: Tree, interface: str, *, mtime: int) -> Tree:
    """Return ``tree`` in which only ``interface`` asks for an address.

    Raises:
        ConflictError: ``etc/init.d/dhcp.sh`` is not like that of Core.
    """
    changed = tree.copy()
    script = file_content(changed, DHCP_SCRIPT) or b""
    line = b"NETDEVICES=" + quote(interface).encode()
    limited, count = _INTERFACES.subn(lambda _match: line, script)
    if count != 1:
        raise ConflictError(
            f"{display(DHCP_SCRIPT)} must have one line that begins with NETDEVICES=, got {count}",
            hint="remove the interface from [system], and choose it in that script",
        )
    write_file(changed, DHCP_SCRIPT, limited, mtime=mtime, metadata=SCRIPT)
    return changed


def start_services(
    tree: Tree,
    services: Iterable[Service],
    *,
    mtime: int,
    limits: Limits = DEFAULT_LIMITS,
    note: Report = ignore_note,
) -> Tree:
    """Return ``tree`` with ``services`` started at boot, in order, by ``opt/bootlocal.sh``.

    A service that a script starts already is not added. Without ``bootlocal.sh``, or a line in
    ``bootsync.sh`` that starts it, ``bootsync.sh`` starts them.

    Args:
        tree: a root file system, with its extensions in ``tmp/builtin``.
        services: the services.
        mtime: the time of changed files, in seconds since 1970, UTC.
        limits: limits on extensions.
        note: called with a line for each service that is in no extension of the image.

    Raises:
        ConflictError: a start script is not executable.
        CombinedError: several are not.
    """
    changed = tree.copy()
    bootsync, bootlocal = file_content(changed, BOOTSYNC), file_content(changed, BOOTLOCAL)
    uses_bootlocal = bootsync is not None and _STARTS_BOOTLOCAL.search(bootsync) is not None
    target, script = (BOOTLOCAL, bootlocal) if uses_bootlocal else (BOOTSYNC, bootsync)
    script = script or _SHEBANG
    present = _commands(bootsync or b"") | (
        _commands(bootlocal or b"") if uses_bootlocal else set()
    )
    extensions = cache(lambda: tuple(builtin_trees(changed, limits)))
    errors: list[PurekernelError] = []
    for service in services:
        try:
            with inside(service.place):
                path = _find_script(changed, extensions, service, note)
        except PurekernelError as error:
            errors.append(error)
            continue
        command = b"/" + path + b" start"
        if command not in present:
            present.add(command)
            script = _append(script, command)
    raise_all(errors)
    write_file(changed, target, script, mtime=mtime, metadata=OPT_SCRIPT)
    return changed


def _find_script(
    tree: Tree, extensions: Callable[[], Iterable[Tree]], service: Service, note: Report
) -> bytes:
    """Return the path of a service's start script."""
    found = _script_in(tree, service)
    known = _service_names(tree)
    for extension in extensions() if found is None else ():
        found = found or _script_in(extension, service)
        known += _service_names(extension)
    if found is not None:
        return found
    path = join(SERVICE_FOLDERS[0], service.name.encode())
    near = find_similar(service.name, known)
    note(
        f"{service.place}{': ' if service.place else ''}service '{service.name}' is neither in "
        f"the image nor in a builtin extension"
        + (f" (did you mean '{near[0]}'?)" if near else "")
        + f"; {display(path)} starts it if an extension that is loaded at boot has that file"
    )
    return path


def _script_in(tree: Tree, service: Service) -> bytes | None:
    for folder in SERVICE_FOLDERS:
        path = join(folder, service.name.encode())
        found = look_up(tree, path)
        if found is None or not isinstance(found.node, File):
            continue
        if not found.node.metadata.mode & _EXECUTABLE:
            raise ConflictError(
                f"service '{service.name}': {display(path)} is not executable",
                hint="set its mode to 0755",
            )
        return path
    return None


def _service_names(tree: Tree) -> list[str]:
    return [
        entry.decode("utf-8", "replace")
        for folder in SERVICE_FOLDERS[:2]
        if folder in tree
        for entry in tree.entries(folder)
    ]


def _commands(script: bytes) -> set[bytes]:
    """Return the commands of a script that stand on a line of their own."""
    lines = (line.split(b"#")[0].rstrip(b" \t\r&") for line in script.split(b"\n"))
    return {b" ".join(line.split()) for line in lines}


def _insert(script: bytes, command: bytes) -> bytes:
    """Return ``script`` with ``command`` after the comments at its start, unless it has it."""
    lines = script.split(b"\n")
    if command in lines:
        return script
    at = next(
        (at for at, line in enumerate(lines) if line.strip() and not line.startswith(b"#")), None
    )
    if at is None:
        return _append(script, command)
    return b"\n".join([*lines[:at], command, *lines[at:]])


def _append(script: bytes, command: bytes) -> bytes:
    """Return ``script`` with ``command`` at its end, but before a last line that leaves it."""
    lines = script.removesuffix(b"\n").split(b"\n")
    at = len(lines)
    while at and not lines[at - 1].strip():
        at -= 1
    at = at - 1 if at and _LEAVES.fullmatch(lines[at - 1]) else len(lines)
    return b"\n".join([*lines[:at], command, *lines[at:], b""])
