"""Let users log in on a serial port of an image.

Source: inittab(5) and getty of busybox; securetty(5); sbin/autologin and root/.profile of Tiny
Core.
"""

from __future__ import annotations

from purekernel.errors import MissingPathError
from purekernel.rootfs.inittab import add_getty, set_login_program
from purekernel.rootfs.system import file_content, write_file
from purekernel.tree import Metadata, Tree, display

INITTAB = b"etc/inittab"
SECURETTY = b"etc/securetty"

_PROGRAM = Metadata(mode=0o755)
# Core's own program is for tty1 only: after the first login it starts a getty there.
_AUTOLOGIN = """\
#!/bin/sh
# purekernel wrote this script: it logs in on {tty} without a prompt the first time, as
# /sbin/autologin does on tty1, and asks from then on.
if [ -f /var/log/autologin-{tty} ] || [ -f /etc/sysconfig/noautologin ]; then
    exec /sbin/getty -L {baud} {tty} vt100
fi
touch /var/log/autologin-{tty}
exec login -f root
"""


def add_serial_login(
    tree: Tree, tty: str, baud: int, *, autologin: bool | None, mtime: int
) -> Tree:
    """Return ``tree`` with a login on the serial port ``tty``, also for root.

    Args:
        tree: a root file system.
        tty: the port's device in /dev, such as ``ttyS0``.
        baud: its speed, in bits per second.
        autologin: whether to log in without a prompt the first time; ``None`` keeps what a getty
            that is there does, and lets a new one ask.
        mtime: the time of new and changed files, in seconds since 1970, UTC.

    Raises:
        MissingPathError: ``etc/inittab`` is missing.
        UsageError: the name of the port or the speed is invalid.
    """
    changed = tree.copy()
    inittab = file_content(changed, INITTAB)
    if inittab is None:
        raise MissingPathError(
            f"{display(INITTAB)}: not found in the image, so no program asks for a login on {tty}",
            hint="add the file with an overlay, or remove the serial port",
        )
    inittab = add_getty(inittab, tty, baud)
    if autologin:
        program = f"sbin/autologin-{tty}".encode()
        script = _AUTOLOGIN.format(tty=tty, baud=baud).encode()
        write_file(changed, program, script, mtime=mtime, metadata=_PROGRAM)
        inittab = set_login_program(inittab, tty, b"/" + program)
    elif autologin is False:
        inittab = set_login_program(inittab, tty, None)
    write_file(changed, INITTAB, inittab, mtime=mtime)
    securetty = file_content(changed, SECURETTY)
    # Without the file, root can log in on each terminal.
    if securetty is not None and tty.encode() not in map(bytes.strip, securetty.split(b"\n")):
        text = securetty if securetty.endswith(b"\n") or not securetty else securetty + b"\n"
        write_file(changed, SECURETTY, text + tty.encode() + b"\n", mtime=mtime)
    return changed
