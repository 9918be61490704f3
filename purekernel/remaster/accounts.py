"""Hash the passwords of an image's accounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from purekernel.errors import PurekernelError, RecipeError, raise_all
from purekernel.recipe.accounts import Account
from purekernel.recipe.conventions import password_place
from purekernel.rootfs.accounts import AccountChange
from purekernel.rootfs.passwords import Scheme, accepted_scheme, derive_salt, hash_password
from purekernel.tree import Tree


def account_changes(
    accounts: Iterable[Account], root: Tree, environment: Mapping[str, str], *, image: str
) -> tuple[AccountChange, ...]:
    """Return the changes to the accounts, with hashed passwords.

    Args:
        accounts: the accounts to change or add.
        root: the base's root file system. Its login program determines the hash scheme.
        environment: environment variables, which may hold passwords.
        image: the image's name, from which salts are derived.

    Raises:
        RecipeError: the environment variable with a password is not set.
        CombinedError: several are not.
    """
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
                salt = derive_salt(password, scheme=scheme, user=account.name, image=image)
                hashed = hash_password(password, scheme=scheme, salt=salt)
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
                    places={**account.places, "password_hash": password_place(account)},
                )
            )
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    return tuple(changes)


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
