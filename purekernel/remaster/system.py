"""Make the passes that set up the running system of a recipe's image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from purekernel.errors import PurekernelError, inside, raise_all
from purekernel.input import Limits
from purekernel.recipe.model import Recipe
from purekernel.recipe.system import DEFAULT_INTERFACE, parse_serial
from purekernel.rootfs.authorized_keys import KeysOfUser, add_authorized_keys
from purekernel.rootfs.boot_scripts import (
    Service,
    StaticAddress,
    limit_dhcp,
    set_static_address,
    start_services,
)
from purekernel.rootfs.groups import GroupChange, Membership, change_groups
from purekernel.rootfs.serial import add_serial_login
from purekernel.rootfs.system import set_hostname, set_motd, set_timezone
from purekernel.tree import Origin, OriginKind, Pass, Tree
from purekernel.tree.origin import OriginPass

_Step = tuple[str, Pass, str]
"""The table that asks for a pass, the pass, and the place of the key, for messages."""

_SERIAL = "[boot]"


def system_passes(
    recipe: Recipe, *, autologin: bool | None, mtime: int, limits: Limits
) -> tuple[tuple[str, Pass], ...]:
    """Return the pass for [groups], [system], authorized keys and the serial console, if any.

    It needs a complete root file system.

    Args:
        recipe: the recipe; its values do not contradict each other.
        autologin: whether the console logs in automatically; ``None`` leaves that as in the base.
        mtime: the time of new and changed files, in seconds since 1970, UTC.
        limits: limits on extensions that are read; receives notes.
    """
    steps = (
        *_account_steps(recipe, mtime),
        *_system_steps(recipe, mtime, limits),
        *_serial_steps(recipe, autologin, mtime),
    )
    return (("set up the system", _pass_of(steps)),) if steps else ()


def serial_passes(
    recipe: Recipe, *, autologin: bool | None, mtime: int
) -> tuple[tuple[str, Pass], ...]:
    """Return the pass that lets users log in on the serial port, if the recipe names one."""
    steps = tuple(_serial_steps(recipe, autologin, mtime))
    return (("add a serial login", _pass_of(steps)),) if steps else ()


def _pass_of(steps: tuple[_Step, ...]) -> Pass:
    origins: dict[bytes, Origin] = {}
    run = partial(_run_all, steps=steps, origins=origins)
    return OriginPass(run, Origin(OriginKind.EDIT, steps[0][0]), origins)


def _run_all(tree: Tree, *, steps: tuple[_Step, ...], origins: dict[bytes, Origin]) -> Tree:
    """Return the tree that the steps make of ``tree``; raise the errors of all together.

    Args:
        tree: the tree to start from; it is not changed.
        steps: the steps, in order.
        origins: receives the table that made or changed each path.
    """
    errors: list[PurekernelError] = []
    for table, run, place in steps:
        try:
            with inside(place):
                changed = run(tree)
        except PurekernelError as error:
            errors.append(error)
            continue
        origin = Origin(OriginKind.EDIT, table)
        origins.update(dict.fromkeys(changed.changed_since(tree), origin))
        tree = changed
    raise_all(errors)
    return tree


def _serial_steps(recipe: Recipe, autologin: bool | None, mtime: int) -> Iterator[_Step]:
    if recipe.boot.serial is not None:
        line = parse_serial(recipe.boot.serial)
        run = partial(
            add_serial_login, tty=line.tty, baud=line.baud, autologin=autologin, mtime=mtime
        )
        yield _SERIAL, run, recipe.boot.place("serial")


def _account_steps(recipe: Recipe, mtime: int) -> Iterator[_Step]:
    """Yield the steps of groups and keys. Their errors have places of their own."""
    memberships = [
        Membership(user=member.name, group=group.name, place=member.place)
        for group in recipe.groups
        for member in group.members
    ]
    memberships += [
        Membership(user=account.name, group=group.name, place=group.place)
        for account in recipe.accounts
        for group in account.groups
    ]
    if recipe.groups or memberships:
        changes = tuple(
            GroupChange(name=group.name, gid=group.gid, places=group.places)
            for group in recipe.groups
        )
        run = partial(change_groups, changes=changes, memberships=memberships, mtime=mtime)
        yield "[groups]", run, ""
    keys = tuple(
        KeysOfUser(
            user=account.name,
            lines=tuple(line.name for line in account.authorized_keys),
            place=account.place("authorized_keys"),
        )
        for account in recipe.accounts
        if account.authorized_keys
    )
    if keys:
        yield "[accounts]", partial(add_authorized_keys, keys=keys, mtime=mtime), ""


def _system_steps(recipe: Recipe, mtime: int, limits: Limits) -> Iterator[_Step]:
    """Yield the steps of [system], with the place of the key that asks for each."""
    system = recipe.system
    if system.hostname is not None:
        run = partial(set_hostname, hostname=system.hostname, mtime=mtime)
        yield "[system]", run, system.place("hostname")
    if system.timezone is not None:
        run = partial(set_timezone, timezone=system.timezone, mtime=mtime, limits=limits)
        yield "[system]", run, system.place("timezone")
    if system.motd is not None:
        run = partial(set_motd, text=system.motd, mtime=mtime)
        yield "[system]", run, system.place("motd")
    if system.static is not None:
        static = StaticAddress(
            address=system.static,
            interface=system.interface or DEFAULT_INTERFACE,
            gateway=system.gateway,
            nameservers=system.nameservers,
        )
        run = partial(set_static_address, static=static, mtime=mtime)
        yield "[system]", run, system.place("address")
    elif system.interface is not None:
        run = partial(limit_dhcp, interface=system.interface, mtime=mtime)
        yield "[system]", run, system.place("interface")
    if system.services:
        services = tuple(
            Service(name=service.name, place=service.place) for service in system.services
        )
        run = partial(
            start_services, services=services, mtime=mtime, limits=limits, note=limits.report
        )
        yield "[system]", run, ""
