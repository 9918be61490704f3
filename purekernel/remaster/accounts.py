"""What becomes of an image's accounts: by its recipe, its flavour, its generation."""

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
    """Return what becomes of the accounts.

    A development or debug image of 2013 lets ``tc`` in with the documented password unless
    the recipe says another. Nobody logs in to a production image with a password: the scripts
    of 2012 refused one, those of 2013 passed it over.

    Args:
        plan: whose recipe and flavour count.
        root: the base's root file system, whose log-in tells which form of hash it takes.
        environment: where passwords may stand.

    Raises:
        UsageError: a production image is to have a password.
        RecipeError: a password is not where the recipe says.
        CombinedError: several things are wrong.
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
            # Core's own file lets anybody in as tc.
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
                )
            )
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    return tuple(changes)


def wants_autologin(plan: Plan) -> bool | None:
    """Return whether the first console logs in by itself; ``None`` leaves it as it is."""
    if plan.recipe.autologin is not None:
        return plan.recipe.autologin
    if plan.flavour is Flavour.DEBUG:
        return True
    if plan.flavour is Flavour.PROD and plan.project is None:
        return False
    return None


def _refused_passwords(plan: Plan) -> Iterator[UsageError]:
    """Yield what the scripts of 2012 said of passwords for a production image."""
    if plan.generation is Generation.V2013:
        return
    for account in plan.recipe.accounts:
        if account.has_password:
            yield UsageError(
                "a production image has no passwords, and "
                f"{account.password_place or plan.recipe.source} gives {account.name!r} one",
                hint="leave out the password, or build a development image",
            )


def _without_password(account: Account) -> Account:
    return evolve(account, password=None, password_env=None, password_hash=None)


def _password(account: Account, environment: Mapping[str, str]) -> str | None:
    if account.password_env is None:
        return account.password
    found = environment.get(account.password_env)
    if not found:
        raise RecipeError(
            f"the password of {account.name!r} is to be in the environment as "
            f"{account.password_env}, which is not set",
            hint=f"set it: export {account.password_env}=…",
        )
    return found


def _hash(password: str, scheme: Scheme, user: str, plan: Plan) -> str:
    image = plan.recipe.name or (
        "razor-microkernel" if plan.project is not None else defaults.REMASTER_NAME
    )
    salt = derive_salt(password, scheme=scheme, user=user, image=image)
    return hash_password(password, scheme=scheme, salt=salt)
