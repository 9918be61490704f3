"""Parse, split and display paths inside an image.

An image path is ``bytes``: relative, separated by single slashes, without ``.`` or ``..``,
and without a leading or trailing slash. The root is ``b""``. Names are bytes because an
image does not specify their encoding.
"""

from __future__ import annotations

from purekernel.errors import PathError

ROOT = b""

# NAME_MAX and PATH_MAX of Linux (include/uapi/linux/limits.h). An archive can store a longer
# name, but no file system that the booted image mounts can.
NAME_MAX_BYTES = 255
PATH_MAX_BYTES = 4096

# Four lines of a terminal, which is enough to recognise a path.
MAX_DISPLAYED_BYTES = 320


def parse_path(raw: bytes) -> bytes:
    """Convert the name of an archive member to an image path.

    A leading ``./``, repeated and trailing slashes, and ``.`` components are dropped. ``.``
    alone is the root.

    Raises:
        PathError: the name is empty, absolute, contains ``..`` or a NUL, or is longer than
            Linux allows.
    """
    if not raw:
        raise PathError("a member name is empty", hint="create the archive again")
    if b"\0" in raw:
        raise PathError(f"the name {display(raw)} contains a NUL", hint="create the archive again")
    if raw.startswith(b"/"):
        raise PathError(f"the name {display(raw)} must be relative, got an absolute path")
    parts = raw.split(b"/")
    if b"" in parts or b"." in parts:
        parts = [part for part in parts if part not in (b"", b".")]
    if b".." in parts:
        raise PathError(f"the name {display(raw)} contains '..'")
    if len(raw) > NAME_MAX_BYTES:  # no part of a shorter name is too long
        _check_lengths(parts)
    path = b"/".join(parts)
    # PATH_MAX includes the terminating NUL.
    if len(path) >= PATH_MAX_BYTES:
        raise PathError(
            f"the path {display(path[:40])}… is too long: "
            f"must be at most {PATH_MAX_BYTES - 1} bytes, got {len(path)}",
            hint="create the archive again with shorter names",
        )
    return path


def _check_lengths(parts: list[bytes]) -> None:
    for part in parts:
        if len(part) > NAME_MAX_BYTES:
            raise PathError(
                f"the name {display(part[:40])}… is too long: "
                f"must be at most {NAME_MAX_BYTES} bytes, got {len(part)}",
                hint="create the archive again with shorter names",
            )


def parent(path: bytes) -> bytes:
    """Return the folder that contains ``path``; the root is its own parent."""
    return path.rpartition(b"/")[0]


def name(path: bytes) -> bytes:
    """Return the last component of ``path``; it is empty for the root."""
    return path.rpartition(b"/")[2]


def join(folder: bytes, entry: bytes) -> bytes:
    """Return the path of ``entry`` in ``folder``."""
    return folder + b"/" + entry if folder else entry


def ancestors(path: bytes) -> list[bytes]:
    """Return the folders above ``path``, outermost first, without the root."""
    parts = path.split(b"/")[:-1]
    return [b"/".join(parts[: index + 1]) for index in range(len(parts))]


def is_below(path: bytes, folder: bytes) -> bool:
    """Return whether ``path`` is below ``folder``; a folder is not below itself."""
    if not folder:
        return bool(path)
    return path.startswith(folder + b"/")


def with_example(number: int, noun: str, example: str, *, clause: str = "") -> str:
    """Return how many things a note is about, and one of them.

    Args:
        number: the number, at least 1.
        noun: what they are, in the singular.
        example: one of them.
        clause: what follows the noun.
    """
    if number == 1:
        return f"1 {noun}{clause}: {example}"
    return f"{number} {noun}s{clause}, for example {example}"


def display(path: bytes) -> str:
    """Return ``path`` for a message: quoted, printable and truncated, for any bytes."""
    if len(path) > MAX_DISPLAYED_BYTES:
        return display(path[:MAX_DISPLAYED_BYTES]) + "…"
    return f"'{escape(path)}'"


def escape(path: bytes) -> str:
    """Return ``path`` as printable text, without quotes, for any bytes."""
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
