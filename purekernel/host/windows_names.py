r"""Find names in an image that are invalid on Windows.

Windows interprets some names: ``a\b`` and ``C:a`` are paths to other folders, ``a:b`` is a stream
of ``a``, ``nul.txt`` is a device, and ``a.`` is ``a``. This module does not depend on the host, so
it can be tested on any system.

Source: Microsoft, "Naming Files, Paths, and Namespaces".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from purekernel.errors import OutputError
from purekernel.tree import display

ON_WINDOWS = os.name == "nt"

HINT = (
    "unpack only other paths, and describe these files in a manifest, .mtree, "
    "with contents=PATH: see docs/overlays.md"
)

# Windows treats the superscript digits of Latin-1 as digits, and ignores everything after a dot.
_DEVICE = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?"
_RULES = (
    (re.compile(r'.*[<>:"/\\|?*].*', re.DOTALL), 'it contains one of < > : " / \\ | ? *'),
    (re.compile(r".*[\x00-\x1f].*", re.DOTALL), "it contains a control character"),
    (re.compile(r"|.*[. ]"), "it is empty, or ends with a dot or a space"),
    (re.compile(_DEVICE, re.IGNORECASE), "it is the name of a device"),
)

# How many names an error message lists.
_EXAMPLES = 3


def check_windows_name(name: bytes) -> str | None:
    """Return why a file name is invalid on Windows, or ``None`` if it is valid.

    Args:
        name: one component of a path.
    """
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return next((reason for rule, reason in _RULES if rule.fullmatch(text)), None)


def check_windows_paths(paths: Iterable[bytes], *, source: str) -> None:
    """Check that the paths of an image are valid on Windows.

    Args:
        paths: image paths, with slashes.
        source: what contains the paths, for the message.

    Raises:
        OutputError: a path is invalid on Windows.
    """
    # Check the last component only: the parent folders are in ``paths`` themselves.
    refused = [
        f"{display(path)} ({reason})"
        for path in paths
        if path and (reason := check_windows_name(path.rpartition(b"/")[2]))
    ]
    if not refused:
        return
    examples = ", ".join(refused[:_EXAMPLES])
    more = f" and {len(refused) - _EXAMPLES} more" if len(refused) > _EXAMPLES else ""
    raise OutputError(
        f"{source} has names that are invalid on Windows: {examples}{more}", hint=HINT
    )


def windows_target(target: bytes) -> str | None:
    r"""Return the target of a symbolic link for Windows, or ``None`` if it is invalid there.

    Slashes become backslashes. Repeated slashes become one, because ``\\host\share`` is a path on
    another host.
    """
    parts = [part for part in target.split(b"/") if part not in (b"", b".", b"..")]
    if any(map(check_windows_name, parts)):
        return None
    return re.sub("/+", r"\\", target.decode("utf-8"))
