"""Paths inside an image.

An image path is ``bytes``: relative, parted by single slashes, with no ``.`` or ``..``
and no slash at either end; the root is ``b""``. Names are bytes because an image makes
no promise about their encoding.
"""

from __future__ import annotations

from purekernel.errors import PathError

ROOT = b""

# NAME_MAX and PATH_MAX of Linux (include/uapi/linux/limits.h): a longer name could
# be packed, yet no file system that the booted image mounts could hold it.
NAME_MAX_BYTES = 255
PATH_MAX_BYTES = 4096

# Four lines of a terminal: enough to know a path again.
MAX_DISPLAYED_BYTES = 320


def parse_path(raw: bytes) -> bytes:
    """Return the image path that an archive's member name means.

    Leading ``./``, doubled and trailing slashes, and inner ``.`` go; ``.`` alone is the
    root.

    Raises:
        PathError: the name is empty, absolute, climbs with ``..``, holds a NUL, or is
            longer than Linux allows.
    """
    if not raw:
        raise PathError("a member has an empty name")
    if b"\0" in raw:
        raise PathError(f"the name {display(raw)} holds a NUL")
    if raw.startswith(b"/"):
        raise PathError(f"the name {display(raw)} is absolute")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise PathError(f"the name {display(raw)} climbs out with '..'")
    for part in parts:
        if len(part) > NAME_MAX_BYTES:
            raise PathError(
                f"the name {display(part[:40])}… has {len(part)} bytes, "
                f"Linux allows {NAME_MAX_BYTES}"
            )
    path = b"/".join(parts)
    # PATH_MAX counts the closing NUL.
    if len(path) >= PATH_MAX_BYTES:
        raise PathError(
            f"the path {display(path[:40])}… has {len(path)} bytes, "
            f"Linux allows {PATH_MAX_BYTES - 1}"
        )
    return path


def parent(path: bytes) -> bytes:
    """Return the folder that holds ``path``; the root holds itself."""
    return path.rpartition(b"/")[0]


def name(path: bytes) -> bytes:
    """Return the last component; the root's is empty."""
    return path.rpartition(b"/")[2]


def join(folder: bytes, entry: bytes) -> bytes:
    """Return the path of ``entry`` in ``folder``."""
    return folder + b"/" + entry if folder else entry


def ancestors(path: bytes) -> list[bytes]:
    """Return the folders above ``path``, outermost first, without the root."""
    parts = path.split(b"/")[:-1]
    return [b"/".join(parts[: index + 1]) for index in range(len(parts))]


def is_below(path: bytes, folder: bytes) -> bool:
    """Say whether ``path`` lies inside ``folder``; a folder is not inside itself."""
    if not folder:
        return bool(path)
    return path.startswith(folder + b"/")


def display(path: bytes) -> str:
    """Return ``path`` for a message: quoted, printable, not too long, whatever its bytes are."""
    if len(path) > MAX_DISPLAYED_BYTES:
        return display(path[:MAX_DISPLAYED_BYTES]) + "…"
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return f"'{text}'"
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
    return f"'{shown}'"
