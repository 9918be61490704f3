"""Describe the table of a recipe that changes and adds accounts of users."""

from __future__ import annotations

from attrs import field

from purekernel.recipe.keys import Key, Named, Placed, key
from purekernel.recipe.kinds import ABSOLUTE_PATH, FLAG, ID, LINE_PATTERN, PATH, Array, Text, once
from purekernel.recipe.system import AUTHORIZED_KEY, GROUP_NAME
from purekernel.records import frozen

_PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f anna@example"
)


@frozen(kw_only=True)
class Account(Placed):
    """A user account of the image, changed or added.

    Attributes:
        name: the login name.
    """

    name: str
    password: str | None = field(
        default=None,
        repr=False,
        metadata=key(
            "Password",
            "The password in plain text. Anyone who can read the recipe can read it.",
            Text(
                pattern=LINE_PATTERN,
                min_length=1,
                max_length=256,
                words="text on one line, of at least 1 and at most 256 characters",
                secret=True,
            ),
            "test1234",
        ),
    )
    password_env: str | None = field(
        default=None,
        metadata=key(
            "Password from the environment",
            "Environment variable that holds the password.",
            Text(
                pattern="^[A-Za-z_][0-9A-Za-z_]*$",
                max_length=255,
                words="the name of an environment variable",
            ),
            "TC_PASSWORD",
        ),
    )
    password_hash: str | None = field(
        default=None,
        repr=False,
        metadata=key(
            "Password hash",
            "Hash of the password, in the form of /etc/shadow.",
            Text(
                pattern=r"^(\$[0-9a-z]{1,8}\$[./0-9A-Za-z$=,-]{1,200}|[./0-9A-Za-z]{13})$",
                words="a hash in the form of /etc/shadow, such as one that begins with $6$",
                secret=True,
            ),
            "$6$saltsalt$diqEm1MZaAfvmRGID6/fuBsSANgy545QfioEs29fE.nbIw4xah49Ul9WWGeLyGBddflSIa1rL"
            "rr6fcxv9xyYK0",
        ),
    )
    locked: bool = field(
        default=False,
        metadata=key("Locked", "Whether to disable login with a password.", FLAG, True),
    )
    uid: int | None = field(
        default=None, metadata=key("User id", "User id of an added account.", ID, 1002)
    )
    gid: int | None = field(
        default=None, metadata=key("Group id", "Group id of an added account.", ID, 50)
    )
    home: str | None = field(
        default=None, metadata=key("Home", "Home directory.", ABSOLUTE_PATH, "/home/anna")
    )
    shell: str | None = field(
        default=None, metadata=key("Shell", "Login shell.", ABSOLUTE_PATH, "/bin/sh")
    )
    comment: str | None = field(
        default=None,
        metadata=key(
            "Comment",
            "Full name.",
            Text(
                pattern=r"^[^\u0000-\u001f:\u007f]*$",
                max_length=255,
                words="text on one line, without colons, of at most 255 characters",
            ),
            "Anna Example",
        ),
    )
    groups: tuple[Named, ...] = field(
        default=(),
        metadata=key(
            "Groups",
            "Groups to add the user to, which the image or [groups] has.",
            Array(item=GROUP_NAME, convert=once),
            ["staff"],
            named=True,
        ),
    )
    authorized_keys: tuple[Named, ...] = field(
        default=(),
        repr=False,
        metadata=key(
            "Authorized keys",
            "Public keys with which the user can log in through SSH, added to "
            ".ssh/authorized_keys in the home.",
            Array(item=AUTHORIZED_KEY, convert=once),
            [_PUBLIC_KEY],
            named=True,
            list_key=Key(
                name="authorized-keys-list",
                title="File of authorized keys",
                description="A file in the format of authorized_keys, such as one that ends in "
                ".pub. Its keys come before the keys given here.",
                kind=PATH,
                examples=("keys/anna.pub",),
            ),
        ),
    )

    @property
    def has_password(self) -> bool:
        """Whether a password is given, in any of the three forms."""
        return (self.password, self.password_env, self.password_hash) != (None, None, None)
