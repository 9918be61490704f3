"""Describe the table of a recipe that changes how an image boots."""

from __future__ import annotations

from attrs import field

from purekernel.errors import UsageError
from purekernel.recipe.keys import Placed, key
from purekernel.recipe.kinds import LINE_PATTERN, Text, Whole
from purekernel.recipe.system import SERIAL
from purekernel.records import frozen

# In tenths of a second: isolinux counts timer ticks in 16 bits. (Source: its reference, "TIMEOUT".)
MAX_TIMEOUT = 35996


def _is_timeout(_changes: object, _attribute: object, timeout: int | None) -> None:
    if timeout is not None and not 0 <= timeout <= MAX_TIMEOUT:
        raise UsageError(
            f"the boot timeout must be from 0 to {MAX_TIMEOUT} tenths of a second, got {timeout}",
            hint=f"give a number from 0 (wait forever) to {MAX_TIMEOUT}",
        )


@frozen(kw_only=True)
class BootChanges(Placed):
    """Changes to the boot menu.

    Raises:
        UsageError: the timeout is outside the range of isolinux.
    """

    append: str | None = field(
        default=None,
        metadata=key(
            "Kernel parameters",
            "Parameters to append to every kernel command line. For a serial console, use the key "
            '"serial".',
            Text(
                pattern=LINE_PATTERN,
                max_length=2047,
                words="text on one line, of at most 2047 characters",
            ),
            "nodhcp waitusb=5",
        ),
    )
    serial: str | None = field(
        default=None,
        metadata=key(
            "Serial console",
            "A serial port, and its speed in bits per second, by default 115200: the kernel's "
            "console, beside the screen, and a terminal that users, and root, can log in on.",
            SERIAL,
            "ttyS0,115200",
        ),
    )
    timeout: int | None = field(
        default=None,
        validator=_is_timeout,
        metadata=key(
            "Timeout",
            "Tenths of a second until the default entry boots; 0 waits forever. If not given, "
            "Core's timeout of 300 becomes 100.",
            Whole(
                minimum=0,
                maximum=MAX_TIMEOUT,
                words=f"a whole number of tenths of a second, from 0 to {MAX_TIMEOUT}",
            ),
            100,
        ),
    )
    default: str | None = field(
        default=None,
        metadata=key(
            "Default",
            "The entry that boots if the user chooses none: a label of isolinux, an id or title of "
            "GRUB, or an entry of systemd-boot.",
            Text(
                pattern=r"^[^\u0000-\u0020\u007f]([^\u0000-\u001f\u007f]*[^\u0000-\u0020\u007f])?$",
                max_length=255,
                words="an entry of the boot menu, without blanks at its ends",
            ),
            "mc",
        ),
    )

    @property
    def given_places(self) -> list[str]:
        """Where each change was given, for messages; without those of the command line."""
        places = map(self.place, ("append", "serial", "timeout", "default"))
        return [place for place in places if place]
