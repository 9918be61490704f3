r"""Tell which names of an image Windows cannot hold.

On Windows a name is more than a name: ``a\b`` and ``C:a`` lead elsewhere, ``a:b`` is a stream of
``a``, ``nul.txt`` is a device, and ``a.`` is ``a``. Nothing here depends on the host, so that it
can be tested anywhere.

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

# Windows reads the superscripts of Latin-1 as digits, and ignores what follows a dot.
_DEVICE = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?"
_RULES = (
    (re.compile(r'.*[<>:"/\\|?*].*', re.DOTALL), 'it contains one of < > : " / \\ | ? *'),
    (re.compile(r".*[\x00-\x1f].*", re.DOTALL), "it contains a control character"),
    (re.compile(r"|.*[. ]"), "it is empty, or ends with a dot or a space"),
    (re.compile(_DEVICE, re.IGNORECASE), "it is the name of a device"),
)

# More would only fill the screen.
_EXAMPLES = 3


def check_windows_name(name: bytes) -> str | None:
    """Return why Windows can hold no file of this name, or ``None`` if it can.

    Args:
        name: one part of a path.
    """
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return next((reason for rule, reason in _RULES if rule.fullmatch(text)), None)


def check_windows_paths(paths: Iterable[bytes], *, source: str) -> None:
    """Refuse paths of an image that cannot all be files on Windows.

    Args:
        paths: with slashes.
        source: what holds them, for the message.

    Raises:
        OutputError: Windows cannot hold some of them, or takes two for one.
    """
    refused = []
    known: dict[str, bytes] = {}
    for path in paths:
        # Its folders have paths of their own.
        if reason := check_windows_name(path.rpartition(b"/")[2]) if path else None:
            refused.append(f"{display(path)} ({reason})")
            continue
        other = known.setdefault(_folded(path), path)
        if other != path:
            refused.append(f"{display(path)} (it differs from {display(other)} only in case)")
    if not refused:
        return
    examples = ", ".join(refused[:_EXAMPLES])
    more = f" and {len(refused) - _EXAMPLES} more" if len(refused) > _EXAMPLES else ""
    raise OutputError(f"{source} has names that Windows cannot hold: {examples}{more}", hint=HINT)


def windows_target(target: bytes) -> str | None:
    r"""Return a symbolic link's target as Windows has it, or ``None`` if it can have no such.

    Slashes become backslashes; several become one, for ``\\host\share`` is another host.
    """
    parts = [part for part in target.split(b"/") if part not in (b"", b".", b"..")]
    if any(map(check_windows_name, parts)):
        return None
    return re.sub("/+", r"\\", target.decode("utf-8"))


def _folded(path: bytes) -> str:
    """Return the same text for all paths that Windows takes for one: those that differ in case."""
    text = path.decode("utf-8", "surrogateescape")
    return "".join(upper if len(upper := letter.upper()) == 1 else letter for letter in text)
