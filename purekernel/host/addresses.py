"""Split an address into a path of this host and what follows it, and read the file it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePath

from purekernel.errors import InputError, UsageError
from purekernel.formats.address import MAX_COLONS, SEPARATOR, Item, Opener, find_nearest
from purekernel.host.below import image_name
from purekernel.host.read import exists, is_file, is_folder, missing_file
from purekernel.host.rootfs_folder import find_host_file, load_root_folder
from purekernel.host.windows_names import ON_WINDOWS
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
from purekernel.similar import MAX_NAMES
from purekernel.tree import ROOT, Tree

# A drive of Windows, also after a prefix such as \\?\ that switches off the parsing of names.
_DRIVE = re.compile(r"(?:[\\/]{2}[?.][\\/])?[A-Za-z]:")


@frozen(kw_only=True)
class HostAddress:
    """An address whose file was found.

    Attributes:
        host: the file or folder on this host.
        inner: what the address names inside it; ``None`` for the file itself.
    """

    host: Path
    inner: bytes | None


def split_address(text: str, *, windows: bool = ON_WINDOWS) -> Iterator[tuple[str, str | None]]:
    r"""Yield each way to split an address into a host path and the rest, the longest path first.

    On Windows, the colon after a drive is a part of the path: ``C:\x.iso:boot``.

    Args:
        text: the address.
        windows: whether the host is Windows.
    """
    yield text, None
    drive = _DRIVE.match(text) if windows else None
    first = drive.end() if drive else 1
    end = text.rfind(SEPARATOR)
    while end >= first:
        yield text[:end], text[end + 1 :]
        end = text.rfind(SEPARATOR, 0, end)


def find_on_host(address: str | PurePath, *, windows: bool = ON_WINDOWS) -> HostAddress:
    """Return the longest path at the start of ``address`` that exists on this host, and the rest.

    Args:
        address: an address. One that was made into a path has backslashes on Windows, which are
            slashes in the archive.
        windows: whether the host is Windows.

    Raises:
        UsageError: ``address`` is empty.
        InputError: no such path exists; or there are too many colons.
    """
    text = str(address)
    if not text:
        raise UsageError("the address is empty", hint="give a file or a folder")
    if text.count(SEPARATOR) > MAX_COLONS:
        raise InputError(
            f"an address must have at most {MAX_COLONS} colons, got {text.count(SEPARATOR)}",
            hint="check the address",
        )
    shortest = text
    for host, rest in split_address(text, windows=windows):
        shortest = host
        if exists(Path(host)):
            if rest is None:
                return HostAddress(host=Path(host), inner=None)
            is_converted = windows and isinstance(address, PurePath)
            inner = rest.replace("\\", "/") if is_converted else rest
            return HostAddress(host=Path(host), inner=image_name(inner, windows=windows))
    raise _missing(Path(shortest))


def open_on_host(path: Path, *, limits: Limits = DEFAULT_LIMITS, is_deep: bool = True) -> Item:
    """Return a file or folder of this host, as the top of an address.

    The names in a folder that cannot be read are reported through ``limits``.

    Args:
        path: its path.
        limits: the limits of what is read from it.
        is_deep: whether to read the folders in a folder too, or only their names.

    Raises:
        InputError: it is unreadable, or neither a file nor a folder.
        LimitError: it has more names than the limit.
    """
    if is_folder(path):
        loaded = load_root_folder(path, limits=limits, is_deep=is_deep)
        for note in loaded.notes:
            limits.report(note)
        tree, inner = loaded.tree, ROOT
    else:
        tree, inner = Tree(), image_name(path.name)
        tree.add(inner, find_host_file(path, limits=limits))
    return Item(address=str(path), tree=tree, path=inner, limits=limits, is_counted=False)


def load_address(address: str | PurePath, *, limits: Limits = DEFAULT_LIMITS) -> Input:
    """Return the file that an address names: a file of this host, or one inside it.

    Args:
        address: as for :func:`find_on_host`.
        limits: limits on the file, and on all that is unpacked on the way to it.

    Raises:
        UsageError: the address is empty.
        InputError: the file is missing, unreadable, or not a file.
        PurekernelError: as :meth:`purekernel.formats.address.Opener.find`.
    """
    return find_item(find_on_host(address), limits=limits).load()


def find_item(
    address: HostAddress, *, limits: Limits = DEFAULT_LIMITS, opener: Opener | None = None
) -> Item:
    """Return what an address names; a symbolic link at its end is not followed.

    Args:
        address: the address.
        limits: limits on the file, and on all that is unpacked on the way to it.
        opener: keeps archives open for other addresses.

    Raises:
        InputError: the file is missing, unreadable, or neither a file nor a folder.
        PurekernelError: as :meth:`purekernel.formats.address.Opener.find`.
    """
    return (opener or Opener()).find(open_on_host(address.host, limits=limits), address.inner)


def _missing(path: Path) -> InputError:
    """Return the error for a path that does not exist, with what the user may have meant."""
    above = path.parent
    while not exists(above) and above != above.parent:
        path, above = above, above.parent
    error = missing_file(path)
    if is_file(above):
        inner = str(path.relative_to(above))
        error.hint = f"to look inside a file, write a colon after it: {above}{SEPARATOR}{inner}"
    elif is_folder(above) and (nearest := find_nearest(path.name, _names(above))) is not None:
        error.hint = f"did you mean {above / nearest}?"
    return error


def _names(folder: Path) -> list[str]:
    try:
        return sorted(islice((entry.name for entry in folder.iterdir()), MAX_NAMES))
    except OSError:
        return []
