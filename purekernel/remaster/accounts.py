"""Decide the changes to an image's accounts, from its recipe, flavour and generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from purekernel.errors import PurekernelError, RecipeError, UsageError, raise_all
from purekernel.plan import Plan
from purekernel.recipe import defaults
from purekernel.recipe.flavour import Flavour, Generation
from purekernel.recipe.model import Account
from purekernel.rootfs.accounts import AccountChange
from purekernel.rootfs.passwords import Scheme, accepted_scheme, derive_salt, hash_password
from purekernel.tree import Tree


def account_changes(
    plan: Plan, root: Tree, environment: Mapping[str, str]
) -> tuple[AccountChange, ...]:
    """Return the changes to the accounts.

    In a 2013 development or debug image, ``tc`` has the documented password unless the recipe
    sets another. A production image allows no login with a password: the 2012 scripts refuse
    a password, and the 2013 scripts ignore it.

    Args:
        plan: gives the recipe and the flavour.
        root: the base's root file system. Its login program determines the hash scheme.
        environment: environment variables, which may hold passwords.

    Raises:
        UsageError: the recipe gives a password for a production image.
        RecipeError: the environment variable with a password is not set.
        CombinedError: several of these.
    """
    accounts = list(plan.recipe.accounts)
    names = {account.name for account in accounts}
    if (
        plan.generation is Generation.V2013
        and plan.flavour is not Flavour.PROD
        and defaults.USER not in names
    ):
        accounts.append(Account(name=defaults.USER, password=defaults.TC_PASSWORD))
    if plan.flavour is Flavour.PROD:
        raise_all(_refused_passwords(plan))
        accounts = [_without_password(account) for account in accounts]
        if plan.project is None and defaults.USER not in names:
            # In Core's own file, tc has no password.
            accounts.append(Account(name=defaults.USER, locked=True))
    scheme: Scheme | None = None
    changes: list[AccountChange] = []
    errors: list[PurekernelError] = []
    for account in accounts:
        try:
            password = _password(account, environment)
            if password is not None and scheme is None:
                scheme = accepted_scheme(root)
            hashed = account.password_hash
            if password is not None and scheme is not None:
                hashed = _hash(password, scheme, account.name, plan)
            changes.append(
                AccountChange(
                    name=account.name,
                    password_hash=hashed,
                    locked=account.locked,
                    uid=account.uid,
                    gid=account.gid,
                    home=account.home,
                    shell=account.shell,
                    comment=account.comment,
                    places={**account.places, "password_hash": _password_place(account)},
                )
            )
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    return tuple(changes)


def wants_autologin(plan: Plan) -> bool | None:
    """Return whether the first console logs in automatically; ``None`` leaves it unchanged."""
    if plan.recipe.autologin is not None:
        return plan.recipe.autologin
    if plan.flavour is Flavour.DEBUG:
        return True
    if plan.flavour is Flavour.PROD and plan.project is None:
        return False
    return None


def _refused_passwords(plan: Plan) -> Iterator[UsageError]:
    """Yield an error for each password in a production image, as the 2012 scripts do."""
    if plan.generation is Generation.V2013:
        return
    for account in plan.recipe.accounts:
        if account.has_password:
            yield UsageError(
                f"account {account.name!r} has a password: a production image must have none",
                hint="remove the password, or build a development image",
            ).within(_password_place(account))


def _without_password(account: Account) -> Account:
    return evolve(account, password=None, password_env=None, password_hash=None)


def _password(account: Account, environment: Mapping[str, str]) -> str | None:
    if account.password_env is None:
        return account.password
    password = environment.get(account.password_env)
    if not password:
        raise RecipeError(
            f"the password of {account.name!r} is missing: the environment variable "
            f"{account.password_env} is not set",
            hint=f"set it: export {account.password_env}=…",
        ).within(account.place("password_env"))
    return password


def _password_place(account: Account) -> str:
    """Return where the account's password is given, for messages."""
    given = [
        attribute
        for attribute in ("password", "password_env", "password_hash")
        if getattr(account, attribute) is not None
    ]
    return account.place(given[0]) if given else ""


def _hash(password: str, scheme: Scheme, user: str, plan: Plan) -> str:
    image = plan.recipe.name or (
        "razor-microkernel" if plan.project is not None else defaults.REMASTER_NAME
    )
    salt = derive_salt(password, scheme=scheme, user=user, image=image)
    return hash_password(password, scheme=scheme, salt=salt)
